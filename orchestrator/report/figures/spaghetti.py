"""The podium plot: the values of all losses in each block, sorted by the places they have there.

Definition: Eugster, Hothorn and Leisch (2008), as in challengeR (Wiesenfarth et al., Sci Rep
11:2369, 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from orchestrator.ranking.podium import Podium
from orchestrator.ranking.stability import place_counts
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text
from orchestrator.report.figures.legend import Legend, marker
from orchestrator.report.figures.ranks import AXIS_TITLES
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    NORMAL,
    SMALL,
    Drawn,
    NothingToDrawError,
    axes_at,
    inch_axes,
    provisional_text,
)
from orchestrator.report.palette import MUTED, RULE, line_styles
from orchestrator.wording import metric_title

MAX_LOSSES = 12
"""With more losses, the columns of a place are too narrow to read."""

_LEFT, _RIGHT, _HEAD, _VALUES, _BARS, _FOOT = 0.5, 0.06, 0.26, 1.7, 0.42, 0.36


def podium_plot(sweep: RankedSweep) -> Drawn:
    """Draws one panel per podium, with values above and frequencies of the places below.

    Raises:
        NothingToDrawError: There is one loss, or too many for a plot that can be read.
    """
    podiums = sweep.ranking.podiums
    losses = list(podiums[0].points)
    if not 2 <= len(losses) <= MAX_LOSSES:
        are = "is" if len(losses) == 1 else "are"
        msg = f"a podium plot needs 2 to {MAX_LOSSES} losses, and there {are} {len(losses)}"
        raise NothingToDrawError(msg)
    legend = Legend(sweep, losses, DOUBLE_COLUMN)
    block = _HEAD + _VALUES + _BARS + _FOOT
    body = block * len(podiums)
    figure = Figure(figsize=(DOUBLE_COLUMN, body + legend.height))
    page = inch_axes(figure)
    width = DOUBLE_COLUMN - _LEFT - _RIGHT
    for number, podium in enumerate(podiums):
        top = number * block
        page.text(_LEFT, top + _HEAD - 0.06, AXIS_TITLES[podium.axis], size=NORMAL, weight="bold",
                  va="bottom")  # fmt: skip
        values = axes_at(figure, _LEFT, top + _HEAD, width, _VALUES)
        _draw_values(values, sweep, podium, losses)
        bars = axes_at(figure, _LEFT, top + _HEAD + _VALUES, width, _BARS)
        _draw_bars(bars, sweep, podium, losses)
    legend.draw(page, body)
    rows = [
        (podium.axis, name, loss, mean, block.places[loss])
        for podium in podiums
        for name, block in podium.blocks.items()
        for loss, mean in block.means.items()
    ]  # fmt: skip
    return Drawn(
        name="podium_plot",
        figure=figure,
        caption=(
            "A line joins the means of all losses in one block (a dataset, or a model). Each mean "
            "stands above the place that its loss has in this block, in the column of the loss. "
            "Bars: fraction of the blocks in which the loss has this place."
            + provisional_text(sweep.main_podium)
        ),
        texts={"csv": csv_text(("axis", "block", "loss", sweep.metric, "place"), rows)},
    )


def column_of(place: int, position: int, num_losses: int) -> float:
    """Returns where a loss stands above a place: places are 1 wide, with a gap between them."""
    return place - 0.5 + 0.9 * (position + 0.5) / num_losses + 0.05


def _draw_values(axes: Axes, sweep: RankedSweep, podium: Podium, losses: Sequence[str]) -> None:
    points: dict[str, list[tuple[float, float]]] = {loss: [] for loss in losses}
    lines = []
    for block in podium.blocks.values():
        line = []
        for position, loss in enumerate(losses):
            if loss in block.means:
                x = column_of(block.places[loss], position, len(losses))
                points[loss].append((x, block.means[loss]))
                line.append(points[loss][-1])
        lines.append(sorted(line))
    axes.add_collection(LineCollection(lines, colors=MUTED, linewidths=0.3, zorder=1))
    styles = line_styles(sweep.grid.losses)
    for loss, own in points.items():
        if own:
            style = styles[loss]
            axes.plot(*zip(*own, strict=True), marker(style), color=style.colour, markersize=2.6,
                      markeredgewidth=0, zorder=2)  # fmt: skip
    _style(axes, len(losses))
    axes.set_ylabel(metric_title(sweep.metric), size=SMALL, labelpad=2)
    axes.spines["bottom"].set_visible(False)  # the bars below would hide it except for its end
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _draw_bars(axes: Axes, sweep: RankedSweep, podium: Podium, losses: Sequence[str]) -> None:
    counts = place_counts(podium)
    styles = line_styles(sweep.grid.losses)
    number = len(losses)
    for position, loss in enumerate(losses):
        x = [column_of(place, position, number) for place in range(1, number + 1)]
        shares = np.array(counts[loss]) / len(podium.blocks)
        axes.bar(x, shares, width=0.9 / number, color=styles[loss].colour, linewidth=0)
    _style(axes, number)
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.set_xticks(range(1, number + 1))
    axes.set_xlabel("place (1 is best)", size=SMALL, labelpad=1)


def _style(axes: Axes, num_losses: int) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(0.5, num_losses + 0.5)
    axes.tick_params(length=2.5, pad=2)
    for place in range(1, num_losses):
        axes.axvline(place + 0.5, color=RULE, linewidth=0.6, zorder=0)
