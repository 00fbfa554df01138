"""How the files of a dataset lie: finding its folder, pairing images with masks, naming samples.

Rules for every layout: names match without regard to case; samples are in natural order (1, 2, 10);
files whose names begin with a dot, and files that match no stated pattern, are left alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.contract import UserError
from workers.datasets.dataset import Sample


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What the folder of a dataset holds.

    Attributes:
        folder: The dataset's own folder; fingerprints and reports name files relative to it.
        samples: The pairs, in natural order.
        images_without_mask: Images that should have a mask and have none.
        masks_without_image: Masks whose image is not there.
        num_official: Pairs of the complete parts that are present; None where it varies.
        notes: What was left out by rule, for `podium data verify`.
    """

    folder: Path
    samples: tuple[Sample, ...]
    images_without_mask: tuple[Path, ...] = ()
    masks_without_image: tuple[Path, ...] = ()
    num_official: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way files may lie.

    Attributes:
        rules: Name and version of the adapter's rules; raised when they give other samples.
        expected: Folders that must be there, as a user would look for them.
        locate: (root, strict) to the dataset's folder, or None. Strict takes the root itself only
            if it bears the official name.
        index: (folder, **parameters) to the contents.
        index_masks: Masks may hold class indices 0 and 1.
    """

    rules: str
    expected: tuple[str, ...]
    locate: Callable[[Path, bool, Mapping[str, object]], Path | None]
    index: Callable[..., Contents]
    index_masks: bool = False


@dataclass(frozen=True)
class Pairing:
    """Images with their masks, and what is left over."""

    samples: tuple[Sample, ...]
    images_without_mask: tuple[Path, ...]
    masks_without_image: tuple[Path, ...]


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Returns a sort key that puts 2 before 10, without regard to case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name


def child(folder: Path, *names: str) -> Path | None:
    """Returns the entry `names[0]/names[1]/...` below a folder, matching case only if it can."""
    found: Path | None = folder
    for name in names:
        if found is None or not found.is_dir():
            return None
        exact = found / name
        if not exact.exists():
            same = [p for p in found.iterdir() if p.name.casefold() == name.casefold()]
            found = min(same, default=None)
        else:
            found = exact
    return found


def list_files(folder: Path | None) -> list[Path]:
    """Returns the files directly in a folder, in natural order, hidden ones left out."""
    if folder is None or not folder.is_dir():
        return []
    paths = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    return sorted(paths, key=lambda path: natural_key(path.name))


def locate_named(
    root: Path, strict: bool, official: str, holds: Callable[[Path], bool], *inside: str
) -> Path | None:
    """Returns the folder `official` under a root, or the root if it is that folder itself.

    Args:
        root: Where to look.
        strict: The root itself counts only under the official name.
        official: Official name of the folder.
        holds: Tells whether a folder holds what the dataset needs.
        *inside: Further folders in which archives are known to put the official one.
    """
    for way in ((official,), *((name, official) for name in inside)):
        folder = child(root, *way)
        if folder is not None and holds(folder):
            return folder
    named = root.resolve().name.casefold() == official.casefold()
    return root if (named or not strict) and holds(root) else None


def pair(
    images: Mapping[str, Path],
    masks: Mapping[str, Iterable[Path]],
    name: Callable[[str, Path], str],
    group: Callable[[str], str | None] = lambda _: None,
) -> Pairing:
    """Pairs images and masks that share a key.

    Args:
        images: Key to image.
        masks: Key to masks of that image.
        name: (key, image) to the sample's name.
        group: Key to the sample's group; None for a group of its own.
    """
    samples = [
        Sample(
            name=(label := name(key, image)),
            image=image,
            masks=tuple(masks[key]),
            group=group(key) or label,
        )
        for key, image in images.items()
        if masks.get(key)
    ]
    return Pairing(
        tuple(sorted(samples, key=lambda sample: natural_key(sample.name))),
        tuple(image for key, image in images.items() if not masks.get(key)),
        tuple(path for key, paths in masks.items() if key not in images for path in paths),
    )


def keyed_images(paths: Iterable[Path], key: Callable[[Path], str | None]) -> dict[str, Path]:
    """Returns images by key; files without a key are left out.

    Raises:
        UserError: Two images have the same key.
    """
    images: dict[str, Path] = {}
    for path in paths:
        name = key(path)
        if name is None:
            continue
        if name in images:
            msg = (
                f"{path} and {images[name]} are two images of one name: masks cannot be told "
                "apart; rename or remove one"
            )
            raise UserError(msg)
        images[name] = path
    return images


def keyed_masks(paths: Iterable[Path], key: Callable[[Path], str | None]) -> dict[str, list[Path]]:
    """Returns masks by the key of their image; files without a key are left out."""
    masks: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        name = key(path)
        if name is not None:
            masks[name].append(path)
    return dict(masks)
