"""The contact sheet as one HTML file that needs nothing but itself."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orchestrator.report.outlines import outline_path
from orchestrator.report.palette import TRUTH_COLOUR
from orchestrator.report.rendering import render
from orchestrator.report.sheet.samples import DatasetSheet, Picture

_SMALL = 128
"""A picture below this side is enlarged with sharp pixels, so that a shift by one is seen."""


@dataclass(frozen=True, kw_only=True)
class DrawnPicture:
    """One picture of the page; an empty `image` says that there is none."""

    picture: Picture
    width: int
    height: int
    image: str
    path: str
    is_small: bool


def render_sheet(sheets: Sequence[DatasetSheet]) -> str:
    """Returns the page as HTML text; every name in it is escaped."""
    return render(
        "sheet.html.j2",
        losses=(),
        scripts=(),
        data=None,
        sheets=[
            (
                sheet,
                [(tile, [_drawn(picture) for picture in tile.pictures]) for tile in sheet.tiles],
            )
            for sheet in sheets
        ],
        colour=TRUTH_COLOUR,
    )


def _drawn(picture: Picture) -> DrawnPicture:
    if picture.pixels is None:
        return DrawnPicture(picture=picture, width=1, height=1, image="", path="", is_small=False)
    height, width = picture.pixels.shape[:2]
    return DrawnPicture(
        picture=picture,
        width=width,
        height=height,
        image=_image(picture.pixels, exact=picture.lesion is None),
        path="" if picture.lesion is None else outline_path(picture.lesion),
        is_small=max(width, height) < _SMALL,
    )


def _image(pixels: NDArray[np.uint8], *, exact: bool) -> str:
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels)
    # JPEG would smear the few levels of a mask, and saves nothing of a small picture.
    if exact or max(picture.size) < _SMALL:
        kind = "png"
        picture.save(buffer, "PNG")
    else:
        kind = "jpeg"
        picture.save(buffer, "JPEG", quality=85)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode('ascii')}"
