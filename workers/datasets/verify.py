"""Looking at every file of a dataset and saying, by name, what is odd."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from workers.catalogue.datasets import DATASETS
from workers.contract import Component, JSONValue
from workers.datasets import DatasetNotFoundError, read_contents
from workers.datasets.fingerprint import relative_name
from workers.datasets.layout import Contents
from workers.datasets.pictures import (
    UnreadableImageError,
    as_foreground,
    as_rgb,
    asks_to_be_turned,
    decode,
    is_jpeg,
    num_between,
    pixel_key,
)
from workers.datasets.storage import num_build_threads


@dataclass(frozen=True, kw_only=True)
class UnreadableFile:
    """A file that cannot be decoded, and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SizeMismatch:
    """An image and a mask of different size; sizes are (width, height) in pixels."""

    image: str
    mask: str
    image_size: tuple[int, int]
    mask_size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class NonBinaryMask:
    """A mask with pixels that are neither 0 nor full scale."""

    file: str
    num_pixels: int


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What one dataset holds. Files are named relative to its folder.

    Attributes:
        dataset: Catalogue name.
        folder: The dataset's own folder.
        num_images: Images found that should have a mask.
        num_pairs: Images with at least one mask.
        num_official: Pairs of the complete parts that are present; None where it varies.
        unreadable: Files that cannot be decoded: mend these first.
        size_mismatches: Masks of another size than their image.
        empty_masks: Mask files without foreground; a valid answer.
        non_binary_masks: Masks that need the threshold; handled.
        images_without_mask: Left out.
        masks_without_image: Left out.
        duplicates: Groups of images with identical pixels; one part with `split_unit: group`.
        shared_images: Images with identical pixels in another verified dataset, as
            `dataset:file`.
        turned_images: Images with an EXIF orientation, which is ignored.
        notes: What was left out by rule.
    """

    dataset: str
    folder: str
    num_images: int
    num_pairs: int
    num_official: int | None
    unreadable: tuple[UnreadableFile, ...] = ()
    size_mismatches: tuple[SizeMismatch, ...] = ()
    empty_masks: tuple[str, ...] = ()
    non_binary_masks: tuple[NonBinaryMask, ...] = ()
    images_without_mask: tuple[str, ...] = ()
    masks_without_image: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    shared_images: tuple[tuple[str, ...], ...] = ()
    turned_images: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether every file can be used: nothing unreadable, unpaired or of a wrong size."""
        return not (
            self.unreadable
            or self.size_mismatches
            or self.images_without_mask
            or self.masks_without_image
        )

    @property
    def is_complete(self) -> bool:
        """Whether all official pairs are there; True where their number varies."""
        return self.num_official in (None, self.num_pairs)

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the report as plain JSON values."""
        document = dataclasses.asdict(self)
        return document | {"is_sound": self.is_sound, "is_complete": self.is_complete}


def verify(component: Component, root: Path) -> VerifyReport:
    """Decodes every file of one dataset in full and reports what is odd; never stops at a file.

    Args:
        component: A dataset in files.
        root: As for `workers.datasets.open_dataset`.

    Raises:
        DatasetNotFoundError: The dataset is not there.
        UserError: The dataset is generated.
    """
    return _verify(component.name, read_contents(component, root)).report


def verify_root(root: Path) -> list[VerifyReport]:
    """Verifies every dataset found under a root, a pair of images/ and masks/ included.

    Raises:
        DatasetNotFoundError: There is none.
    """
    found: list[_Verified] = []
    reasons: list[str] = []
    for name, entry in DATASETS.items():
        if entry.kind == "generated":
            continue
        try:
            contents = read_contents(Component(name=name), root, strict=True)
        except DatasetNotFoundError as error:
            reasons.append(str(error))
            continue
        if not any(contents.folder.samefile(one.report.folder) for one in found):
            found.append(_verify(name, contents))
    if not found:
        expected = sorted({e.folder for e in DATASETS.values() if e.folder is not None})
        looked = reasons[0].partition("Looked in: ")[2].partition(". Expected")[0]
        msg = (
            f"no dataset found. Looked in: {looked}. Expected one of: {', '.join(expected)}; "
            "`podium data list` says where to get them"
        )
        raise DatasetNotFoundError(msg)
    return _with_shared_images(found)


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """What looking at one pair found; the image's part and each mask's part are joined."""

    key: str | None = None
    turned: bool = False
    unreadable: tuple[UnreadableFile, ...] = ()
    size_mismatches: tuple[SizeMismatch, ...] = ()
    empty_masks: tuple[str, ...] = ()
    non_binary_masks: tuple[NonBinaryMask, ...] = ()


@dataclass(frozen=True)
class _Verified:
    report: VerifyReport
    keys: dict[str, list[str]]


_Relative = Callable[[Path], str]


def _verify(name: str, contents: Contents) -> _Verified:
    def relative(path: Path) -> str:
        return relative_name(contents.folder, path)

    pairs: list[tuple[Path, tuple[Path, ...]]] = [
        (sample.image, sample.masks) for sample in contents.samples if sample.image
    ]
    pairs += [(path, ()) for path in contents.images_without_mask]
    index_masks = DATASETS[name].label_is_identity
    with ThreadPoolExecutor(num_build_threads()) as pool:
        looked = list(pool.map(lambda p: _look(p[0], p[1], index_masks, relative), pairs))
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for (image, _), one in zip(pairs, looked, strict=True):
        if one.key is not None:
            keys[one.key].append(relative(image))
    found = _joined(looked)
    report = VerifyReport(
        dataset=name,
        folder=str(contents.folder),
        num_images=len(pairs),
        num_pairs=len(contents.samples),
        num_official=contents.num_official,
        unreadable=found.unreadable,
        size_mismatches=found.size_mismatches,
        empty_masks=found.empty_masks,
        non_binary_masks=found.non_binary_masks,
        images_without_mask=tuple(map(relative, contents.images_without_mask)),
        masks_without_image=tuple(map(relative, contents.masks_without_image)),
        duplicates=tuple(tuple(files) for files in keys.values() if len(files) > 1),
        turned_images=tuple(
            relative(image) for (image, _), one in zip(pairs, looked, strict=True) if one.turned
        ),
        notes=contents.notes,
    )
    return _Verified(report, dict(keys))


def _joined(parts: Sequence[_Looked]) -> _Looked:
    return _Looked(
        key=next((part.key for part in parts if part.key is not None), None),
        turned=any(part.turned for part in parts),
        unreadable=tuple(item for part in parts for item in part.unreadable),
        size_mismatches=tuple(item for part in parts for item in part.size_mismatches),
        empty_masks=tuple(item for part in parts for item in part.empty_masks),
        non_binary_masks=tuple(item for part in parts for item in part.non_binary_masks),
    )


def _look(image: Path, masks: tuple[Path, ...], index_masks: bool, relative: _Relative) -> _Looked:
    try:
        rgb = as_rgb(decode(image))
        size = (rgb.shape[1], rgb.shape[0])
        first = _Looked(key=pixel_key(rgb), turned=asks_to_be_turned(image))
    except UnreadableImageError as error:
        size = None
        first = _Looked(unreadable=(UnreadableFile(file=relative(image), reason=error.reason),))
    return _joined(
        [first, *(_look_at_mask(mask, image, size, index_masks, relative) for mask in masks)]
    )


def _look_at_mask(
    path: Path,
    image: Path,
    image_size: tuple[int, int] | None,
    index_masks: bool,
    relative: _Relative,
) -> _Looked:
    name = relative(path)
    try:
        mask = decode(path)
    except UnreadableImageError as error:
        return _Looked(unreadable=(UnreadableFile(file=name, reason=error.reason),))
    size = (mask.shape[1], mask.shape[0])
    mismatch = SizeMismatch(
        image=relative(image), mask=name, image_size=image_size or size, mask_size=size
    )
    is_index_mask = index_masks and not is_jpeg(path)
    is_empty = not as_foreground(mask, index_mask=is_index_mask).any()
    num = 0 if is_index_mask and mask.max() <= 1 else num_between(mask)
    return _Looked(
        size_mismatches=(mismatch,) if mismatch.image_size != size else (),
        empty_masks=(name,) if is_empty else (),
        non_binary_masks=(NonBinaryMask(file=name, num_pixels=num),) if num else (),
    )


def _with_shared_images(found: list[_Verified]) -> list[VerifyReport]:
    owners: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for one in found:
        for key, files in one.keys.items():
            owners[key].extend((one.report.dataset, file) for file in files)
    reports = []
    for one in found:
        shared = tuple(
            tuple(f"{dataset}:{file}" for dataset, file in owners[key])
            for key in one.keys
            if len({dataset for dataset, _ in owners[key]}) > 1
        )
        reports.append(dataclasses.replace(one.report, shared_images=shared))
    return reports
