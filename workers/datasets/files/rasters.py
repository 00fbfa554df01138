"""Pages of picture files as they are stored, their headers, and the error of both."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from workers.contract import UserError

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: otherwise a small file could need all memory."""
ORIENTATION_TAG = 0x0112
"""Of EXIF and TIFF: how a viewer turns the stored raster."""


class UnreadableImageError(UserError):
    """A file that cannot be decoded.

    Attributes:
        path: The file.
        reason: Message of the decoder.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"{path}: cannot be read as an image: {reason}; `podium data verify ROOT` lists all "
            "such files; fetch them again, or remove each with its mask"
        )


@dataclass(frozen=True)
class RasterSize:
    """Width and height of a stored raster, pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Raster:
    """One page of a file, as it is stored.

    Attributes:
        pixels: (H, W) or (H, W, C): levels, or indices if there is a palette.
        palette: (256, 4) red, green, blue and alpha of each index; None for levels.
    """

    pixels: NDArray[Any]
    palette: NDArray[np.uint8] | None = None

    @property
    def has_alpha(self) -> bool:
        """Whether a pixel can be transparent."""
        if self.palette is not None:
            return bool((self.palette[:, 3] < 255).any())
        return self.pixels.ndim == 3 and self.pixels.shape[2] in (2, 4)

    def nearest(self, width: int, height: int) -> Raster:
        """Returns (height, width): the nearest pixels, as Pillow selects them."""
        rows = nearest_indices(self.pixels.shape[0], height)
        columns = nearest_indices(self.pixels.shape[1], width)
        return Raster(self.pixels.take(rows, axis=0).take(columns, axis=1), self.palette)

    def turned(self, orientation: int) -> Raster:
        """Returns the page as a viewer shows it with the EXIF orientation 1 to 8."""
        pixels = self.pixels
        if orientation >= 5:
            pixels = np.swapaxes(pixels, 0, 1)
        if orientation in (3, 4, 7, 8):
            pixels = pixels[::-1]
        if orientation in (2, 3, 6, 7):
            pixels = pixels[:, ::-1]
        return Raster(np.ascontiguousarray(pixels), self.palette)

    def rgb(self) -> NDArray[np.uint8] | None:
        """Returns (H, W, 3), of 16 bits the upper 8; None if all channels are equal."""
        if self.palette is not None:
            used = self.palette[np.unique(self.pixels), :3]
            return self.palette[:, :3][self.pixels] if _differ(used) else None
        if self.pixels.ndim == 2 or self.pixels.shape[2] < 3 or not _differ(self.pixels):
            return None
        pixels = self.pixels[..., :3]
        return (pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)


def _differ(colours: NDArray[Any]) -> bool:
    first = colours[..., 0]
    return any(bool((first != colours[..., other]).any()) for other in (1, 2))


@lru_cache(maxsize=256)
def nearest_indices(length: int, num: int) -> NDArray[np.int32]:
    """Returns which of `length` pixels Pillow selects for each of `num` with its nearest filter."""
    ramp = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    taken: NDArray[np.int32] = np.asarray(ramp.resize((num, 1), Image.Resampling.NEAREST))[0]
    return taken


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a file, read before its pixels are decoded.

    Attributes:
        width: Pixels of a stored row.
        height: Stored rows.
        kind: Format, "PNG".
        mode: How pixels are stored, as Pillow calls it, "RGBA"; for a TIFF its photometric
            interpretation.
        bits: Bits of one level.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        num_pages: Pages or frames, without reduced copies.
        lossy: Whether its compression changes levels.
        profile: Description of an embedded colour profile; empty without one.
    """

    width: int
    height: int
    kind: str
    mode: str
    bits: int
    orientation: int = 1
    num_pages: int = 1
    lossy: bool = False
    profile: str = ""

    @property
    def is_jpeg(self) -> bool:
        """Whether it is a JPEG, whatever its name."""
        return self.kind in ("JPEG", "MPO")

    @property
    def size(self) -> RasterSize:
        """Size of the stored raster."""
        return RasterSize(self.width, self.height)


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuses a picture that would need too much memory.

    Raises:
        UnreadableImageError: It has more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            path, f"{width}x{height} pixels, more than {MAX_PIXELS // 1_000_000} million"
        )


def valid_orientation(value: object) -> int:
    """Returns the orientation of a tag: 1 (upright) for a value that is not valid."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def profile_name(data: object) -> str:
    """Returns the description of an ICC profile; empty without one."""
    if not isinstance(data, bytes) or not data:
        return ""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        return ImageCms.getProfileDescription(profile).strip() or "unnamed"
    except (OSError, ImageCms.PyCMSError):
        return "damaged"
