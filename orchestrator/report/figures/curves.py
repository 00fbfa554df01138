"""Learning curves as a figure: one small panel per dataset, one line per loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.report.curves import MAX_BANDS, CurvePanel
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text
from orchestrator.report.figures.legend import Legend, loss_line
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    LINE_HEIGHT,
    NORMAL,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    NothingToDrawError,
    axes_at,
    inch_axes,
    num_lines,
    wrap,
)
from orchestrator.report.palette import RULE, LineStyle, line_styles

_LEFT, _HEAD, _PLOT, _FOOT, _RIGHT = 0.46, 0.3, 1.35, 0.38, 0.12
_CAPTION = (
    "Mean validation Dice over models and repeats. A trial that stopped early keeps its best value."
)


def curves_figure(sweep: RankedSweep, panels: Sequence[CurvePanel]) -> Drawn:
    """Draws all panels under one legend.

    Raises:
        NothingToDrawError: No panel has a curve.
    """
    if not panels:
        msg = "the results hold no epochs"
        raise NothingToDrawError(msg)
    return Drawn(
        name="curves",
        figure=_draw(sweep, panels),
        caption=_caption(panels),
        texts={"csv": _csv(panels)},
    )


def _draw(sweep: RankedSweep, panels: Sequence[CurvePanel]) -> Figure:
    columns = 1 if len(panels) == 1 else 2 if len(panels) in (2, 4) else 3
    width = SINGLE_COLUMN if columns == 1 else DOUBLE_COLUMN
    each = width / columns
    titles = [
        wrap(sweep.title(panel.axis, panel.label), each - _LEFT - _RIGHT, NORMAL, bold=True)
        for panel in panels
    ]
    head = _HEAD + LINE_HEIGHT * (max(map(num_lines, titles)) - 1)
    block = head + _PLOT + _FOOT
    rows = -(-len(panels) // columns)
    shown = {curve.loss for panel in panels for curve in panel.curves}
    losses = [loss for loss in sweep.losses if loss in shown]
    legend = Legend(sweep, losses, width)
    body = rows * block
    figure = Figure(figsize=(width, body + legend.height))
    page = inch_axes(figure)
    styles = line_styles(sweep.grid.losses)
    for position, panel in enumerate(panels):
        left, top = position % columns * each, position // columns * block
        axes = axes_at(figure, left + _LEFT, top + head, each - _LEFT - _RIGHT, _PLOT)
        _draw_panel(axes, panel, styles)
        page.text(left + _LEFT, top + head - 0.05, titles[position], size=NORMAL, weight="bold",
                  va="bottom", linespacing=1.15)  # fmt: skip
    legend.draw(page, body)
    return figure


def _draw_panel(axes: Axes, panel: CurvePanel, styles: dict[str, LineStyle]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(length=2.5, pad=2)
    axes.set_xlabel("epoch", size=SMALL, labelpad=1)
    axes.set_ylabel("validation Dice", size=SMALL, labelpad=2)
    with_bands = len(panel.curves) <= MAX_BANDS
    # Reversed, so that the leading loss lies on top.
    for curve in reversed(panel.curves):
        style = styles[curve.loss]
        num_epochs = len(curve.mean)
        epochs = np.arange(1, num_epochs + 1)
        if with_bands:
            axes.fill_between(
                epochs, curve.low, curve.high, color=style.colour, alpha=0.13, linewidth=0
            )
        step = max(num_epochs // 4, 1)
        # Marks are shifted from loss to loss, so that those of close curves do not overlap.
        first = style.index * step // max(len(styles), 1)
        axes.add_line(loss_line(epochs, curve.mean, style, markevery=slice(first, None, step)))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlim(1, max(panel.num_epochs, 2))
    axes.set_ylim(*panel.dice_range())


def _caption(panels: Sequence[CurvePanel]) -> str:
    if any(len(panel.curves) <= MAX_BANDS for panel in panels):
        return f"{_CAPTION} Band: one standard deviation."
    return _CAPTION


def _csv(panels: Sequence[CurvePanel]) -> str:
    columns = ("axis", "label", "loss", "epoch", "val_dice", "low", "high", "num_trials")
    rows = [
        (panel.axis, panel.label, curve.loss, epoch, float(mean), float(low), float(high),
         curve.num_trials)
        for panel in panels
        for curve in panel.curves
        for epoch, (mean, low, high) in enumerate(
            zip(curve.mean, curve.low, curve.high, strict=True), start=1
        )
    ]  # fmt: skip
    return csv_text(columns, rows)
