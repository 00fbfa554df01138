"""The contact sheet as one PNG, drawn with Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from orchestrator.report.outlines import outlines
from orchestrator.report.palette import INK, MUTED, TRUTH_COLOUR
from orchestrator.report.sheet.samples import DatasetSheet, Picture, Tile
from orchestrator.wording import count_of_text

_WIDTH, _MARGIN, _GAP = 1480, 40, 16
_UNITS = 7
"""Pictures beside each other."""

_BOX = (_WIDTH - 2 * _MARGIN - (_UNITS - 1) * _GAP) // _UNITS
_PAPER, _EMPTY, _WARN = "#FAF9F5", "#E4E1D8", "#8A5A00"
_SIZES = {"title": 28, "text": 14, "small": 12}
_LINE = 1.35


@dataclass(frozen=True)
class _Text:
    """Lines of one style."""

    lines: tuple[str, ...]
    style: str
    colour: str

    @property
    def height(self) -> int:
        return round(len(self.lines) * _SIZES[self.style] * _LINE)


def draw_sheet(sheets: Iterable[DatasetSheet]) -> bytes:
    """Returns the sheet as PNG."""
    pieces = [_draw_sheet(sheet) for sheet in sheets]
    page = Image.new("RGB", (_WIDTH, sum(piece.height for piece in pieces)), _PAPER)
    top = 0
    for piece in pieces:
        page.paste(piece, (0, top))
        top += piece.height
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw_sheet(sheet: DatasetSheet) -> Image.Image:
    width = _WIDTH - 2 * _MARGIN
    head = [
        _wrapped(sheet.title, width, "title", INK),
        _wrapped(" · ".join(sheet.facts), width, "text", MUTED),
        *(_wrapped(f"refused: {text}", width, "text", _WARN) for text in sheet.refusals),
        *(_wrapped(f"note: {text}", width, "text", MUTED) for text in sheet.notes),
    ]
    rows = _rows(sheet.tiles)
    odd = f"; {sheet.num_odd:,} with a finding" if sheet.num_odd else ""
    shown = count_of_text(len(sheet.tiles), sheet.num_known, "sample")
    foot = _wrapped(f"{shown} shown{odd}", width, "small", MUTED)
    heights = [max(_tile_height(tile) for tile in row) for row in rows]
    total = _MARGIN + sum(text.height + 4 for text in head) + 20 + foot.height
    page = Image.new("RGB", (_WIDTH, total + sum(height + 22 for height in heights)), _PAPER)
    draw = ImageDraw.Draw(page)
    top = _MARGIN
    for text in head:
        _write(draw, text, _MARGIN, top)
        top += text.height + 4
    top += 16
    for row, height in zip(rows, heights, strict=True):
        left = _MARGIN
        for tile in row:
            _draw_tile(page, draw, tile, left, top)
            left += len(tile.pictures) * (_BOX + _GAP)
        top += height + 22
    _write(draw, foot, _MARGIN, top - 8)
    return page


def _rows(tiles: Sequence[Tile]) -> list[list[Tile]]:
    rows: list[list[Tile]] = []
    room = 0
    for tile in tiles:
        if len(tile.pictures) > room:
            rows.append([])
            room = _UNITS
        rows[-1].append(tile)
        room -= len(tile.pictures)
    return rows


def _tile_texts(tile: Tile) -> list[_Text]:
    width = len(tile.pictures) * (_BOX + _GAP) - _GAP
    colour = _WARN if tile.refused else MUTED
    return [_wrapped(note, width, "small", colour) for note in tile.notes]


def _caption(picture: Picture) -> list[_Text]:
    return [
        _wrapped(picture.caption, _BOX, "small", INK),
        *([_wrapped(picture.problem, _BOX, "small", _WARN)] if picture.problem else []),
    ]


def _picture_height(picture: Picture) -> int:
    return _shown_size(picture)[1] + 4 + sum(text.height for text in _caption(picture))


def _shown_size(picture: Picture) -> tuple[int, int]:
    if picture.pixels is None:
        return _BOX, _BOX * 3 // 4
    height, width = picture.pixels.shape[:2]
    scale = _BOX / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _tile_height(tile: Tile) -> int:
    pictures = max(_picture_height(picture) for picture in tile.pictures)
    return pictures + 4 + sum(text.height for text in _tile_texts(tile))


def _draw_tile(
    page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, left: int, top: int
) -> None:
    for place, picture in enumerate(tile.pictures):
        _draw_picture(page, draw, picture, left + place * (_BOX + _GAP), top)
    top += max(_picture_height(picture) for picture in tile.pictures) + 4
    for text in _tile_texts(tile):
        _write(draw, text, left, top)
        top += text.height


def _draw_picture(
    page: Image.Image, draw: ImageDraw.ImageDraw, picture: Picture, left: int, top: int
) -> None:
    width, height = _shown_size(picture)
    if picture.pixels is None:
        draw.rectangle((left, top, left + width - 1, top + height - 1), outline=_EMPTY, width=2)
    else:
        small = max(picture.pixels.shape[:2]) < _BOX
        how = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
        fine = Image.fromarray(picture.pixels).resize((2 * width, 2 * height), how)
        if picture.lesion is not None:
            _draw_outline(fine, picture.lesion, 2 * width / picture.pixels.shape[1])
        page.paste(fine.resize((width, height), Image.Resampling.LANCZOS), (left, top))
    top += height + 4
    for text in _caption(picture):
        _write(draw, text, left, top)
        top += text.height


def _draw_outline(picture: Image.Image, lesion: NDArray[np.bool_], scale: float) -> None:
    draw = ImageDraw.Draw(picture)
    lines = [
        [(x * scale, y * scale) for x, y in (*line, *line[:2])] for line in outlines(lesion) if line
    ]
    for colour, width in (("#000000", 7), (TRUTH_COLOUR, 4)):  # dark beside light: seen on any
        for line in lines:
            draw.line(line, fill=colour, width=width, joint="curve")


def _write(draw: ImageDraw.ImageDraw, text: _Text, left: int, top: int) -> None:
    step = _SIZES[text.style] * _LINE
    for number, line in enumerate(text.lines):
        draw.text(
            (left, top + round(number * step)), line, fill=text.colour, font=_font(text.style)
        )


@cache
def _font(style: str) -> ImageFont.FreeTypeFont:
    """Returns DejaVu Sans, which matplotlib brings: Pillow's own font has few letters."""
    package = find_spec("matplotlib")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), _SIZES[style])


def _wrapped(text: str, width: int, style: str, colour: str) -> _Text:
    font = _font(style)
    lines: list[str] = []
    line = ""
    for word in text.split():
        for piece in _pieces(word, width, font):
            longer = f"{line} {piece}".strip()
            if font.getlength(longer) <= width:
                line = longer
            else:
                lines.append(line)
                line = piece
    return _Text((*filter(None, lines), line), style, colour)


def _pieces(word: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Cuts a word that is wider than a line."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
