"""Learning curves as a figure: one small panel a dataset, one line a loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestrator.report.curves import MAX_BANDS, CurvePanel
from orchestrator.report.data import Sweep
from orchestrator.report.palette import LineStyle, line_styles

_COLUMNS = 3


def curves_figure(sweep: Sweep, panels: Sequence[CurvePanel]) -> Figure:
    """Draws all panels under one legend."""
    columns = 2 if len(panels) == 4 else min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.3 * columns + 0.4, 2.3 * rows + 0.8), layout="constrained")
    styles = line_styles(sweep.grid.losses)
    for position, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, position + 1)
        _draw(axes, sweep, panel, styles)
        if position % columns == 0:
            axes.set_ylabel("validation Dice")
        if position + columns >= len(panels):
            axes.set_xlabel("epoch")
    shown = {curve.loss for panel in panels for curve in panel.curves}
    handles = [
        _line([], [], styles[loss], sweep.title("loss", loss))
        for loss in sweep.losses
        if loss in shown
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 5), frameon=False
    )
    return figure


def _draw(axes: Axes, sweep: Sweep, panel: CurvePanel, styles: dict[str, LineStyle]) -> None:
    axes.set_title(sweep.title(panel.axis, panel.label), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E8E5DE", linewidth=0.7)
    axes.set_axisbelow(True)
    with_bands = len(panel.curves) <= MAX_BANDS
    # Reversed, so that the leading loss lies on top.
    for curve in reversed(panel.curves):
        style = styles[curve.loss]
        epochs = np.arange(1, len(curve.mean) + 1)
        if with_bands:
            axes.fill_between(
                epochs, curve.low, curve.high, color=style.colour, alpha=0.13, linewidth=0
            )
        axes.add_line(_line(epochs, curve.mean, style, ""))
        if len(epochs) == 1:
            axes.plot(epochs, curve.mean, "o", color=style.colour, markersize=4)
    axes.set_xlim(1, max(panel.num_epochs, 2))
    axes.set_ylim(*panel.dice_range())


def _line(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, style: LineStyle, label: str
) -> Line2D:
    dashes = tuple(float(part) for part in style.dash.split())
    return Line2D(
        x, y, color=style.colour, linewidth=1.5, label=label,
        linestyle=(0, dashes) if dashes else "solid",
    )  # fmt: skip
