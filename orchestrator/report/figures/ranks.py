"""Places of the losses: blob plot and stacked frequencies over draws, heat map over blocks.

Definitions: Wiesenfarth et al., Sci Rep 11:2369, 2021 (challengeR).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.stability import DrawnPlaces, place_counts
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text
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
    provisional_text,
    rows_of,
    text_width,
    wrap,
)
from orchestrator.report.palette import (
    COMPOUND_COLOUR,
    HEAT_HIGH,
    HEAT_LOW,
    INK,
    MUTED,
    RULE,
    SINGLE_COLOUR,
    mix,
)
from orchestrator.report.statistics import Statistics
from orchestrator.wording import percent_text

AXIS_TITLES = {"dataset": "By dataset", "model": "By model", "both": "By dataset and model"}
LEAST_SHARE = 0.004
"""Rarer places have no blob: it would be smaller than a dot."""

_MAX_NAME, _HEAD, _FOOT, _GAP, _EDGE = 1.2, 0.26, 0.36, 0.14, 0.06
_LEAST_ROW, _LEFT = 0.2, 0.5


def blob_figure(sweep: RankedSweep, found: Statistics) -> Drawn:
    """Draws one panel per podium: the fraction of draws in which a loss has a place, as an area.

    Raises:
        NothingToDrawError: There are no draws.
    """
    drawn = draws_of(found)
    losses = drawn[0].losses
    most = max(float(own.shares.max()) for own in drawn)

    def fill(axes: Axes, position: int, middles: Sequence[float], size: float) -> None:
        own = drawn[position]
        # The area of a marker is in square points.
        largest = (72 * size * 0.95) ** 2 / most
        for row, loss in zip(middles, losses, strict=True):
            index = own.losses.index(loss)
            axes.plot([own.low[index], own.high[index]], [row, row], color=INK, linewidth=0.8)
            shares = own.shares[index]
            shown = [place for place, share in enumerate(shares, 1) if share >= LEAST_SHARE]
            areas = [largest * shares[place - 1] for place in shown]
            axes.scatter(shown, [row] * len(shown), s=areas, color=HEAT_HIGH, edgecolor=MUTED,
                         linewidth=0.3, clip_on=False, zorder=2)  # fmt: skip
            axes.plot(own.medians[index], row, "x", color=INK, markersize=3.6, zorder=3)

    return Drawn(
        name="blob_plot",
        figure=_panels(sweep, losses, [own.axis for own in drawn], fill),
        caption=(
            f"Places of the losses in {draws_text(found.certainty)}. The area of a blob is "
            "proportional to the fraction of the draws in which the loss has this place. Cross: "
            f"median. Line: the middle {percent_text(found.certainty.level)} of the draws."
            + provisional_text(sweep.main_podium)
        ),
        texts={"csv": _draws_csv(drawn)},
    )


def heatmap_figure(sweep: RankedSweep) -> Drawn:
    """Draws one panel per podium: in how many blocks a loss has a place."""
    podiums = sweep.ranking.podiums
    counts = {podium.axis: place_counts(podium) for podium in podiums}
    losses = list(podiums[0].points)

    def fill(axes: Axes, position: int, middles: Sequence[float], size: float) -> None:
        podium = podiums[position]
        half = (middles[1] - middles[0]) / 2 if len(middles) > 1 else _LEAST_ROW / 2
        for row, loss in zip(middles, losses, strict=True):
            for place, count in enumerate(counts[podium.axis][loss], 1):
                if not count:
                    continue
                face = mix(HEAT_LOW, HEAT_HIGH, count / len(podium.blocks))
                box = Rectangle(
                    (place - 0.46, row - 0.9 * half), 0.92, 1.8 * half, color=face, lw=0
                )
                axes.add_patch(box)
                if size >= 0.12:
                    axes.text(place, row, str(count), size=SMALL, ha="center", va="center")

    return Drawn(
        name="ranking_heatmap",
        figure=_panels(sweep, losses, [podium.axis for podium in podiums], fill),
        caption=(
            "Number of blocks in which a loss has a place. A block is a dataset in the podium by "
            "dataset and a model in the podium by model." + provisional_text(sweep.main_podium)
        ),
        texts={
            "csv": csv_text(
                ("axis", "loss", "place", "num_blocks"),
                [
                    (axis, loss, place, count)
                    for axis, by_loss in counts.items()
                    for loss, own in by_loss.items()
                    for place, count in enumerate(own, 1)
                ],
            )
        },
    )


def stacked_figure(sweep: RankedSweep, found: Statistics) -> Drawn:
    """Draws one small chart per loss: how often it has each place, stacked over the podiums.

    The fractions of a podium are divided by the number of podiums, so that the bars of a loss add
    up to 1; the data keep the fractions of each podium.

    Raises:
        NothingToDrawError: There are no draws.
    """
    drawn = [own for own in draws_of(found) if own.axis != "both"]
    losses = drawn[0].losses
    columns = min(5, len(losses))
    width = DOUBLE_COLUMN if columns > 2 else SINGLE_COLUMN
    chart = (width - _LEFT) / columns
    titles = [wrap(sweep.title("loss", loss), chart - 0.16, bold=True) for loss in losses]
    head, plot = 0.12 + LINE_HEIGHT * max(map(num_lines, titles)), 0.62
    block = head + plot + 0.26
    rows = -(-len(losses) // columns)
    figure = Figure(figsize=(width, rows * block + 0.42))
    page = inch_axes(figure)
    shares = {
        loss: [own.shares[own.losses.index(loss)] / len(drawn) for own in drawn] for loss in losses
    }
    most = max(float(np.sum(own, axis=0).max()) for own in shares.values())
    colours = (COMPOUND_COLOUR, SINGLE_COLOUR)
    for number, (loss, title) in enumerate(zip(losses, titles, strict=True)):
        left, top = _LEFT + number % columns * chart, number // columns * block
        axes = axes_at(figure, left, top + head, chart - 0.14, plot)
        below = np.zeros(len(losses))
        for own, colour in zip(shares[loss], colours, strict=False):
            axes.bar(range(1, len(losses) + 1), own, bottom=below, width=0.86, color=colour,
                     edgecolor=INK, linewidth=0.3)  # fmt: skip
            below = below + own
        _style_places(axes, len(losses), chart - 0.14)
        axes.set_ylim(0, most * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(2))
        if number % columns:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("fraction", size=SMALL, labelpad=2)
        page.text(left, top + head - 0.04, title, size=SMALL, weight="bold", va="bottom",
                  linespacing=1.15)  # fmt: skip
    _draw_key(page, [AXIS_TITLES[own.axis] for own in drawn], colours, rows * block + 0.16)
    stacked = (
        " Both podiums count half and are stacked, so the bars of a loss add up to 1."
        if len(drawn) > 1
        else ""
    )
    return Drawn(
        name="stacked_ranks",
        figure=figure,
        caption=(
            f"Fraction of {draws_text(found.certainty)} in which each loss has each place."
            f"{stacked}" + provisional_text(sweep.main_podium)
        ),
        texts={"csv": _draws_csv(drawn)},
    )


def draws_of(found: Statistics) -> tuple[DrawnPlaces, ...]:
    """Returns the drawn places.

    Raises:
        NothingToDrawError: There are none.
    """
    if not found.drawn:
        raise no_draws(found.certainty)
    return found.drawn


def no_draws(certainty: Certainty) -> NothingToDrawError:
    """Returns the error that says why no new sweeps were drawn."""
    refusals = [certainty.refusal, *(podium.refusal for podium in certainty.podiums.values())]
    reasons = dict.fromkeys(filter(None, refusals))
    return NothingToDrawError(" ".join(reasons) or "no new sweeps were drawn")


def draws_text(certainty: Certainty) -> str:
    """Returns `2,000 drawn new sweeps (other datasets and networks)`."""
    return f"{certainty.num_draws:,} drawn new sweeps ({ESTIMANDS[certainty.estimand]})"


def _panels(
    sweep: RankedSweep,
    losses: Sequence[str],
    axes_names: Sequence[str],
    fill: Callable[[Axes, int, Sequence[float], float], None],
) -> Figure:
    """Draws panels side by side, with a row per loss and a column per place.

    Args:
        sweep: The results.
        losses: The rows.
        axes_names: Axis of the podium of each panel.
        fill: Draws the content of a panel, from its number, the middles of the rows and the size
            of the smaller side of a cell, all in inches.
    """
    number = len(axes_names)
    names = [wrap(sweep.title("loss", loss), _MAX_NAME) for loss in losses]
    left = max(text_width(line) for name in names for line in name.split("\n")) + 0.14
    width = SINGLE_COLUMN if number == 1 else DOUBLE_COLUMN
    middles, tall = rows_of(names, _LEAST_ROW)
    figure = Figure(figsize=(width, _HEAD + tall + _FOOT))
    page = inch_axes(figure)
    plot = (width - left - _EDGE - _GAP * (number - 1)) / number
    for position, axis in enumerate(axes_names):
        x = left + position * (plot + _GAP)
        axes = axes_at(figure, x, _HEAD, plot, tall)
        _style_places(axes, len(losses), plot)
        axes.set_ylim(tall, 0)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set_xlabel("place (1 is best)", size=SMALL, labelpad=1)
        axes.hlines(middles, 0.5, len(losses) + 0.5, color=RULE, linewidth=0.5, zorder=0)
        fill(axes, position, middles, min(_LEAST_ROW, plot / len(losses)))
        page.text(x, _HEAD - 0.06, AXIS_TITLES[axis], size=NORMAL, weight="bold", va="bottom")
    for row, name in zip(middles, names, strict=True):
        page.text(left - 0.08, _HEAD + row, name, size=SMALL, ha="right", va="center",
                  linespacing=1.15)  # fmt: skip
    return figure


def _style_places(axes: Axes, num_losses: int, width: float) -> None:
    """Sets the axis of places: every place has a tick if there is room for its number."""
    axes.spines[["top", "right"]].set_visible(False)
    step = max(1, math.ceil(num_losses * 0.17 / width))
    axes.set_xticks(range(1, num_losses + 1, step))
    axes.set_xlim(0.5, num_losses + 0.5)
    axes.tick_params(length=2.5, pad=2)


def _draw_key(page: Axes, titles: Sequence[str], colours: Sequence[str], y: float) -> None:
    x = _LEFT
    for title, colour in zip(titles, colours, strict=False):
        page.add_patch(Rectangle((x, y - 0.05), 0.16, 0.1, facecolor=colour, edgecolor=INK, lw=0.3))
        page.text(x + 0.22, y, title, size=SMALL, va="center")
        x += 0.5 + text_width(title)


def _draws_csv(drawn: Sequence[DrawnPlaces]) -> str:
    columns = ("axis", "loss", "place", "median", "low", "high", "drawn_place", "fraction")
    rows = [
        (found.axis, loss, found.places[index], found.medians[index], found.low[index],
         found.high[index], place, float(share))
        for found in drawn
        for index, loss in enumerate(found.losses)
        for place, share in enumerate(found.shares[index], 1)
    ]  # fmt: skip
    return csv_text(columns, rows)
