"""Decoding and resizing of image files, with one error for everything that can be wrong in them."""

from __future__ import annotations

import hashlib
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from workers.contract import UserError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm"}
)
MAX_PIXELS = 100_000_000
"""Larger pictures are refused: a small file can otherwise ask for all memory."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "TIFF")
_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
_ORIENTATION_TAG = 0x0112
_header_lock = threading.Lock()

AnyPicture = NDArray[np.bool_] | NDArray[np.uint8] | NDArray[np.uint16]


class UnreadableImageError(UserError):
    """A file that cannot be decoded.

    Attributes:
        path: The file.
        reason: What the decoder said.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"{path}: cannot be read as an image: {reason}; `podium data verify ROOT` lists all "
            "such files; fetch them again, or remove each with its mask"
        )


@dataclass(frozen=True)
class Size:
    """Width and height of a stored raster, pixels."""

    width: int
    height: int


def is_jpeg(path: Path) -> bool:
    """Tells by the name whether a file is a JPEG."""
    return path.suffix.lower() in _JPEG_SUFFIXES


def decode(path: Path, *, min_side: int | None = None) -> AnyPicture:
    """Returns the stored raster (H, W) or (H, W, C), palettes resolved.

    Args:
        path: The file. TIFF is read with tifffile, since Pillow refuses colour TIFFs that declare
            themselves grey (all of CVC-ClinicDB's); of several pages the first.
        min_side: If given, a JPEG may be decoded at half, a quarter or an eighth of its size, as
            long as both sides stay at least this long.

    Raises:
        UnreadableImageError: The file is missing, broken, of an unsupported kind or too large.
    """
    try:
        if path.suffix.lower() in _TIFF_SUFFIXES:
            return _decode_tiff(path)
        with _open(path) as image:
            if min_side is not None and image.format == "JPEG":
                image.draft(image.mode, (min_side, min_side))
            return _raster(image)
    except UnreadableImageError:
        raise
    except Exception as error:  # a broken file makes decoders raise nearly anything
        raise UnreadableImageError(path, _reason(error)) from error


def stored_size(path: Path) -> Size:
    """Returns the size of the stored raster, from the header alone.

    Raises:
        UnreadableImageError: As for `decode`.
    """
    try:
        if path.suffix.lower() in _TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages.first
                return Size(int(page.imagewidth), int(page.imagelength))
        with _open(path) as image:
            return Size(*image.size)
    except UnreadableImageError:
        raise
    except Exception as error:  # as in decode
        raise UnreadableImageError(path, _reason(error)) from error


def asks_to_be_turned(path: Path) -> bool:
    """Tells whether a readable file carries an EXIF orientation other than upright."""
    if path.suffix.lower() in _TIFF_SUFFIXES:
        return False
    with _open(path) as image:
        return int(image.getexif().get(_ORIENTATION_TAG, 1)) != 1


def as_rgb(picture: AnyPicture) -> NDArray[np.uint8]:
    """Returns (H, W, 3): grey is repeated, alpha dropped, 16 bits cut to the upper 8."""
    colour = _without_alpha(picture)
    if colour.dtype == np.bool_:
        levels = colour.astype(np.uint8) * np.uint8(255)
    elif colour.dtype == np.uint16:
        levels = (colour >> 8).astype(np.uint8)
    else:
        levels = colour.astype(np.uint8, copy=False)
    if levels.ndim == 2:
        levels = levels[..., None]
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def brightest(picture: AnyPicture) -> AnyPicture:
    """Returns (H, W): the brightest colour channel, alpha dropped."""
    colour = _without_alpha(picture)
    return colour.max(axis=2) if colour.ndim == 3 else colour


def as_foreground(picture: AnyPicture, *, index_mask: bool = False) -> NDArray[np.bool_]:
    """Returns (H, W), True where the brightest channel is above half of full scale (127 of 255).

    Args:
        picture: A decoded mask.
        index_mask: If it holds nothing above 1, take 1 for foreground.
    """
    levels = brightest(picture)
    if index_mask and levels.size and levels.max() <= 1:
        return np.asarray(levels == 1)
    return np.asarray(levels > _full_scale(levels) // 2)


def num_between(picture: AnyPicture) -> int:
    """Returns how many pixels of a mask are neither 0 nor full scale."""
    levels = brightest(picture)
    return int(np.count_nonzero((levels > 0) & (levels < _full_scale(levels))))


def resize_image(rgb_HWC: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Returns (side, side, 3) by antialiased bilinear filtering (support grows with scale).

    Reductions beyond 6 are first averaged over whole blocks of pixels, which changes levels by
    well under one and is several times faster.
    """
    image = Image.fromarray(rgb_HWC)
    small = image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small)


def resize_mask(mask_HW: NDArray[np.bool_], *, width: int, height: int) -> NDArray[np.bool_]:
    """Returns (height, width): the nearest pixel of the mask, no new values."""
    image = Image.fromarray(mask_HW.view(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST)).astype(np.bool_)


def pixel_key(picture: AnyPicture) -> str:
    """Returns a hash of the pixels and the shape."""
    shape = f"{picture.shape}/{picture.dtype}/".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).hexdigest()


def _open(path: Path) -> Image.Image:
    # Pillow warns about large pictures before their size can be asked for; we refuse them by our
    # own bound. Warning filters are global, so only one thread at a time may change them.
    with _header_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=_FORMATS)
    _check_pixels(path, *image.size)
    return image


def _check_pixels(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            path, f"{width}x{height} pixels, more than {MAX_PIXELS // 1_000_000} million"
        )


def _raster(image: Image.Image) -> AnyPicture:
    if image.mode in {"1", "L", "LA", "RGB", "RGBA"}:
        return np.asarray(image)
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in {"I", "F"}:
        msg = f"pixels of {image.mode} (32 bits) are not supported; store 8 or 16 bits"
        raise ValueError(msg)
    return np.asarray(image.convert("RGB"))


def _decode_tiff(path: Path) -> AnyPicture:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        _check_pixels(path, int(page.imagewidth), int(page.imagelength))
        raster = np.asarray(page.asarray())
        if page.colormap is not None:
            raster = np.moveaxis(page.colormap[:, raster], 0, -1)
        elif page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and raster.ndim == 3:
            raster = np.moveaxis(raster, 0, -1)
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    if raster.dtype not in (np.bool_, np.uint8, np.uint16) or raster.ndim not in (2, 3):
        msg = f"TIFF of {raster.dtype}, shape {raster.shape}; store 8 or 16 bits, grey or colour"
        raise ValueError(msg)
    return np.invert(raster) if inverted else raster


def _without_alpha(picture: AnyPicture) -> AnyPicture:
    if picture.ndim == 2:
        return picture
    num_channels = picture.shape[2]
    return picture[..., : 3 if num_channels >= 3 else 1]


def _full_scale(picture: AnyPicture) -> int:
    return 1 if picture.dtype == np.bool_ else int(2 ** (8 * picture.itemsize) - 1)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError | tifffile.TiffFileError):
        return "not an image, or its beginning is damaged"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    return str(error) or type(error).__name__
