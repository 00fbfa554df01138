"""What a dataset is: ordered pairs of image and mask, with a fingerprint of their content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.contract import UserError
from workers.datasets import pictures
from workers.datasets.fingerprint import hash_files, relative_name
from workers.datasets.likeness import hashes_of, picture_relations
from workers.datasets.siblings import Siblings
from workers.identity import digest

PREPARATION = 2
"""Raised whenever the same files would give other arrays. Part of the fingerprint, so that results
of two preparations never mix: `podium run` refuses to go on with those of another."""

MAX_ASPECT_DIFFERENCE = 0.02
"""A mask of another size is scaled to its image if the shapes agree this well (a fraction)."""


class DatasetNotFoundError(UserError):
    """The files of a dataset are not where they were looked for; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image with its mask.

    Attributes:
        name: Unique within the dataset, the same on every machine.
        image: The image file; None where it is generated.
        masks: The mask files, to be united; none where they are generated.
        group: What belongs together by layout (a video sequence), else the sample's own name.
            Equal pictures are joined later, when they are decoded (`Dataset.siblings`).
    """

    name: str
    image: Path | None
    masks: tuple[Path, ...]
    group: str


class Dataset(Protocol):
    """What the cache and the trials need of a dataset, from files or generated."""

    @property
    def name(self) -> str:
        """What messages call it: the user's alias, else the catalogue name."""
        ...

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The usable pairs, in natural order of their names."""
        ...

    def fingerprint(self, cache_dir: Path) -> str:
        """Returns 32 hexadecimal digits that change with any byte of the content."""
        ...

    def read_image(self, index: int, *, min_side: int | None = None) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3), in full or with both sides at least `min_side`."""
        ...

    def read_mask(self, index: int) -> NDArray[np.bool_]:
        """Returns the mask (H, W) at the image's full size; True is foreground."""
        ...

    def siblings(self, cache_dir: Path) -> Siblings:
        """Returns which samples are related: by layout, equal pictures and near duplicates."""
        ...


@dataclass(frozen=True, kw_only=True)
class FileDataset:
    """A dataset in files.

    Rules for all of them: the raster is taken as stored and EXIF orientation is ignored, because
    the masks are drawn on the stored raster (`podium data verify` names images that ask to be
    turned). Foreground is above 127 of 255 in the brightest colour channel; alpha is ignored.
    An empty mask is a valid answer and is kept.

    Attributes:
        folder: The dataset's own folder.
        rules: Adapter and version of its rules; part of the fingerprint.
        index_masks: Lossless masks that hold only 0 and 1 are class indices: 1 is foreground.
    """

    name: str
    samples: tuple[Sample, ...]
    folder: Path
    rules: str
    index_masks: bool = False

    def fingerprint(self, cache_dir: Path) -> str:
        """Returns 32 hexadecimal digits of preparation, rules, names, groups and file contents.

        Hashes are remembered in `cache_dir`, so that a second call only looks at file times.

        Raises:
            UserError: A file cannot be read, or the cache folder cannot be written.
        """
        files = [
            path for sample in self.samples for path in (self.image_path(sample), *sample.masks)
        ]
        hashes = hash_files(self.folder, files, cache_dir)

        def content(path: Path) -> list[str]:
            return [relative_name(self.folder, path), hashes[path]]

        rows = [
            [s.name, s.group, content(self.image_path(s)), [content(mask) for mask in s.masks]]
            for s in self.samples
        ]
        return digest([f"preparation/{PREPARATION}", self.rules, rows], length=32)

    def read_image(self, index: int, *, min_side: int | None = None) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3); a JPEG may come reduced, both sides at least `min_side`.

        Raises:
            UnreadableImageError: The file cannot be decoded.
        """
        path = self.image_path(self.samples[index])
        return pictures.as_rgb(pictures.decode(path, min_side=min_side))

    def read_mask(self, index: int) -> NDArray[np.bool_]:
        """Returns the union (H, W) of the sample's masks at the image's full size.

        A mask of another size but the same shape is scaled to the image (nearest).

        Raises:
            UnreadableImageError: A file cannot be decoded.
            UserError: A mask's shape does not fit its image.
        """
        sample = self.samples[index]
        size = pictures.stored_size(self.image_path(sample))
        union = np.zeros((size.height, size.width), dtype=np.bool_)
        for path in sample.masks:
            mask = pictures.as_foreground(
                pictures.decode(path),
                index_mask=self.index_masks and not pictures.is_jpeg(path),
            )
            union |= _fitted(mask, size, path, self.image_path(sample))
        return union

    def siblings(self, cache_dir: Path) -> Siblings:
        """Returns which samples are related: by layout, equal pictures and near duplicates.

        What was seen in a picture is remembered in `cache_dir`.

        Raises:
            UnreadableImageError: An image cannot be decoded; it is named.
            UserError: The cache folder cannot be written.
        """
        paths = [self.image_path(sample) for sample in self.samples]
        keys, equal = picture_relations(self.folder, paths, cache_dir)
        return Siblings(
            layout=tuple(sample.group for sample in self.samples),
            equal=equal,
            hashes=hashes_of(keys),
        )

    @staticmethod
    def image_path(sample: Sample) -> Path:
        """Returns the image file of a sample that has one."""
        if sample.image is None:
            msg = f"{sample.name} has no image file"
            raise ValueError(msg)
        return sample.image


def _fitted(
    mask: NDArray[np.bool_], size: pictures.Size, mask_path: Path, image_path: Path
) -> NDArray[np.bool_]:
    height, width = mask.shape
    if (width, height) == (size.width, size.height):
        return mask
    if abs(width * size.height / (height * size.width) - 1) > MAX_ASPECT_DIFFERENCE:
        msg = (
            f"{mask_path}: the mask is {width}x{height} pixels but its image {image_path} is "
            f"{size.width}x{size.height}: the shapes do not fit; was one of them turned "
            "(EXIF orientation) or cropped? Store both in the same raster, or remove the pair; "
            "`podium data verify ROOT` lists all such pairs"
        )
        raise UserError(msg)
    return pictures.resize_mask(mask, width=size.width, height=size.height)
