"""One look at every file of a dataset: can it be read, and does each mask fit its image?

What was seen is remembered by size and times of the file, so that a second look is quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from workers.contract import JSONValue
from workers.datasets import kinds, pictures
from workers.datasets.dataset import FileDataset, shapes_fit
from workers.datasets.findings import Finding, FindingKind, finding
from workers.datasets.fingerprint import relative_name, remembered
from workers.datasets.likeness import PICTURES, look_at_picture

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
        orientation: EXIF orientation; 1 is upright.
        reason: Why it cannot be read.
    """

    width: int = 0
    height: int = 0
    orientation: int = 1
    reason: str | None = None

    @property
    def size(self) -> pictures.Size:
        """Size of the stored raster."""
        return pictures.Size(self.width, self.height)


def look_at_files(dataset: FileDataset, cache_dir: Path) -> list[Finding]:
    """Returns what is odd in the files of a dataset, apart from what its masks mean.

    Args:
        dataset: Its files.
        cache_dir: Cache folder of this node.

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
            mask = masks[path]
            if mask.reason or image.reason or mask.size == image.size:
                continue
            found = scaled if shapes_fit(mask.size, image.size) else refused
            found[name(path)] = (
                f"{mask.width}x{mask.height}, its image {image.width}x{image.height}"
            )
    return [
        *finding(kinds.UNREADABLE, broken),
        *finding(MASK_SHAPE, refused),
        *finding(MASK_SCALED, scaled),
    ]


def _seen(folder: Path, paths: Iterable[Path], cache_dir: Path, what: str) -> dict[Path, Seen]:
    look = look_at_picture if what == PICTURES else _look_at_header
    found = remembered(folder, paths, cache_dir, what, look)
    known = {field.name for field in fields(Seen)}
    return {
        path: Seen(**{k: v for k, v in facts.items() if k in known})  # type: ignore[arg-type]
        for path, facts in found.items()
        if isinstance(facts, dict)
    }


def _look_at_header(path: Path) -> JSONValue:
    try:
        header = pictures.read_header(path)
    except pictures.UnreadableImageError as error:
        return asdict(Seen(reason=error.reason))
    return asdict(Seen(width=header.width, height=header.height, orientation=header.orientation))
