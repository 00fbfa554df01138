"""Datasets: adapters for public layouts, generated images, splits and the cache; without torch."""

from __future__ import annotations

from pathlib import Path

from workers.catalogue import load
from workers.catalogue.datasets import (
    DATASETS,
    SyntheticOptions,
    complete_dataset,
)
from workers.contract import Component, UserError
from workers.datasets.dataset import Dataset, DatasetNotFoundError, FileDataset, Sample
from workers.datasets.findings import Finding
from workers.datasets.generated import GeneratedDataset
from workers.datasets.layouts.layout import Contents, Layout
from workers.datasets.layouts.not_found import not_found_error
from workers.datasets.layouts.pairing import MIN_PAIRS, pairing_findings

__all__ = [
    "MIN_PAIRS",
    "Dataset",
    "DatasetNotFoundError",
    "FileDataset",
    "GeneratedDataset",
    "Sample",
    "dataset_of",
    "findings_of",
    "generated_dataset",
    "open_dataset",
    "read_contents",
]


def open_dataset(component: Component, root: Path | None) -> Dataset:
    """Returns a dataset of the catalogue, its files listed but not yet read.

    Args:
        component: Name and parameters.
        root: Folder that holds the dataset's official folder, or that folder itself; ignored for
            generated data.

    Raises:
        DatasetNotFoundError: The folder is missing, wrong or not readable.
        UserError: There are fewer than five pairs, or it is ambiguous which mask belongs to which
            image.
        CatalogueError: The name or a parameter is unknown.
    """
    if DATASETS[complete_dataset(component.name, component.parameters)[0]].kind == "generated":
        return generated_dataset(component)
    contents = read_contents(component, root)
    refused = [
        f"dataset {component.label}: {one.sentence()}"
        for one in findings_of(component, contents)
        if one.kind.severity == "refused"
    ]
    if refused:
        raise UserError("\n".join(refused))
    return dataset_of(component, contents)


def generated_dataset(component: Component) -> GeneratedDataset:
    """Returns a dataset that is drawn on demand."""
    name, parameters = complete_dataset(component.name, component.parameters)
    options = SyntheticOptions.model_validate(parameters)
    return GeneratedDataset(
        name=component.label,
        generator=load(DATASETS[name].open),
        num_images=options.num_images,
        seed=options.seed,
        size=options.size,
    )


def dataset_of(component: Component, contents: Contents) -> FileDataset:
    """Returns the dataset of files that are listed already."""
    name, parameters = complete_dataset(component.name, component.parameters)
    layout: Layout = load(DATASETS[name].open)
    return FileDataset(
        name=component.label,
        samples=contents.samples,
        folder=contents.folder,
        rules=layout.rules,
        index_masks=layout.index_masks,
        mask=mask if isinstance(mask := parameters.get("mask"), dict) else None,
    )


def findings_of(component: Component, contents: Contents) -> list[Finding]:
    """Returns the findings from the names of a dataset's files."""
    entry = DATASETS[component.name]
    return pairing_findings(entry, load(entry.open), contents)


def read_contents(component: Component, root: Path | None, *, strict: bool = False) -> Contents:
    """Returns the contents of the folder of a dataset in files, paired or not.

    Args:
        component: Name and parameters.
        root: As for `open_dataset`.
        strict: Use the root itself only if it has the official name.

    Raises:
        DatasetNotFoundError: The folder is missing, wrong or not readable.
        UserError: The dataset is generated.
    """
    name, parameters = complete_dataset(component.name, component.parameters)
    entry = DATASETS[name]
    if entry.kind == "generated":
        msg = f"dataset {name} is generated: it has no files"
        raise UserError(msg)
    layout: Layout = load(entry.open)
    # `folder` is also found under the user's alias.
    locating = parameters | ({"label": component.label} if entry.label_is_identity else {})
    problem: OSError | None = None
    try:
        folder = root and layout.locate(root, strict, locating)
        if folder:
            # The option `mask` does not change which files are paired.
            return layout.index(folder, **{k: v for k, v in parameters.items() if k != "mask"})
    except OSError as error:
        problem = error
    raise not_found_error(component.label, entry, layout, root, locating, problem)
