"""Datasets: adapters for public layouts, generated images, splits and the cache; without torch."""

from __future__ import annotations

from pathlib import Path

from workers.catalogue import load
from workers.catalogue.datasets import (
    DATASETS,
    DatasetEntry,
    SyntheticOptions,
    complete_dataset,
)
from workers.contract import Component, UserError
from workers.datasets.dataset import Dataset, DatasetNotFoundError, FileDataset, Sample
from workers.datasets.generated import GeneratedDataset
from workers.datasets.layout import Contents, Layout

__all__ = [
    "MIN_PAIRS",
    "Dataset",
    "DatasetNotFoundError",
    "FileDataset",
    "GeneratedDataset",
    "Sample",
    "dataset_of",
    "generated_dataset",
    "open_dataset",
    "read_contents",
]

MIN_PAIRS = 5
"""Least number of pairs that can be split into three parts at the usual fractions."""


def open_dataset(component: Component, root: Path | None) -> Dataset:
    """Returns a dataset of the catalogue, its files listed but not yet read.

    Args:
        component: Name and parameters.
        root: Folder that holds the dataset's official folder, or that folder itself; ignored for
            generated data.

    Raises:
        DatasetNotFoundError: The folder is missing, wrong or not readable.
        UserError: There are fewer than five pairs, or two images of one name.
        CatalogueError: The name or a parameter is unknown.
    """
    if DATASETS[complete_dataset(component.name, component.parameters)[0]].kind == "generated":
        return generated_dataset(component)
    contents = read_contents(component, root)
    if len(contents.samples) < MIN_PAIRS:
        msg = (
            f"dataset {component.label}: {len(contents.samples)} usable image-mask pairs in "
            f"{contents.folder}, at least {MIN_PAIRS} are needed "
            f"({len(contents.images_without_mask)} images without mask, "
            f"{len(contents.masks_without_image)} masks without image); "
            f"`podium data verify {contents.folder}` names them"
        )
        raise UserError(msg)
    return dataset_of(component, contents)


def generated_dataset(component: Component) -> GeneratedDataset:
    """Returns a dataset that is drawn on demand."""
    name, parameters = complete_dataset(component.name, component.parameters)
    options = SyntheticOptions.model_validate(parameters)
    return GeneratedDataset(
        name=component.label,
        look=load(DATASETS[name].open),
        num_images=options.num_images,
        seed=options.seed,
        size=options.size,
    )


def dataset_of(component: Component, contents: Contents) -> FileDataset:
    """Returns the dataset of files that are listed already."""
    layout: Layout = load(DATASETS[component.name].open)
    return FileDataset(
        name=component.label,
        samples=contents.samples,
        folder=contents.folder,
        rules=layout.rules,
        index_masks=layout.index_masks,
    )


def read_contents(component: Component, root: Path | None, *, strict: bool = False) -> Contents:
    """Returns what the folder of a dataset in files holds, paired or not.

    Args:
        component: Name and parameters.
        root: As for `open_dataset`.
        strict: Take the root itself only if it bears the official name.

    Raises:
        DatasetNotFoundError: The folder is missing, wrong or not readable.
        UserError: The dataset is generated, or has two images of one name.
    """
    name, parameters = complete_dataset(component.name, component.parameters)
    entry = DATASETS[name]
    if entry.kind == "generated":
        msg = f"dataset {name} is generated: it has no files"
        raise UserError(msg)
    layout: Layout = load(entry.open)
    # `folder` is also found under the user's alias.
    places = parameters | ({"label": component.label} if entry.label_is_identity else {})
    if root is None:
        raise _not_found(component.label, entry, layout, "data.root is not set")
    try:
        folder = layout.locate(root, strict, places)
        if folder is not None:
            return layout.index(folder, **parameters)
        found = _what_is_there(root)
        inside = root / (entry.folder or "")
        if inside.is_dir():
            found += f"; {entry.folder} holds {_listing(inside)}"
    except OSError as error:
        found = f"{error.filename or root}: {error.strerror}"
    raise _not_found(component.label, entry, layout, found)


def _not_found(label: str, entry: DatasetEntry, layout: Layout, found: str) -> DatasetNotFoundError:
    archives = f" ({', '.join(entry.archives)})" if entry.archives else ""
    remedy = (
        "put your images and masks there"
        if entry.label_is_identity
        else f"get it from {entry.source}{archives}, unpack it there"
    )
    return DatasetNotFoundError(
        f"dataset {label}: not found. Looked in: {found}. Expected there: "
        f"{', '.join(layout.expected)}; {remedy}, or set data.root to the folder that holds "
        f"{entry.folder}"
    )


def _what_is_there(root: Path) -> str:
    if not root.exists():
        near = next((parent for parent in root.absolute().parents if parent.is_dir()), None)
        holds = f"; {near} holds {_listing(near)}" if near is not None else ""
        return f"{root}, which does not exist{holds}"
    if not root.is_dir():
        return f"{root}, which is a file, not a folder"
    return f"{root}, which holds {_listing(root)}"


def _listing(folder: Path, num_shown: int = 8) -> str:
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - num_shown} more" if len(names) > num_shown else ""
    return ", ".join(names[:num_shown]) + more
