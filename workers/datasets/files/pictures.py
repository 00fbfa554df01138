"""Decoding and resizing of image files, with one error for every fault in them."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from workers.datasets.files.rasters import MAX_PIXELS as MAX_PIXELS
from workers.datasets.files.rasters import (
    ORIENTATION_TAG,
    Header,
    check_pixels,
    profile_name,
    valid_orientation,
)
from workers.datasets.files.rasters import Raster as Raster
from workers.datasets.files.rasters import RasterSize as RasterSize
from workers.datasets.files.rasters import UnreadableImageError as UnreadableImageError
from workers.datasets.files.tiffs import pages_of, tiff_header, tiff_raster

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm"}
)
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "TIFF")
_TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
_JPEG_FORMATS = frozenset({"JPEG", "MPO"})
_PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_PNG_EXIF = (b"Raw profile type exif", b"XML:com.adobe.xmp")
_JPEG_END = b"\xff\xd9"
_CHANNELS: dict[str, tuple[int, ...]] = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}
_QUICK = {("PNG", mode): imagecodecs.png_decode for mode in _CHANNELS} | {
    ("JPEG", mode): imagecodecs.jpeg8_decode for mode in ("L", "RGB")
}
_header_lock = threading.Lock()

AnyPicture = NDArray[np.bool_] | NDArray[np.uint8] | NDArray[np.uint16]


def is_jpeg(path: Path) -> bool:
    """Returns whether a file is a JPEG by its name."""
    return path.suffix.lower() in _JPEG_SUFFIXES


def read_header(path: Path) -> Header:
    """Returns the header of a picture.

    Raises:
        UnreadableImageError: The file is missing, of an unsupported kind or too large.
    """
    with _reading(path):
        if path.suffix.lower() in _TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as tiff:
                return tiff_header(path, tiff)
        with _open(path) as image:
            return _header(path, image)
    raise AssertionError  # `_reading` raises


def read_rasters(path: Path) -> Iterator[Raster]:
    """Yields every page of a picture as it is stored, one at a time.

    Raises:
        UnreadableImageError: The file is missing, broken, of an unsupported kind or too large.
    """
    with _reading(path):
        if path.suffix.lower() in _TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as tiff:
                tiff_header(path, tiff)
                for page in pages_of(tiff):
                    yield tiff_raster(page)
        else:
            with _open(path) as image:
                for frame in range(_num_frames(image)):
                    if frame:
                        image.seek(frame)
                    yield _raster(path, image)


def decode(path: Path, *, min_side: int | None = None) -> AnyPicture:
    """Returns the first page (H, W) or (H, W, C) as it is stored, palettes resolved.

    Args:
        path: The file. TIFF is read with tifffile, since Pillow refuses colour TIFFs that declare
            themselves grey (all of CVC-ClinicDB's).
        min_side: If given, a JPEG can be decoded at half, a quarter or an eighth of its size, with
            both sides at least this long.

    Raises:
        UnreadableImageError: The file is missing, broken, of an unsupported kind or too large.
    """
    with _reading(path):
        if path.suffix.lower() in _TIFF_SUFFIXES:
            with tifffile.TiffFile(path) as tiff:
                tiff_header(path, tiff)
                return _resolved(tiff_raster(next(pages_of(tiff))))
        with _open(path) as image:
            stored = image.size
            if min_side is not None and image.format in _JPEG_FORMATS:
                image.draft(image.mode, (min_side, min_side))
            return _resolved(_raster(path, image, quickly=image.size == stored))
    raise AssertionError  # `_reading` raises


def as_rgb(picture: AnyPicture, bits: int = 16) -> NDArray[np.uint8]:
    """Returns (H, W, 3): grey is repeated, alpha dropped, 16 bits cut to 8.

    Args:
        picture: (H, W) or (H, W, C).
        bits: How many of 16 bits are used; the upper 8 of the used bits are kept.
    """
    colour = _without_alpha(picture)
    if colour.dtype == np.bool_:
        levels = colour.astype(np.uint8) * np.uint8(255)
    elif colour.dtype == np.uint16:
        levels = (colour >> (bits - 8)).astype(np.uint8)
    else:
        levels = colour.astype(np.uint8, copy=False)
    if levels.ndim == 2:
        levels = levels[..., None]
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def resize_image(
    rgb_HWC: NDArray[np.uint8], side: int, *, by_blocks: bool = True
) -> NDArray[np.uint8]:
    """Returns (side, side, 3) by antialiased bilinear filtering (support grows with scale).

    Args:
        rgb_HWC: The picture.
        side: Side in pixels.
        by_blocks: Whether to average whole blocks of pixels first, if a reduction is beyond 6:
            several times faster; levels change by far less than one.
    """
    image = Image.fromarray(rgb_HWC)
    gap = 3.0 if by_blocks else None
    small = image.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=gap)
    return np.asarray(small)


def reduce_image(rgb_HWC: NDArray[np.uint8], path: Path, side: int) -> NDArray[np.uint8]:
    """Returns (side, side, 3) of an image as the cache holds it.

    Args:
        rgb_HWC: The picture; a JPEG can be reduced already.
        path: Its file.
        side: Side in pixels.
    """
    # libjpeg has averaged the blocks of a JPEG; a second average would change levels visibly.
    return resize_image(rgb_HWC, side, by_blocks=not is_jpeg(path))


def resize_mask(mask_HW: NDArray[np.bool_], *, width: int, height: int) -> NDArray[np.bool_]:
    """Returns (height, width): the nearest pixel of the mask, no new values."""
    image = Image.fromarray(mask_HW.view(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST)).astype(np.bool_)


def resize_mask_by_area(mask_HW: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Returns (side, side): a pixel is lesion if at least half of its area is lesion.

    A lesion that would vanish keeps the pixel that it covers most. Lesions are separated at the
    new size: regions that touch the same or neighbouring pixels, also diagonally, count as one.
    """
    levels = Image.fromarray(mask_HW.astype(np.float32))
    covered = np.asarray(levels.resize((side, side), Image.Resampling.BOX))
    lesion = covered >= 0.5
    labels, num = ndimage.label(covered > 0, structure=np.ones((3, 3)))
    numbers = np.arange(1, num + 1)
    lost = numbers[ndimage.maximum(covered, labels, numbers) < 0.5] if num else numbers
    for row, column in ndimage.maximum_position(covered, labels, lost) if lost.size else ():
        lesion[row, column] = True
    return np.asarray(lesion)


def pixel_key(picture: AnyPicture) -> str:
    """Returns a hash of the pixels and the shape."""
    shape = f"{picture.shape}/{picture.dtype}/".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).hexdigest()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except UnreadableImageError:
        raise
    except Exception as error:  # for a damaged file, decoders raise nearly any exception
        raise UnreadableImageError(path, _reason(error)) from error


def _open(path: Path) -> Image.Image:
    # Pillow warns about large pictures before their size is known; `check_pixels` refuses them.
    # Warning filters are global, so only one thread at a time may change them.
    with _header_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=_FORMATS)
    check_pixels(path, *image.size)
    return image


def _num_frames(image: Image.Image) -> int:
    # The further pictures of a camera's JPEG are previews and depth maps of the first.
    return 1 if image.format in _JPEG_FORMATS else int(getattr(image, "n_frames", 1))


def _header(path: Path, image: Image.Image) -> Header:
    return Header(
        width=image.width,
        height=image.height,
        kind=image.format or "",
        mode=image.mode,
        bits=_bits(path, image),
        orientation=_orientation(path, image),
        num_pages=_num_frames(image),
        lossy=image.format in _JPEG_FORMATS or (image.format == "WEBP" and _is_lossy_webp(path)),
        profile=profile_name(image.info.get("icc_profile")),
    )


def _orientation(path: Path, image: Image.Image) -> int:
    # For EXIF, Pillow decodes all of a PNG, because the chunk can come last.
    if image.format == "PNG" and not _has_exif(path.read_bytes()):
        return 1
    return valid_orientation(image.getexif().get(ORIENTATION_TAG))


def _has_exif(png: bytes) -> bool:
    position = 8
    while position + 8 <= len(png):
        kind = png[position + 4 : position + 8]
        text = png[position + 8 : position + 32]
        if kind == b"eXIf" or (kind in _PNG_TEXT and text.startswith(_PNG_EXIF)):
            return True
        position += 12 + int.from_bytes(png[position : position + 4])
    return False


def _bits(path: Path, image: Image.Image) -> int:
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[24]  # IHDR: Pillow cuts 16-bit colour to 8 bits without a warning
    return 1 if image.mode == "1" else 16 if image.mode.startswith("I") else 8


def _is_lossy_webp(path: Path) -> bool:
    with path.open("rb") as file:
        return b"VP8 " in file.read(4096)


def _raster(path: Path, image: Image.Image, *, quickly: bool = True) -> Raster:
    if quickly and (pixels := _quickly_decoded(path, image)) is not None:
        return Raster(pixels)
    if image.format == "PNG":
        _check_sums(path)
    if image.mode == "P":
        image.load()
        return Raster(np.asarray(image), _palette(image))
    if image.mode == "1":  # Pillow's bytes of True are 255
        return Raster(np.asarray(image).view(np.uint8) != 0)
    if image.mode in {"L", "LA", "RGB", "RGBA"}:
        return Raster(np.asarray(image))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return Raster(np.asarray(image).astype(np.uint16))
    if image.mode in {"I", "F"}:
        return Raster(np.asarray(image))
    return Raster(np.asarray(image.convert("RGB")))


def _check_sums(path: Path) -> None:
    """Refuses a PNG with a wrong checksum; Pillow checks it only in `verify`."""
    with _open(path) as image:
        try:
            image.verify()
        except SyntaxError as error:
            msg = "damaged: a checksum in the file is wrong, or its end is missing"
            raise ValueError(msg) from error


def _quickly_decoded(path: Path, image: Image.Image) -> NDArray[Any] | None:
    """Returns the same pixels as Pillow in half the time; of 16-bit colour all bits.

    None if the form is not supported or the file is damaged: Pillow has the better message.
    """
    decoder = _QUICK.get((image.format or "", image.mode))
    if decoder is None or "transparency" in image.info or getattr(image, "is_animated", False):
        return None
    data = path.read_bytes()
    if image.format == "PNG" and data[24] < 8:
        return None
    if image.format == "JPEG" and not data.endswith(_JPEG_END):
        return None  # this decoder accepts a file without its end
    try:
        pixels = np.asarray(decoder(data))
    except (RuntimeError, ValueError):
        return None
    return pixels if pixels.shape == (image.height, image.width, *_CHANNELS[image.mode]) else None


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 3] = 255
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    palette[: len(colours), :3] = colours
    transparency = image.info.get("transparency")
    if isinstance(transparency, bytes):
        palette[: len(transparency), 3] = np.frombuffer(transparency, np.uint8)
    elif isinstance(transparency, int):
        palette[transparency, 3] = 0
    return palette


def _resolved(raster: Raster) -> AnyPicture:
    pixels = raster.pixels
    if raster.palette is not None:
        return np.asarray(raster.palette[:, :3][pixels])
    if pixels.dtype not in (np.bool_, np.uint8, np.uint16):
        msg = f"levels of {pixels.dtype} are not supported in images; store 8 or 16 bits"
        raise ValueError(msg)
    return np.asarray(pixels)


def _without_alpha(picture: AnyPicture) -> AnyPicture:
    if picture.ndim == 2:
        return picture
    num_channels = picture.shape[2]
    return picture[..., : 3 if num_channels >= 3 else 1]


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError | tifffile.TiffFileError):
        return "not an image, or its beginning is damaged"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS // 1_000_000} million pixels"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    return str(error) or type(error).__name__
