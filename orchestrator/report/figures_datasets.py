"""Figure 1: one image of each dataset with the outline of its lesion, and image counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from orchestrator.report.data import Sweep
from orchestrator.report.examples import Example
from orchestrator.report.figures_files import csv_text, table_texts
from orchestrator.report.figures_style import (
    DOUBLE_COLUMN,
    LINE_HEIGHT,
    NORMAL,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    inch_axes,
    num_lines,
    wrap,
)
from orchestrator.report.outlines import outlines
from orchestrator.report.palette import MUTED
from orchestrator.report.panels import ImageCounts, image_counts
from orchestrator.wording import MISSING, count_text

_GAP, _MAX_TILE, _MAX_COLUMNS = 0.08, 1.6, 6
_CAPTION = "White outline: true mask. Below: images in all; train / validation / test."


def datasets_figure(sweep: Sweep, examples: Sequence[Example]) -> Drawn:
    """Draws one tile a dataset; see `examples` for how its image is chosen."""
    width = SINGLE_COLUMN if len(examples) <= 2 else DOUBLE_COLUMN
    columns = min(len(examples), _MAX_COLUMNS)
    tile = min((width - _GAP * (columns + 1)) / columns, _MAX_TILE)
    names = [
        wrap(sweep.title("dataset", example.dataset), tile, NORMAL, bold=True)
        for example in examples
    ]
    counts = [_counts_text(sweep, example, tile) for example in examples]
    name_height = (LINE_HEIGHT + 0.01) * max(map(num_lines, names)) + 0.05
    below = name_height + LINE_HEIGHT * max(map(num_lines, counts)) + 0.1
    rows = -(-len(examples) // columns)
    figure = Figure(figsize=(width, rows * (tile + below) + _GAP - 0.02))
    page = inch_axes(figure)
    for position, example in enumerate(examples):
        left = _GAP + position % columns * (tile + _GAP)
        top = _GAP + position // columns * (tile + below)
        draw_tile(page, example.pixels, left, top, tile)
        draw_outline(page, example.truth, left, top, tile, colour="white")
        page.text(left, top + tile + 0.05, names[position], size=NORMAL, weight="bold", va="top",
                  linespacing=1.15)  # fmt: skip
        page.text(left, top + tile + 0.03 + name_height, counts[position], size=SMALL, va="top",
                  linespacing=1.15)  # fmt: skip
    texts = _texts(sweep, examples)
    return Drawn(name="figure1", figure=figure, caption=_CAPTION, texts=texts)


def draw_tile(page: Axes, image: np.ndarray, left: float, top: float, size: float) -> None:
    """Draws an image (H, W, 3), or a mask (H, W) in black and white, in a thin frame.

    Args:
        page: Axes in inches; axes of its own for every tile would take ten times longer.
        image: What to draw.
        left: In inches; `top` and `size` likewise.
        top: Upper edge.
        size: Width and height.
    """
    page.imshow(
        image, extent=(left, left + size, top + size, top), cmap="gray", vmin=0, vmax=1,
        aspect="auto",
    )  # fmt: skip
    page.add_patch(Rectangle((left, top), size, size, fill=False, edgecolor=MUTED, linewidth=0.4))


def draw_outline(
    page: Axes, mask: np.ndarray, left: float, top: float, size: float,
    *, colour: str, width: float = 0.9,
) -> None:  # fmt: skip
    """Draws a mask's outline over its tile, cased in black to show on dark and on light pixels."""
    height, across = mask.shape
    for line in outlines(mask):
        closed = np.array([*line, line[0]]) * [size / across, size / height] + [left, top]
        page.plot(
            closed[:, 0], closed[:, 1], color=colour, linewidth=width,
            path_effects=[withStroke(linewidth=2.2 * width, foreground="black")],
        )  # fmt: skip


def _counts_text(sweep: Sweep, example: Example, width: float) -> str:
    counts = image_counts(sweep, example.dataset)
    if counts is None:
        return ""
    parts = " / ".join(_span(part) for part in (counts.train, counts.val, counts.test))
    total = count_text(counts.total[0], "image") if counts.total[0] == counts.total[1] else ""
    total = total or f"{_span(counts.total)} images"
    return f"{wrap(total, width)}\n{wrap(parts, width)}"


def _span(numbers: tuple[int, int]) -> str:
    low, high = numbers
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"  # noqa: RUF001 - a range


def _texts(sweep: Sweep, examples: Sequence[Example]) -> dict[str, str]:
    rows: list[tuple[object, ...]] = []
    shown: list[tuple[str, ...]] = []
    for example in examples:
        spans = _spans(image_counts(sweep, example.dataset))
        ends: list[int | None] = [end for span in spans for end in span] or [None] * 8
        rows.append((example.dataset, *ends, example.image))
        texts = [_span(span) for span in spans] or [MISSING] * 4
        shown.append((sweep.title("dataset", example.dataset), *texts))
    parts = ("images", "train", "val", "test")
    columns = ("dataset", *(f"{end}_{part}" for part in parts for end in ("min", "max")), "shown")
    heads = ("Dataset", "Images", "Train", "Validation", "Test")
    return {"csv": csv_text(columns, rows)} | table_texts(heads, shown, "Images of each dataset.")


def _spans(counts: ImageCounts | None) -> tuple[tuple[int, int], ...]:
    return (counts.total, counts.train, counts.val, counts.test) if counts else ()
