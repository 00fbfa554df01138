"""How stable the order of the losses is: over ranking methods, and over drawn sweeps.

The line plot and the violin plot of challengeR (Wiesenfarth et al., Sci Rep 11:2369, 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from orchestrator.ranking.stability import RankingMethod
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text
from orchestrator.report.figures.legend import Legend, loss_line
from orchestrator.report.figures.ranks import AXIS_TITLES, draws_of, draws_text
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    NothingToDrawError,
    axes_at,
    inch_axes,
    provisional_text,
    wrap,
)
from orchestrator.report.palette import HEAT_HIGH, INK, RULE, line_styles
from orchestrator.report.statistics import Statistics

_LEFT, _TOP, _RIGHT, _FOOT = 0.55, 0.08, 0.06, 0.42
_SPREAD = 0.5
"""Fraction of a place over which lines of joint losses are spread."""


def methods_figure(sweep: RankedSweep, methods: Sequence[RankingMethod]) -> Drawn:
    """Draws one line per loss: its place by each ranking method.

    Raises:
        NothingToDrawError: There is one loss.
    """
    losses = [loss for loss in sweep.losses if loss in methods[0].places]
    if len(losses) < 2:
        msg = "there is only one loss"
        raise NothingToDrawError(msg)
    legend = Legend(sweep, losses, DOUBLE_COLUMN)
    plot = min(0.19 * len(losses) + 0.2, 5.0)
    width = DOUBLE_COLUMN - _LEFT - _RIGHT
    body = _TOP + plot + _FOOT
    figure = Figure(figsize=(DOUBLE_COLUMN, body + legend.height))
    legend.draw(inch_axes(figure), body)
    axes = axes_at(figure, _LEFT, _TOP, width, plot)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2.5, pad=2)
    axes.grid(axis="x", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    positions = range(len(methods))
    styles = line_styles(sweep.grid.losses)
    for number, loss in enumerate(losses):
        # Joint losses are drawn a little apart, so that no line hides another.
        shift = _SPREAD * ((number + 0.5) / len(losses) - 0.5)
        places = [method.places.get(loss, np.nan) + shift for method in methods]
        axes.add_line(loss_line(positions, places, styles[loss], markevery=slice(None)))
    axes.set_xlim(-0.4, len(methods) - 0.6)
    axes.set_ylim(len(losses) + 0.5, 0.5)
    axes.set_yticks(range(1, len(losses) + 1, -(-len(losses) // 25)))
    axes.set_xticks(
        positions, [wrap(method.name, width / len(methods) - 0.08) for method in methods]
    )
    axes.set_ylabel("place (1 is best)", size=SMALL, labelpad=2)
    rows = [
        (method.name, loss, method.places.get(loss)) for method in methods for loss in losses
    ]  # fmt: skip
    tested = any(method.name.startswith("test") for method in methods)
    test = " Test: number of losses that a loss is significantly better than." if tested else ""
    return Drawn(
        name="line_plot",
        figure=figure,
        caption=(
            "Place of each loss by each ranking method. A horizontal line: the same place by every "
            "method. Lines of joint losses are drawn a little apart. Points: 3, 2 and 1 for the "
            "best three of each block. Mean, median and ranks are taken over the combinations of "
            f"dataset and model.{test}" + provisional_text(sweep.main_podium)
        ),
        texts={"csv": csv_text(("method", "loss", "place"), rows)},
    )


def violins_figure(sweep: RankedSweep, statistics: Statistics) -> Drawn:
    """Draws one violin per podium: Kendall's tau between the sweep and the draws.

    Raises:
        NothingToDrawError: There are no draws, or all losses are level in the sweep or the draws.
    """
    shown = [found for found in draws_of(statistics) if len(found.taus)]
    if not shown:
        msg = "there are no draws of new sweeps in which the losses have an order"
        raise NothingToDrawError(msg)
    plot = 1.9
    figure = Figure(figsize=(SINGLE_COLUMN, _TOP + plot + 0.3))
    axes = axes_at(figure, _LEFT, _TOP, SINGLE_COLUMN - _LEFT - _RIGHT, plot)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2.5, pad=2)
    axes.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    for position, found in enumerate(shown):
        _draw_violin(axes, position, found.taus)
    axes.set_xlim(-0.5, len(shown) - 0.5)
    axes.set_ylim(min(-0.2, *(float(found.taus.min()) - 0.05 for found in shown)), 1.03)
    axes.set_xticks(range(len(shown)), [AXIS_TITLES[found.axis] for found in shown])
    axes.set_ylabel("Kendall's tau", size=SMALL, labelpad=2)
    rows = [
        (found.axis, len(found.taus), float(found.taus.mean()), *np.quantile(
            found.taus, [0.025, 0.25, 0.5, 0.75, 0.975]).tolist())
        for found in shown
    ]  # fmt: skip
    heads = ("axis", "num_draws", "mean", "q025", "q25", "median", "q75", "q975")
    return Drawn(
        name="tau_violins",
        figure=figure,
        caption=(
            "Kendall's tau between the places in the sweep and those in "
            f"{draws_text(statistics.certainty)}: 1 is the same order, 0 no relation, −1 the "
            "opposite order. Box: middle half, with the median. Line: the middle 95 % of the draws."
            + provisional_text(sweep.main_podium)
        ),
        texts={"csv": csv_text(heads, rows)},
    )


def _draw_violin(axes: Axes, position: int, taus: np.ndarray) -> None:
    """Draws a violin from a histogram: tau of few losses has few values, so no kernel is fitted."""
    edges = np.linspace(-1, 1, 32)
    counts, _ = np.histogram(taus, edges)
    halves = 0.4 * counts / counts.max()
    middles = (edges[:-1] + edges[1:]) / 2
    low, lower, median, upper, high = np.quantile(taus, [0.025, 0.25, 0.5, 0.75, 0.975])
    axes.barh(middles, 2 * halves, left=position - halves, height=edges[1] - edges[0],
              color=HEAT_HIGH, linewidth=0)  # fmt: skip
    axes.plot([position, position], [low, high], color=INK, linewidth=0.8)
    axes.add_patch(
        Rectangle((position - 0.05, lower), 0.1, upper - lower, facecolor="white", edgecolor=INK,
                  linewidth=0.8, zorder=3)
    )  # fmt: skip
    axes.plot([position - 0.05, position + 0.05], [median] * 2, color=INK, linewidth=1.4, zorder=4)
