"""Pictures that the inspection keeps at the network's size, so that none is decoded twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.datasets.files.pictures import AnyPicture, as_rgb, reduce_image
from workers.datasets.files.rasters import Raster, RasterSize

MAX_BYTES = 256 * 2**20
"""Limit of the kept pictures; further files are decoded again."""


class ResizedPictures:
    """Images and masks of one dataset at one size; each can be taken once.

    Attributes:
        side: The network's size; None keeps nothing.
    """

    def __init__(self) -> None:
        self.side: int | None = None
        self._images: dict[Path, NDArray[np.uint8]] = {}
        self._masks: dict[Path, tuple[RasterSize, Raster]] = {}
        self._num_bytes = 0

    def add_image(self, path: Path, picture: AnyPicture) -> None:
        """Keeps an image that was decoded in full; levels of 16 bits need the whole dataset."""
        if self.side is not None and picture.dtype == np.uint8 and self._has_room(3):
            self._images[path] = reduce_image(as_rgb(picture), path, self.side)

    def add_mask(self, path: Path, raster: Raster) -> None:
        """Keeps the only page of a mask."""
        height, width = raster.pixels.shape[:2]
        if self.side is not None and self._has_room(raster.pixels[0, 0].nbytes):
            self._masks[path] = RasterSize(width, height), raster.nearest(self.side, self.side)

    def _has_room(self, bytes_per_pixel: int) -> bool:
        self._num_bytes += bytes_per_pixel * (self.side or 0) ** 2
        return self._num_bytes <= MAX_BYTES

    def take_image(self, path: Path, side: int) -> NDArray[np.uint8] | None:
        """Returns an image at the network's size, if it was kept."""
        return self._images.pop(path, None) if side == self.side else None

    def take_mask(self, path: Path, side: int | None, size: RasterSize) -> Raster | None:
        """Returns the nearest pixels of a mask of the given size, if it was kept."""
        found = self._masks.pop(path, None) if side == self.side else None
        return found[1] if found is not None and found[0] == size else None
