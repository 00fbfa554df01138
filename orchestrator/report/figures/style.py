"""Style of every figure: print widths, type, wrapped names, and reproducible bytes."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from orchestrator.ranking.podium import Podium
from orchestrator.report.figures.fonts import families_for, lacking_letters
from orchestrator.report.palette import INK, MUTED
from orchestrator.wording import count_of_text

SINGLE_COLUMN, DOUBLE_COLUMN = 3.5, 7.16
"""Widths of a journal's one and two columns (IEEE), in inches: a figure is drawn as printed."""

SMALL, NORMAL, LARGE = 7.0, 7.5, 8.5
"""Sizes of type in points; no text is smaller."""

LINE_HEIGHT = 0.118
"""Height of a line of small type, in inches."""

MAX_LINES, MAX_CAPTION_LINES = 6, 20
_SETTINGS: dict[Any, Any] = {
    # Element ids of an SVG file are hashes of this salt: without it they are random.
    "svg.hashsalt": "podium",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "font.size": NORMAL,
    "hatch.linewidth": 0.6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.hinting": "no_hinting",  # or letters are wider at few dots per inch than measured
    "text.parse_math": False,  # a label with two dollar signs is a label
}
# No dates and no program versions inside, so that equal figures are equal files.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# `(Nemenyi`, `Dice`, `iou+`
_PIECE = re.compile(r"\s*[(\[{]*(?:[A-Z]+(?![a-z])|[A-Z]?[^\sA-Z\-_+/(\[{]+|\S)[\-_+/]*")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One figure and the data it shows.

    Attributes:
        name: File name without suffix.
        figure: At its size in print, without the caption.
        caption: The text below it.
        texts: Its data, by suffix: `csv`, and for tables `tex` and `md`.
    """

    name: str
    figure: Figure
    caption: str
    texts: Mapping[str, str]


class NothingToDrawError(Exception):
    """The results lack the data of a figure; the message names them, as a clause."""


@contextmanager
def drawing_style(texts: Iterable[str] = ()) -> Iterator[None]:
    """Sets type and colours.

    Args:
        texts: Names that the figures will show, so that fonts with their letters are used.
    """
    fonts = families_for(texts)
    settings = _SETTINGS | {"font.family": fonts}
    if len(fonts) > 1:
        # A font with outlines of another kind (CFF) is embedded so that some viewers show nothing.
        settings |= {"pdf.fonttype": 3}
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    with mpl.rc_context(settings), warnings.catch_warnings():
        # `unknown_letters` says so for all letters at once.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        log.setLevel(logging.ERROR)  # or it tells of every font that has no bold face
        try:
            yield
        finally:
            log.setLevel(level)


def unknown_letters(drawn: Drawn) -> frozenset[str]:
    """Returns the letters of a figure that are drawn as boxes."""
    return lacking_letters(drawn.figure, mpl.rcParams["font.family"])


def add_caption(drawn: Drawn) -> None:
    """Adds the caption below a figure, which becomes taller by its height."""
    width, height = drawn.figure.get_size_inches()
    lines = wrap(drawn.caption, width - 0.1, max_lines=MAX_CAPTION_LINES)
    below = LINE_HEIGHT * num_lines(lines) + 0.1
    total = height + below
    drawn.figure.set_size_inches(width, total)
    for axes in drawn.figure.axes:
        box = axes.get_position(original=True)
        axes.set_position(
            (box.x0, (box.y0 * height + below) / total, box.width, box.height * height / total)
        )
    drawn.figure.text(
        0.05 / width, (below - 0.02) / total, lines, size=SMALL, color=MUTED, va="top"
    )  # fmt: skip


def save(drawn: Drawn, formats: Sequence[str], dots_per_inch: int) -> dict[str, bytes]:
    """Returns {file name: bytes} of one figure; the same figure gives the same bytes."""
    files: dict[str, bytes] = {}
    for kind in formats:
        buffer = io.BytesIO()
        drawn.figure.savefig(
            buffer, format=kind, dpi=dots_per_inch, metadata=_METADATA[kind], facecolor="white"
        )
        files[f"{drawn.name}.{kind}"] = buffer.getvalue()
    return files | {f"{drawn.name}.{kind}": text.encode() for kind, text in drawn.texts.items()}


def inch_axes(figure: Figure) -> Axes:
    """Returns axes over the whole figure in inches, (0, 0) at the top left."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    width, height = figure.get_size_inches()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return axes


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Returns axes at a position in inches from the top left of the figure."""
    total_width, total_height = figure.get_size_inches()
    box = (
        left / total_width,
        1 - (top + height) / total_height,
        width / total_width,
        height / total_height,
    )
    return figure.add_axes(box)


def text_width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Returns the width of a line of text, in inches."""
    return _text_width(text, size, "bold" if bold else "normal", *mpl.rcParams["font.family"])


@lru_cache(maxsize=10_000)
def _text_width(text: str, size: float, weight: str, *family: str) -> float:
    font = FontProperties(family=family, size=size, weight=weight)
    width: float = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    return width / 72


def wrap(
    text: str,
    width: float,
    size: float = SMALL,
    *,
    bold: bool = False,
    max_lines: int = MAX_LINES,
) -> str:
    """Breaks a name into lines of at most `width` inches, at most `max_lines` of them.

    Breaks at blanks. If that is not enough, breaks after hyphens and similar signs or before a
    capital (`Dice|Focal`), and then anywhere. A text that is still too long ends with an ellipsis.
    """
    lines = [""]
    for piece in _pieces(" ".join(text.split()), width, size, bold):
        if lines[-1] and text_width((lines[-1] + piece).rstrip(), size, bold=bold) > width:
            lines.append("")
        lines[-1] += piece
    lines = [line.strip() for line in lines]
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1][:-1] + "…"]
    return "\n".join(lines)


def _pieces(text: str, width: float, size: float, bold: bool) -> Iterator[str]:
    """Yields the pieces between breaks; a piece wider than the width as single letters."""
    for piece in _PIECE.findall(text):
        if text_width(piece.strip(), size, bold=bold) > width:
            yield from piece
        else:
            yield piece


def rows_of(names: Sequence[str], least: float) -> tuple[list[float], float]:
    """Returns the middle of a row for each wrapped name and the height of all, in inches."""
    middles, top = [], 0.0
    for name in names:
        height = max(least, LINE_HEIGHT * num_lines(name) + 0.05)
        middles.append(top + height / 2)
        top += height
    return middles, top


def num_lines(text: str) -> int:
    """Returns the number of lines of wrapped text."""
    return text.count("\n") + 1


def provisional_text(podium: Podium) -> str:
    """Returns a sentence with a blank before it if trials of a podium are missing, else nothing."""
    if not podium.provisional:
        return ""
    coverage = podium.coverage
    trials = count_of_text(coverage.present, coverage.expected, "trial")
    return f" Provisional: {trials} are finished."
