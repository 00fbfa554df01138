"""Lines of losses, each with its colour, dash and mark, and the legend that names them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.style import LINE_HEIGHT, SMALL, num_lines, text_width, wrap
from orchestrator.report.palette import LineStyle, line_styles

_MARKERS = "osD^vPX<>*"


class Legend:
    """The legend of a figure: one entry per loss, in rows."""

    def __init__(self, sweep: RankedSweep, losses: Sequence[str], width: float) -> None:
        """Lays out the legend.

        Args:
            sweep: Decides the titles and the styles.
            losses: Labels, in this order.
            width: Of the figure, in inches.
        """
        self._styles = line_styles(sweep.grid.losses)
        self._names = {loss: wrap(sweep.title("loss", loss), 1.6) for loss in losses}
        lines = [line for name in self._names.values() for line in name.split("\n")]
        self._column = max(map(text_width, lines)) + 0.5
        self._num_columns = max(1, min(len(losses), int((width - 0.2) / self._column)))
        self._row = LINE_HEIGHT * max(map(num_lines, self._names.values())) + 0.04

    @property
    def height(self) -> float:
        """The height in inches."""
        return self._row * -(-len(self._names) // self._num_columns) + 0.1

    def draw(self, page: Axes, top: float) -> None:
        """Draws the legend on `inch_axes`, `top` inches from the top."""
        for number, (loss, name) in enumerate(self._names.items()):
            x = 0.1 + number % self._num_columns * self._column
            y = top + 0.06 + self._row * (number // self._num_columns + 0.4)
            ends = [x, x + 0.14, x + 0.28]
            page.add_line(loss_line(ends, [y, y, y], self._styles[loss], markevery=[1]))
            page.text(x + 0.34, y, name, size=SMALL, va="center", linespacing=1.15)


def loss_line(
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    style: LineStyle,
    markevery: slice | list[int],
) -> Line2D:
    """Returns a line in the style of a loss, with marks at some of its points."""
    dashes = tuple(float(part) for part in style.dash.split())
    return Line2D(
        x, y, color=style.colour, linewidth=1.1, markevery=markevery,
        marker=marker(style), markersize=3.2, markeredgewidth=0,
        linestyle=(0, dashes) if dashes else "solid",
    )  # fmt: skip


def marker(style: LineStyle) -> str:
    """Returns the mark of a loss."""
    return _MARKERS[style.index % len(_MARKERS)]
