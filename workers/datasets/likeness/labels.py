"""Labels that cannot all be right: equal pictures with different masks, images that are masks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from workers.contract import UserError
from workers.datasets.dataset import FileDataset
from workers.datasets.files.fingerprint import hash_files, relative_name
from workers.datasets.findings import Finding, FindingKind, finding
from workers.datasets.likeness.relations import ImageRelations

MASKS_DIFFER = FindingKind(
    name="equal-pictures-masks-differ",
    severity="note",
    text="image that equals another one whose mask differs",
    remedy="compare both with `podium data show`, and remove the pair whose mask is wrong",
)
IMAGE_IS_MASK = FindingKind(
    name="image-is-mask",
    severity="note",
    text="image file with the same bytes as its mask",
    remedy="replace it with the picture",
)
MASKS_EQUAL = FindingKind(
    name="masks-equal",
    severity="note",
    text="all masks are the same file, byte for byte",
    remedy="check that each image has a mask of its own",
)


def label_findings(
    dataset: FileDataset, relations: ImageRelations, cache_dir: Path
) -> list[Finding]:
    """Returns equal pictures whose masks differ, images that are masks, and equal masks.

    Raises:
        UserError: The cache folder cannot be written.
    """
    images = [dataset.image_path(sample) for sample in dataset.samples]

    def named(path: Path) -> str:
        return relative_name(dataset.folder, path)

    differ: dict[str, str] = {}
    for i, first in enumerate(relations.equal.tolist()):
        if i == first:
            continue
        with suppress(UserError):  # a refused dataset has no masks that could be compared
            mine, other = dataset.read_mask(i), dataset.read_mask(first)
            if mine.shape == other.shape and (mine != other).any():
                num = int((mine != other).sum())
                differ[named(images[i])] = f"equals {named(images[first])}, {num:,} px differ"
    are_masks = [
        named(image)
        for sample, image in zip(dataset.samples, images, strict=True)
        for mask in sample.masks
        if _are_equal(dataset.folder, (image, mask), cache_dir)
    ]
    masks = [mask for sample in dataset.samples for mask in sample.masks]
    is_one = _are_equal(dataset.folder, masks, cache_dir)
    return [
        *finding(MASKS_DIFFER, differ),
        *finding(IMAGE_IS_MASK, are_masks),
        *([Finding(kind=MASKS_EQUAL, names=())] if is_one else []),
    ]


def _are_equal(folder: Path, files: Iterable[Path], cache_dir: Path) -> bool:
    """Returns whether files have the same bytes; reads none if their sizes differ."""
    paths = list(files)
    if len({path.stat().st_size for path in paths}) != 1:
        return False
    return len(set(hash_files(folder, paths, cache_dir).values())) == 1
