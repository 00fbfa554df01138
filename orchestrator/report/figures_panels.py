"""Figure 3: image, truth and every loss's prediction, binarised at 0.5 and at the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report.data import Sweep
from orchestrator.report.figures_datasets import draw_outline, draw_tile
from orchestrator.report.figures_files import csv_text
from orchestrator.report.figures_style import (
    DOUBLE_COLUMN,
    LINE_HEIGHT,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    inch_axes,
    num_lines,
    wrap,
)
from orchestrator.report.masks import BINARISATIONS
from orchestrator.report.palette import MUTED, TRUTH_LINE
from orchestrator.report.panels import Panel
from orchestrator.report.wording import MISSING, metric_text

_MARGIN, _LABEL, _GAP, _MAX_LOSSES = 0.05, 0.16, 0.04, 10
_MIN_TILE, _MAX_TILE = 0.52, 0.95
_HEAD_LINES = 3
_BODY = 9.6 - 0.1 - 3 * LINE_HEIGHT
"""A page less its caption, in inches."""
_ROW_LABELS = {"half": "σ > 0.5", "mean": "> mean"}  # noqa: RUF001 - a sigma
_DICE_HEIGHT, _SPACE = 0.135, 0.1


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Sizes in inches; more losses than fit stand in further bands below.

    Attributes:
        bands: Losses of each band; image and truth stand at the left of the first row of each.
    """

    tile: float
    heads: dict[str, str]
    bands: tuple[tuple[str, ...], ...]

    @property
    def head_height(self) -> float:
        return LINE_HEIGHT * max(map(num_lines, self.heads.values())) + 0.08

    @property
    def panel_height(self) -> float:
        heads = len(self.bands) * self.head_height if self.heads_repeat else 0
        return heads + len(self.bands) * 2 * (self.tile + _DICE_HEIGHT) + _SPACE

    @property
    def heads_repeat(self) -> bool:
        """True where every image needs the names of the losses again."""
        return len(self.bands) > 1

    @property
    def width(self) -> float:
        columns = len(self.bands[0]) + 2
        return max(SINGLE_COLUMN, _MARGIN + _LABEL + columns * (self.tile + _GAP))

    def left(self, column: int) -> float:
        """Returns where a column begins: image 0, truth 1, losses from 2."""
        return _MARGIN + column * (self.tile + _GAP) + (_LABEL if column > 1 else 0)


def panels_figure(sweep: Sweep, panels: Sequence[Panel], name: str) -> Drawn:
    """Draws the panels one below the other, as many as a page holds; the CSV has them all."""
    losses = [loss for loss in sweep.losses if any(loss in panel.masks for panel in panels)]
    layout = _lay_out(sweep, losses, len(panels))
    first_heads = 0 if layout.heads_repeat else layout.head_height
    num_shown = max(1, min(len(panels), int((_BODY - first_heads) / layout.panel_height)))
    shown = panels[:num_shown]
    caption = wrap(_caption(len(panels) - num_shown), layout.width - 0.1)
    body = layout.panel_height * num_shown + first_heads
    figure = Figure(figsize=(layout.width, body + LINE_HEIGHT * num_lines(caption) + 0.1))
    page = inch_axes(figure)
    top = 0.0
    for number, panel in enumerate(shown):
        for position, band in enumerate(layout.bands):
            if number == 0 or layout.heads_repeat:
                _draw_heads(page, layout, band, top, with_image=position == 0)
                top += layout.head_height
            if position == 0:
                _draw_image(page, layout, panel, _name(sweep, layout, panel), top)
            _draw_band(page, layout, panel, band, top)
            top += 2 * (layout.tile + _DICE_HEIGHT)
        top += _SPACE
    page.text(0.05, body, caption, size=SMALL, color=MUTED, va="top")
    return Drawn(name=name, figure=figure, texts={"csv": _csv(panels)})


def _lay_out(sweep: Sweep, losses: Sequence[str], num_panels: int) -> _Layout:
    """Makes tiles as large as the page is wide; smaller, where all panels then fit on it."""
    num_bands = -(-len(losses) // _MAX_LOSSES)
    columns = -(-len(losses) // num_bands)
    across = (DOUBLE_COLUMN - _MARGIN - _LABEL) / (columns + 2) - _GAP
    room = _BODY - LINE_HEIGHT * _HEAD_LINES - 0.08
    down = (room / num_panels - _SPACE) / 2 - _DICE_HEIGHT
    tile = min(across, _MAX_TILE, max(down, _MIN_TILE))
    names = {loss: sweep.title("loss", loss) for loss in losses}
    return _Layout(
        tile=tile,
        heads={loss: wrap(name, tile, max_lines=_HEAD_LINES) for loss, name in names.items()},
        bands=tuple(
            tuple(losses[start : start + columns]) for start in range(0, len(losses), columns)
        ),
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


def _draw_image(page: Axes, layout: _Layout, panel: Panel, name: str, top: float) -> None:
    tile = layout.tile
    draw_tile(page, panel.pixels, layout.left(0), top, tile)
    draw_tile(page, panel.truth, layout.left(1), top, tile)
    page.text(layout.left(0), top + tile + 0.04, name, size=SMALL, va="top", linespacing=1.15)


def _draw_band(page: Axes, layout: _Layout, panel: Panel, band: Sequence[str], top: float) -> None:
    tile = layout.tile
    for row, kind in enumerate(BINARISATIONS):
        y = top + row * (tile + _DICE_HEIGHT)
        page.text(layout.left(2) - 0.03, y + tile / 2, _ROW_LABELS[kind], size=SMALL,
                  rotation=90, ha="right", va="center")  # fmt: skip
        for column, loss in enumerate(band, start=2):
            left = layout.left(column)
            text = MISSING
            if loss in panel.masks:
                mask = panel.masks[loss][kind]
                draw_tile(page, mask.lesion, left, y, tile)
                draw_outline(page, panel.truth, left, y, tile, colour=TRUTH_LINE, width=0.6)
                text = metric_text(mask.dice, 3)
            page.text(left + tile / 2, y + tile + 0.02, text, size=SMALL, ha="center", va="top")


def _name(sweep: Sweep, layout: _Layout, panel: Panel) -> str:
    """Returns what is written below the image: dataset, model and file, cut to the room."""
    parts = [sweep.title("dataset", panel.dataset), panel.image]
    if panel.model:
        parts.insert(1, sweep.title("model", panel.model))
    width = 2 * layout.tile + _GAP
    # Five lines of room below the smallest tile: two for each name that a person chose.
    limits = [2, 2, 1] if panel.model else [2, 2]
    return "\n".join(
        wrap(part, width, max_lines=limit) for part, limit in zip(parts, limits, strict=True)
    )


def _caption(num_left_out: int) -> str:
    text = "White: predicted lesion; orange outline: true mask; below: Dice of the image. "
    text += "Upper rows: sigmoid of the raw output over 0.5; lower rows: raw output over its mean."
    if num_left_out:
        text += f" {num_left_out} more in figures and data of their own."
    return text


def _csv(panels: Sequence[Panel]) -> str:
    columns = (
        "dataset", "model", "repeat", "image", "loss", "binarisation", "threshold", "dice",
        "true_pixels", "predicted_pixels", "common_pixels",
    )  # fmt: skip
    rows = [
        (
            panel.dataset, panel.model, panel.repeat, panel.image, loss, BINARISATIONS[kind],
            mask.threshold, mask.dice, int(panel.truth.sum()), int(mask.lesion.sum()),
            int((mask.lesion & panel.truth).sum()),
        )
        for panel in panels
        for loss, masks in panel.masks.items()
        for kind, mask in masks.items()
    ]  # fmt: skip
    return csv_text(columns, rows)
