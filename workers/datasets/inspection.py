"""Inspects every file of a dataset: can it be read, and does each mask fit its image?

Facts are remembered by size and times of the file, so that a second inspection is quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from workers.contract import JSONValue
from workers.datasets import kinds
from workers.datasets.dataset import FileDataset
from workers.datasets.files import pictures
from workers.datasets.files.fingerprint import relative_name, remembered
from workers.datasets.findings import Finding, FindingKind, finding
from workers.datasets.likeness.hashing import PICTURES, inspect_picture
from workers.datasets.masks.unions import shapes_fit

SIZES = "sizes-1"
"""Name of the remembered facts; raised when they change."""

MASK_SCALED = FindingKind(
    name="size-mismatch",
    severity="note",
    text="mask of another size, scaled to its image",
)
MASK_SHAPE = FindingKind(
    name="shape-mismatch",
    severity="refused",
    text="mask of another shape than its image",
    remedy="store both in the same raster (was one of them cropped, or turned by an EXIF "
    "orientation?), or remove the pair",
)


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Facts on one file.

    Attributes:
        width: Width of the stored raster, pixels; 0 if it cannot be read.
        height: Height, likewise.
        reason: Why it cannot be read; None if it can.
    """

    width: int = 0
    height: int = 0
    reason: str | None = None

    def size_after(self, orientation: int) -> pictures.RasterSize:
        """Returns the size of the raster after it is turned."""
        sides = (self.width, self.height)
        return pictures.RasterSize(*(reversed(sides) if orientation >= 5 else sides))


def inspect_files(dataset: FileDataset, cache_dir: Path, turns: Mapping[str, int]) -> list[Finding]:
    """Returns the files that cannot be read, and the masks that do not fit their image.

    Args:
        dataset: The files.
        cache_dir: Cache folder of this node.
        turns: Orientation that is applied to each file, by name.

    Raises:
        UserError: The cache folder cannot be written.
    """
    samples = dataset.samples
    images = _facts(dataset.folder, map(dataset.image_path, samples), cache_dir, PICTURES)
    masks = _facts(dataset.folder, (m for s in samples for m in s.masks), cache_dir, SIZES)

    def name(path: Path) -> str:
        return relative_name(dataset.folder, path)

    broken = {name(path): facts.reason for path, facts in images.items() if facts.reason}
    scaled: dict[str, str] = {}
    refused: dict[str, str] = {}
    for sample in samples:
        image = images[dataset.image_path(sample)]
        for path in sample.masks:
            if masks[path].reason or image.reason:
                continue
            mask_size = masks[path].size_after(turns.get(name(path), 1))
            size = image.size_after(turns.get(name(dataset.image_path(sample)), 1))
            if mask_size == size:
                continue
            found = scaled if shapes_fit(mask_size, size) else refused
            found[name(path)] = (
                f"{mask_size.width}x{mask_size.height}, its image {size.width}x{size.height}"
            )
    return [
        *finding(kinds.UNREADABLE, broken),
        *finding(MASK_SHAPE, refused),
        *finding(MASK_SCALED, scaled),
    ]


def _facts(
    folder: Path, paths: Iterable[Path], cache_dir: Path, what: str
) -> dict[Path, FileFacts]:
    read = inspect_picture if what == PICTURES else _inspect_header
    found = remembered(folder, paths, cache_dir, what, read)
    known = {field.name for field in fields(FileFacts)}
    return {
        path: FileFacts(**{k: v for k, v in facts.items() if k in known})  # type: ignore[arg-type]
        for path, facts in found.items()
        if isinstance(facts, dict)
    }


def _inspect_header(path: Path) -> JSONValue:
    try:
        header = pictures.read_header(path)
    except pictures.UnreadableImageError as error:
        return asdict(FileFacts(reason=error.reason))
    return asdict(FileFacts(width=header.width, height=header.height))
