"""Figures 1 and 3: one image of each dataset with its lesion; the prediction of each loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text, table_texts
from orchestrator.report.figures.style import (
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
from orchestrator.report.palette import MUTED, TRUTH_LINE
from orchestrator.report.predictions import (
    BINARISATIONS,
    DatasetSizes,
    Example,
    dataset_sizes,
)
from orchestrator.wording import MISSING, count_text, decimal_text

_TILE_GAP, _MAX_TILE, _MAX_COLUMNS = 0.08, 1.6, 6
"""Figure 1, in inches."""

_MARGIN, _LABEL, _GAP, _MAX_LOSSES = 0.05, 0.16, 0.04, 10
_MIN_MASK, _MAX_MASK, _STEP = 0.44, 0.95, 0.03
_MAX_HEAD_LINES = 20
_DICE_HEIGHT, _SPACE = 0.13, 0.05
_BODY = 9.6 - 0.1 - 4 * LINE_HEIGHT
"""Figure 3, in inches; the last is a page without its caption."""

_ROW_LABELS = {"half": "σ > 0.5", "mean": "> mean"}
_CAPTION = "White outline: true mask. Below: number of all images; train / validation / test."


def datasets_figure(sweep: RankedSweep, examples: Sequence[Example]) -> Drawn:
    """Draws one tile per dataset; `examples` chooses its image."""
    width = SINGLE_COLUMN if len(examples) <= 2 else DOUBLE_COLUMN
    columns = min(len(examples), _MAX_COLUMNS)
    tile = min((width - _TILE_GAP * (columns + 1)) / columns, _MAX_TILE)
    names = [
        wrap(sweep.title("dataset", example.dataset), tile, NORMAL, bold=True)
        for example in examples
    ]
    counts = [_counts_text(sweep, example, tile) for example in examples]
    name_height = (LINE_HEIGHT + 0.01) * max(map(num_lines, names)) + 0.05
    below = name_height + LINE_HEIGHT * max(map(num_lines, counts)) + 0.1
    rows = -(-len(examples) // columns)
    figure = Figure(figsize=(width, rows * (tile + below) + _TILE_GAP - 0.02))
    page = inch_axes(figure)
    for position, example in enumerate(examples):
        left = _TILE_GAP + position % columns * (tile + _TILE_GAP)
        top = _TILE_GAP + position // columns * (tile + below)
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
        page: Axes in inches; separate axes for every tile would take ten times longer.
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
    """Draws a mask's outline over its tile, with a black edge to be visible on light pixels."""
    height, across = mask.shape
    for line in outlines(mask):
        closed = np.array([*line, line[0]]) * [size / across, size / height] + [left, top]
        page.plot(
            closed[:, 0], closed[:, 1], color=colour, linewidth=width,
            path_effects=[withStroke(linewidth=2.2 * width, foreground="black")],
        )  # fmt: skip


def _counts_text(sweep: RankedSweep, example: Example, width: float) -> str:
    counts = dataset_sizes(sweep, example.dataset)
    if counts is None:
        return ""
    parts = " / ".join(_span(part) for part in (counts.train, counts.val, counts.test))
    total = count_text(counts.total[0], "image") if counts.total[0] == counts.total[1] else ""
    total = total or f"{_span(counts.total)} images"
    return f"{wrap(total, width)}\n{wrap(parts, width)}"


def _span(numbers: tuple[int, int]) -> str:
    low, high = numbers
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"  # noqa: RUF001 - a range


def _texts(sweep: RankedSweep, examples: Sequence[Example]) -> dict[str, str]:
    rows: list[tuple[object, ...]] = []
    shown: list[tuple[str, ...]] = []
    for example in examples:
        spans = _spans(dataset_sizes(sweep, example.dataset))
        ends: list[int | None] = [end for span in spans for end in span] or [None] * 8
        rows.append((example.dataset, *ends, example.image))
        texts = [_span(span) for span in spans] or [MISSING] * 4
        shown.append((sweep.title("dataset", example.dataset), *texts))
    parts = ("images", "train", "val", "test")
    columns = ("dataset", *(f"{end}_{part}" for part in parts for end in ("min", "max")), "shown")
    heads = ("Dataset", "Images", "Train", "Validation", "Test")
    return {"csv": csv_text(columns, rows)} | table_texts(heads, shown, "Images of each dataset.")


def _spans(counts: DatasetSizes | None) -> tuple[tuple[int, int], ...]:
    return (counts.total, counts.train, counts.val, counts.test) if counts else ()


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Sizes in inches; losses that do not fit beside each other form further bands below.

    Attributes:
        heads: Wrapped names of the losses.
        names: Wrapped name of each example, above its first row.
        bands: Losses of each band; image and truth stand at the left of the first row of each.
    """

    tile: float
    heads: dict[str, str]
    names: tuple[str, ...]
    bands: tuple[tuple[str, ...], ...]

    @property
    def head_height(self) -> float:
        return LINE_HEIGHT * max(map(num_lines, self.heads.values())) + 0.08

    @property
    def first_heads(self) -> float:
        """Height of the losses' names where all examples share them."""
        return 0 if self.heads_repeat else self.head_height

    def example_height(self, number: int) -> float:
        heads = self.head_height if self.heads_repeat else 0
        bands = len(self.bands) * (heads + 2 * (self.tile + _DICE_HEIGHT))
        return self.name_height(number) + bands + _SPACE

    def name_height(self, number: int) -> float:
        return LINE_HEIGHT * num_lines(self.names[number]) + 0.03

    def height(self, num_examples: int) -> float:
        return self.first_heads + sum(map(self.example_height, range(num_examples)))

    @cached_property
    def num_fitting(self) -> int:
        """How many examples a page holds."""
        return max(n for n in range(len(self.names) + 1) if self.height(n) <= _BODY)

    @property
    def heads_repeat(self) -> bool:
        """True if every image needs the names of the losses again."""
        return len(self.bands) > 1

    @property
    def width(self) -> float:
        return _width(len(self.bands[0]), self.tile)

    def left(self, column: int) -> float:
        """Returns where a column begins: image 0, truth 1, losses from 2."""
        return _MARGIN + column * (self.tile + _GAP) + (_LABEL if column > 1 else 0)


def predictions_figure(sweep: RankedSweep, examples: Sequence[Example], name: str) -> Drawn:
    """Draws the examples one below the other, as many as fit on a page; the CSV has all."""
    losses = [loss for loss in sweep.losses if any(loss in example.masks for example in examples)]
    layout = _lay_out(sweep, losses, examples)
    num_shown = max(layout.num_fitting, 1)
    figure = Figure(figsize=(layout.width, layout.height(num_shown)))
    page = inch_axes(figure)
    top = 0.0
    for number, example in enumerate(examples[:num_shown]):
        for position, band in enumerate(layout.bands):
            if layout.heads_repeat or number == position == 0:
                _draw_heads(page, layout, band, top, with_image=position == 0)
                top += layout.head_height
            if position == 0:
                top += layout.name_height(number)
                page.text(_MARGIN, top - 0.03, layout.names[number], size=SMALL, va="bottom",
                          weight="bold", linespacing=1.15)  # fmt: skip
                _draw_images(page, layout, example, top)
            _draw_band(page, layout, example, band, top)
            top += 2 * (layout.tile + _DICE_HEIGHT)
        top += _SPACE
    num_bands = sum(map(len, layout.bands))
    caption = _caption(len(examples) - num_shown, len(losses) - num_bands)
    return Drawn(name=name, figure=figure, caption=caption, texts={"csv": _csv(examples)})


def _width(columns: int, tile: float) -> float:
    return max(SINGLE_COLUMN, _MARGIN + _LABEL + (columns + 2) * (tile + _GAP))


def _lay_out(sweep: RankedSweep, losses: Sequence[str], examples: Sequence[Example]) -> _Layout:
    """Makes tiles as large as the page is wide, or smaller if more examples then fit on it.

    If not even one example fits with the smallest tiles, the last losses are left out.
    """
    num_bands = -(-len(losses) // _MAX_LOSSES)
    columns = -(-len(losses) // num_bands)
    bands = [tuple(losses[start : start + columns]) for start in range(0, len(losses), columns)]
    widest = min((DOUBLE_COLUMN - _MARGIN - _LABEL) / (columns + 2) - _GAP, _MAX_MASK)
    tiles = [widest - _STEP * step for step in range(int((widest - _MIN_MASK) / _STEP) + 1)]
    while True:
        layouts = [_layout(sweep, examples, bands, tile) for tile in (*tiles, _MIN_MASK)]
        best = max(layouts, key=lambda layout: (layout.num_fitting, layout.tile))
        if best.num_fitting or len(bands) == 1:
            return best
        bands.pop()


def _layout(
    sweep: RankedSweep, examples: Sequence[Example], bands: Sequence[tuple[str, ...]], tile: float
) -> _Layout:
    width = _width(len(bands[0]), tile) - 2 * _MARGIN
    return _Layout(
        tile=tile,
        heads={
            loss: wrap(sweep.title("loss", loss), tile, max_lines=_MAX_HEAD_LINES)
            for band in bands
            for loss in band
        },
        names=tuple(
            wrap(_name(sweep, example), width, bold=True, max_lines=_MAX_HEAD_LINES)
            for example in examples
        ),
        bands=tuple(bands),
    )


def _draw_heads(
    page: Axes, layout: _Layout, band: Sequence[str], top: float, *, with_image: bool
) -> None:
    heads = ["Image", "Truth"] if with_image else ["", ""]
    for column, head in enumerate([*heads, *(layout.heads[loss] for loss in band)]):
        page.text(
            layout.left(column) + layout.tile / 2, top + layout.head_height - 0.04, head,
            size=SMALL, ha="center", va="bottom", linespacing=1.15,
        )  # fmt: skip


def _draw_images(page: Axes, layout: _Layout, example: Example, top: float) -> None:
    draw_tile(page, example.pixels, layout.left(0), top, layout.tile)
    draw_tile(page, example.truth, layout.left(1), top, layout.tile)


def _draw_band(
    page: Axes, layout: _Layout, example: Example, band: Sequence[str], top: float
) -> None:
    tile = layout.tile
    for row, kind in enumerate(BINARISATIONS):
        y = top + row * (tile + _DICE_HEIGHT)
        page.text(layout.left(2) - 0.03, y + tile / 2, _ROW_LABELS[kind], size=SMALL,
                  rotation=90, ha="right", va="center")  # fmt: skip
        for column, loss in enumerate(band, start=2):
            left = layout.left(column)
            text = MISSING
            if loss in example.masks:
                mask = example.masks[loss][kind]
                draw_tile(page, mask.lesion, left, y, tile)
                draw_outline(page, example.truth, left, y, tile, colour=TRUTH_LINE, width=0.6)
                text = decimal_text(mask.dice, 3)
            page.text(left + tile / 2, y + tile + 0.02, text, size=SMALL, ha="center", va="top")


def _name(sweep: RankedSweep, example: Example) -> str:
    model = [sweep.title("model", example.model)] if example.model else []
    # The mark in front keeps this order if the first name is written from right to left.
    return "\u200e" + " · ".join([sweep.title("dataset", example.dataset), *model, example.image])


def _caption(num_left_out: int, num_losses_left_out: int) -> str:
    text = "White: predicted lesion; orange outline: true mask; below: Dice of the image. "
    text += "Upper rows: sigmoid of the raw output over 0.5; lower rows: raw output over its mean."
    if num_losses_left_out:
        text += f" The last {count_text(num_losses_left_out, 'loss')} of the podium do not fit on "
        text += "this page; the data file has them."
    if num_left_out:
        text += f" {num_left_out} more in separate figures and data files."
    return text


def _csv(examples: Sequence[Example]) -> str:
    columns = (
        "dataset", "model", "repeat", "image", "loss", "binarisation", "threshold", "dice",
        "true_pixels", "predicted_pixels", "common_pixels",
    )  # fmt: skip
    rows = [
        (
            example.dataset, example.model, example.repeat, example.image, loss,
            BINARISATIONS[kind], mask.threshold, mask.dice, int(example.truth.sum()),
            int(mask.lesion.sum()), int((mask.lesion & example.truth).sum()),
        )
        for example in examples
        for loss, masks in example.masks.items()
        for kind, mask in masks.items()
    ]  # fmt: skip
    return csv_text(columns, rows)
