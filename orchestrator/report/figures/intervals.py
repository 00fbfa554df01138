"""Points of each loss in a new sweep, and the probability that it leads there or here again."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.podium_chances import LossCertainty, NullPoints, PodiumCertainty
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text, table_texts
from orchestrator.report.figures.ranks import AXIS_TITLES, no_draws
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    NORMAL,
    SMALL,
    Drawn,
    axes_at,
    inch_axes,
    provisional_text,
    rows_of,
    text_width,
    wrap,
)
from orchestrator.report.palette import INK, MUTED, RULE
from orchestrator.wording import MISSING, percent_text, points_text, probability_text

_MAX_NAME, _COLUMN, _HEAD, _FOOT, _GAP = 1.3, 0.62, 0.46, 0.4, 0.1
_HEADS = (
    ("p_first", "new\n1st"), ("p_podium", "new\ntop 3"),
    ("p_first_again", "here\n1st"), ("p_podium_again", "here\ntop 3"),
)  # fmt: skip


def intervals_figure(sweep: RankedSweep, certainty: Certainty) -> Drawn:
    """Draws one panel per podium that has probabilities.

    Raises:
        NothingToDrawError: No podium has probabilities.
    """
    found = [podium for podium in certainty.podiums.values() if any(map(_drawn, podium.losses))]
    if not found:
        raise no_draws(certainty)
    return Drawn(
        name="intervals",
        figure=_draw(sweep, found),
        caption=_caption(certainty, found) + provisional_text(sweep.main_podium),
        texts=_texts(sweep, certainty, found),
    )


def _drawn(entry: LossCertainty) -> bool:
    return entry.p_first is not None or entry.p_first_again is not None


def _draw(sweep: RankedSweep, found: Sequence[PodiumCertainty]) -> Figure:
    names = {
        entry.loss: wrap(sweep.title("loss", entry.loss), _MAX_NAME)
        for podium in found
        for entry in podium.losses
    }
    widest = max(text_width(line) for name in names.values() for line in name.split("\n")) + 0.12
    rows = [rows_of([names[entry.loss] for entry in podium.losses], 0.17) for podium in found]
    figure = Figure(figsize=(DOUBLE_COLUMN, sum(_HEAD + tall + _FOOT for _, tall in rows)))
    page = inch_axes(figure)
    plot = DOUBLE_COLUMN - widest - len(_HEADS) * _COLUMN - _GAP
    top = 0.0
    for podium, (middles, tall) in zip(found, rows, strict=True):
        page.text(0.05, top + 0.05, AXIS_TITLES[podium.axis], size=NORMAL, weight="bold", va="top")
        points = axes_at(figure, widest, top + _HEAD, plot, tall)
        _set_rows(points, tall)
        points.set_yticks(middles, [names[entry.loss] for entry in podium.losses])
        _draw_points(points, podium.losses, podium.null, middles)
        for column, (name, head) in enumerate(_HEADS):
            x = widest + plot + (column + 0.95) * _COLUMN
            page.text(x, top + _HEAD - 0.04, head, size=SMALL, ha="right", va="bottom",
                      linespacing=1.1)  # fmt: skip
            for row, entry in zip(middles, podium.losses, strict=True):
                page.text(x, top + _HEAD + row, _probability(getattr(entry, name)),
                          size=SMALL, ha="right", va="center")  # fmt: skip
        top += _HEAD + tall + _FOOT
    return figure


def _draw_points(
    axes: Axes,
    losses: Sequence[LossCertainty],
    null: NullPoints | None,
    middles: Sequence[float],
) -> None:
    axes.set_xlabel("points", size=SMALL, labelpad=1)
    highest = 1.0
    if null is not None:
        axes.axvspan(null.interval.low, null.interval.high, color=RULE, alpha=0.6, lw=0, zorder=0)
        highest = max(highest, null.interval.high)
    for row, entry in zip(middles, losses, strict=True):
        if entry.points_interval:
            low, high = entry.points_interval.low, entry.points_interval.high
            axes.plot([low, high], [row, row], color=MUTED, linewidth=1.4, marker="|", markersize=5,
                      markeredgewidth=1.0, clip_on=False)  # fmt: skip
            highest = max(highest, high)
        axes.plot(entry.points, row, "o", color=INK, markersize=3.6, clip_on=False, zorder=3)
        highest = max(highest, entry.points)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlim(0, highest * 1.03)


def _set_rows(axes: Axes, tall: float) -> None:
    axes.set_ylim(tall, 0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, pad=3)
    axes.tick_params(axis="x", length=2.5, pad=2)
    axes.grid(axis="x", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def _probability(value: float | None) -> str:
    return MISSING if value is None else probability_text(value)


def _caption(certainty: Certainty, found: Sequence[PodiumCertainty]) -> str:
    level = percent_text(certainty.level)
    text = "Dots: points in the sweep."
    chances = "probability to be 1st, or among the first three,"
    entries = [entry for podium in found for entry in podium.losses]
    if any(entry.points_interval for entry in entries):
        text += (
            f" Lines: {level} interval of the points in a new sweep of the same size "
            f"({ESTIMANDS[certainty.estimand]}). New: {chances} of this sweep."
        )
        chances = "the same probabilities"
    if any(podium.null for podium in found):
        text += f" Grey: {level} interval of the leader's points if all losses were equal."
    if any(entry.p_first_again is not None for entry in entries):
        text += f" Here: {chances} with new repeats of these datasets and networks."
    return f"{text} {certainty.num_draws:,} draws, seed {certainty.seed}, ties: {certainty.ties}."


def _texts(
    sweep: RankedSweep, certainty: Certainty, found: Sequence[PodiumCertainty]
) -> dict[str, str]:
    columns = (
        "axis", "loss", "points", "points_low", "points_high", "place", "p_first", "p_podium",
        "p_first_again", "p_podium_again", "leader_points_if_equal_low",
        "leader_points_if_equal_high", "p_leader_points_if_equal", "estimand", "level",
        "num_draws", "seed",
    )  # fmt: skip
    pairs = [(podium, entry) for podium in found for entry in podium.losses]
    rows = [
        (podium.axis, entry.loss, entry.points,
         entry.points_interval.low if entry.points_interval else None,
         entry.points_interval.high if entry.points_interval else None,
         entry.place, entry.p_first, entry.p_podium, entry.p_first_again, entry.p_podium_again,
         podium.null.interval.low if podium.null else None,
         podium.null.interval.high if podium.null else None,
         podium.null.p if podium.null else None,
         certainty.estimand, certainty.level, certainty.num_draws, certainty.seed)
        for podium, entry in pairs
    ]  # fmt: skip
    shown = [
        (AXIS_TITLES[podium.axis], sweep.title("loss", entry.loss), points_text(entry.points),
         f"{points_text(entry.points_interval.low)} to {points_text(entry.points_interval.high)}"
         if entry.points_interval else MISSING,
         *(_probability(getattr(entry, name)) for name, _ in _HEADS))
        for podium, entry in pairs
    ]  # fmt: skip
    heads = (
        "Podium",
        "Loss",
        "Points",
        "Interval",
        *(head.replace("\n", ": ") for _, head in _HEADS),
    )
    caption = _caption(certainty, found)
    return {"csv": csv_text(columns, rows)} | table_texts(heads, shown, caption, num_names=2)
