"""Pages of TIFF files, by tifffile: Pillow refuses colour TIFFs that declare themselves grey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from workers.datasets.files.rasters import (
    ORIENTATION_TAG,
    Header,
    Raster,
    check_pixels,
    profile_name,
    valid_orientation,
)

_PROFILE_TAG = 34675
_LOSSY = frozenset({6, 7, 33003, 33004, 33005, 34712, 50001})
"""Compressions JPEG (old and new), JPEG 2000 and WebP."""

_UNREADABLE = frozenset(
    {tifffile.PHOTOMETRIC.CIELAB, tifffile.PHOTOMETRIC.ICCLAB, tifffile.PHOTOMETRIC.ITULAB}
)


def pages_of(tiff: tifffile.TiffFile) -> Iterator[Any]:
    """Yields the pages that are not reduced copies of another page."""
    for page in tiff.pages:
        full = page if isinstance(page, tifffile.TiffPage) else page.aspage()
        if full.index == 0 or not full.is_reduced:
            yield full


def tiff_header(path: Path, tiff: tifffile.TiffFile) -> Header:
    """Returns the header of a file.

    Raises:
        UnreadableImageError: It is too large.
        ValueError: It has planes that are not pages, or pages of several sizes.
    """
    pages = list(pages_of(tiff))
    page = pages[0]
    bits = page.bitspersample
    for one in pages:
        check_pixels(path, int(one.imagewidth), int(one.imagelength) * int(one.imagedepth))
        if one.is_tiled:
            check_pixels(path, int(one.tilewidth), int(one.tilelength) * int(one.tiledepth))
    if len({(one.imagewidth, one.imagelength) for one in pages}) > 1:
        msg = "pages of several sizes; store one file for each, or pages of one size"
        raise ValueError(msg)
    if tiff.is_imagej and len(pages) == 1:
        frames = int((tiff.imagej_metadata or {}).get("images", 1))
        if frames > 1:
            msg = f"an ImageJ stack of {frames} planes in one page; store one file for each plane"
            raise ValueError(msg)
    orientation = page.tags.valueof(ORIENTATION_TAG)
    photometric = getattr(page.photometric, "name", str(page.photometric))
    return Header(
        width=int(page.imagewidth),
        height=int(page.imagelength),
        kind="TIFF",
        mode=photometric,
        bits=int(bits if isinstance(bits, int) else bits[0]),
        orientation=valid_orientation(None if orientation is None else int(orientation)),
        num_pages=len(pages),
        lossy=page.compression in _LOSSY,
        profile=profile_name(page.tags.valueof(_PROFILE_TAG)),
    )


def tiff_raster(page: Any) -> Raster:  # noqa: ANN401 - tifffile has no types
    """Returns the raster of a page.

    Raises:
        ValueError: Podium does not read this form of TIFF.
    """
    pixels = np.asarray(page.asarray())
    photometric = page.photometric
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 0, -1)
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    bands = channels in (2, 4) and photometric == tifffile.PHOTOMETRIC.MINISBLACK
    if bands and not set(page.extrasamples) & {1, 2}:
        msg = f"a TIFF of {channels} bands, none of which is marked as alpha; store grey or colour"
        raise ValueError(msg)
    if pixels.ndim not in (2, 3) or channels > 4 or pixels.dtype.kind not in "buif":
        msg = (
            f"a TIFF of {pixels.dtype}, shape {pixels.shape}, {getattr(photometric, 'name', '')}; "
            "store grey or colour, with or without alpha"
        )
        raise ValueError(msg)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        msg = "some of its levels are not finite (NaN)"
        raise ValueError(msg)
    if page.colormap is not None:
        colours = (np.asarray(page.colormap) >> 8).astype(np.uint8).T
        if pixels.dtype != np.uint8:
            msg = f"a TIFF with a palette and {pixels.dtype} indices; store 8 bits"
            raise ValueError(msg)
        palette = np.full((256, 4), 255, np.uint8)
        palette[: len(colours), :3] = colours
        return Raster(pixels, palette)
    if photometric == tifffile.PHOTOMETRIC.SEPARATED:
        if channels != 4 or pixels.dtype != np.uint8:
            msg = f"a TIFF of {channels} inks and {pixels.dtype}; store grey or colour"
            raise ValueError(msg)
        return Raster(np.asarray(Image.fromarray(pixels, mode="CMYK").convert("RGB")))
    if photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return Raster(_inverted(pixels, page.bitspersample))
    if photometric in _UNREADABLE or (
        photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression not in _LOSSY
    ):
        msg = f"a TIFF in {photometric.name} colours; store RGB"
        raise ValueError(msg)
    return Raster(pixels)


def _inverted(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    if pixels.dtype.kind not in "bu":
        msg = f"a TIFF of {pixels.dtype} in which 0 is white; store 8 or 16 bits"
        raise ValueError(msg)
    if pixels.dtype == np.bool_:
        return np.asarray(np.logical_not(pixels))
    return np.asarray(np.subtract(2**bits - 1, pixels, dtype=pixels.dtype))
