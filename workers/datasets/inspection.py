"""One look at every file of a dataset: can it be read, and does each mask fit its image?

What was seen is remembered by size and times of the file, so that a second look is quick.
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
"""What is remembered; raised when another thing is looked at, or differently."""

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
class Seen:
    """What one file is.

    Attributes:
        width: Of the stored raster, pixels; 0 where it cannot be read.
        height: Likewise.
        reason: Why it cannot be read.
    """

    width: int = 0
    height: int = 0
    reason: str | None = None

    def size_after(self, orientation: int) -> pictures.RasterSize:
        """Returns the size of the raster once it is turned."""
        sides = (self.width, self.height)
        return pictures.RasterSize(*(reversed(sides) if orientation >= 5 else sides))


def inspect_files(dataset: FileDataset, cache_dir: Path, turns: Mapping[str, int]) -> list[Finding]:
    """Returns which files cannot be read, and which masks do not fit their image.

    Args:
        dataset: Its files.
        cache_dir: Cache folder of this node.
        turns: Orientation that is applied to each file, by name.

    Raises:
        UserError: The cache folder cannot be written.
    """
    samples = dataset.samples
    images = _seen(dataset.folder, map(dataset.image_path, samples), cache_dir, PICTURES)
    masks = _seen(dataset.folder, (m for s in samples for m in s.masks), cache_dir, SIZES)

    def name(path: Path) -> str:
        return relative_name(dataset.folder, path)

    broken = {name(path): seen.reason for path, seen in images.items() if seen.reason}
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


def _seen(folder: Path, paths: Iterable[Path], cache_dir: Path, what: str) -> dict[Path, Seen]:
    look = inspect_picture if what == PICTURES else _inspect_header
    found = remembered(folder, paths, cache_dir, what, look)
    known = {field.name for field in fields(Seen)}
    return {
        path: Seen(**{k: v for k, v in facts.items() if k in known})  # type: ignore[arg-type]
        for path, facts in found.items()
        if isinstance(facts, dict)
    }


def _inspect_header(path: Path) -> JSONValue:
    try:
        header = pictures.read_header(path)
    except pictures.UnreadableImageError as error:
        return asdict(Seen(reason=error.reason))
    return asdict(Seen(width=header.width, height=header.height))
