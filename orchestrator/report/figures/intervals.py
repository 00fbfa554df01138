"""Bootstrap intervals of points and rank of each loss, with P(first) and P(on the podium)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.ranking.certainty import Certainty, LossCertainty
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text, table_texts
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    NORMAL,
    SMALL,
    Drawn,
    NothingToDrawError,
    axes_at,
    inch_axes,
    provisional_text,
    rows_of,
    text_width,
    wrap,
)
from orchestrator.report.palette import INK, MUTED, RULE
from orchestrator.wording import list_text, percent_text, points_text, probability_text

_TITLES = {"dataset": "By dataset", "model": "By model", "both": "By dataset and model"}
_MAX_NAME, _COLUMN, _HEAD, _FOOT, _GAP = 1.3, 0.62, 0.3, 0.42, 0.2


def intervals_figure(sweep: RankedSweep, certainties: Sequence[Certainty]) -> Drawn:
    """Draws one panel per podium.

    Raises:
        NothingToDrawError: The bootstrap was not possible for any podium.
    """
    found = [certainty for certainty in certainties if certainty.losses]
    if not found:
        reasons = dict.fromkeys(entry.refusal for entry in certainties if entry.refusal)
        raise NothingToDrawError(" ".join(reasons) or "no bootstrap was done")
    return Drawn(
        name="intervals",
        figure=_draw(sweep, found),
        caption=_caption(found[0]) + provisional_text(sweep.main_podium),
        texts=_texts(sweep, found),
    )


def _draw(sweep: RankedSweep, found: Sequence[Certainty]) -> Figure:
    names = {
        entry.loss: wrap(sweep.title("loss", entry.loss), _MAX_NAME)
        for certainty in found
        for entry in certainty.losses
    }
    widest = max(text_width(line) for name in names.values() for line in name.split("\n")) + 0.12
    rows = [rows_of([names[entry.loss] for entry in certainty.losses], 0.17) for certainty in found]
    figure = Figure(figsize=(DOUBLE_COLUMN, sum(_HEAD + tall + _FOOT for _, tall in rows)))
    page = inch_axes(figure)
    plot = (DOUBLE_COLUMN - widest - 2 * _COLUMN - 2 * _GAP) / 2
    top = 0.0
    for certainty, (middles, tall) in zip(found, rows, strict=True):
        page.text(0.05, top + 0.05, _TITLES[certainty.axis], size=NORMAL, weight="bold", va="top")
        points = axes_at(figure, widest, top + _HEAD, plot, tall)
        _set_rows(points, tall)
        points.set_yticks(middles, [names[entry.loss] for entry in certainty.losses])
        _draw_points(points, certainty.losses, middles)
        ranks = axes_at(figure, widest + plot + _GAP, top + _HEAD, plot, tall)
        _set_rows(ranks, tall)
        ranks.set_yticks([])
        _draw_ranks(ranks, certainty.losses, middles)
        left = widest + 2 * plot + _GAP + 0.1
        for column, head in enumerate(("P(first)", "P(podium)")):
            x = left + (column + 0.9) * _COLUMN
            page.text(x, top + _HEAD - 0.04, head, size=SMALL, ha="right", va="bottom")
            for row, entry in zip(middles, certainty.losses, strict=True):
                share = entry.p_podium if column else entry.p_first
                page.text(x, top + _HEAD + row, probability_text(share),
                          size=SMALL, ha="right", va="center")  # fmt: skip
        top += _HEAD + tall + _FOOT
    return figure


def _draw_points(axes: Axes, losses: Sequence[LossCertainty], middles: Sequence[float]) -> None:
    axes.set_xlabel("points", size=SMALL, labelpad=1)
    for row, entry in zip(middles, losses, strict=True):
        _draw_interval(axes, row, entry.points_interval.low, entry.points_interval.high)
        axes.plot(entry.points, row, "o", color=INK, markersize=3.6, clip_on=False, zorder=3)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    highest = max(max(entry.points, entry.points_interval.high) for entry in losses)
    axes.set_xlim(0, max(highest, 1) * 1.03)


def _draw_ranks(axes: Axes, losses: Sequence[LossCertainty], middles: Sequence[float]) -> None:
    axes.set_xlabel("place (1 is best)", size=SMALL, labelpad=1)
    for row, entry in zip(middles, losses, strict=True):
        _draw_interval(axes, row, entry.rank_interval.low, entry.rank_interval.high)
        axes.plot(entry.place, row, "D", color=INK, markersize=3.2, clip_on=False, zorder=3)
    axes.set_xticks(range(1, len(losses) + 1, -(-len(losses) // 12)))  # the best place has a number
    axes.set_xlim(0.7, len(losses) + 0.3)


def _set_rows(axes: Axes, tall: float) -> None:
    axes.set_ylim(tall, 0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0, pad=3)
    axes.tick_params(axis="x", length=2.5, pad=2)
    axes.grid(axis="x", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_interval(axes: Axes, row: float, low: float, high: float) -> None:
    axes.plot([low, high], [row, row], color=MUTED, linewidth=1.4, marker="|", markersize=5,
              markeredgewidth=1.0, clip_on=False)  # fmt: skip


def _caption(certainty: Certainty) -> str:
    return (
        f"Marks: values in the sweep. Lines: the middle {percent_text(certainty.level)} of "
        f"{certainty.num_samples:,} bootstrap samples over {list_text(certainty.resampled)} "
        f"(seed {certainty.seed}, ties: {certainty.ties})."
    )


def _texts(sweep: RankedSweep, found: Sequence[Certainty]) -> dict[str, str]:
    columns = (
        "axis", "loss", "points", "points_low", "points_high", "place", "place_low", "place_high",
        "p_first", "p_podium", "level", "num_samples", "seed",
    )  # fmt: skip
    pairs = [(certainty, entry) for certainty in found for entry in certainty.losses]
    rows = [
        (
            certainty.axis, entry.loss, entry.points,
            entry.points_interval.low, entry.points_interval.high, entry.place,
            entry.rank_interval.low, entry.rank_interval.high, entry.p_first, entry.p_podium,
            certainty.level, certainty.num_samples, certainty.seed,
        )
        for certainty, entry in pairs
    ]  # fmt: skip
    shown = [
        (
            _TITLES[certainty.axis], sweep.title("loss", entry.loss), points_text(entry.points),
            _span(entry.points_interval.low, entry.points_interval.high),
            _span(entry.rank_interval.low, entry.rank_interval.high),
            probability_text(entry.p_first), probability_text(entry.p_podium),
        )
        for certainty, entry in pairs
    ]  # fmt: skip
    heads = ("Podium", "Loss", "Points", "Interval", "Places", "P(first)", "P(podium)")
    return {"csv": csv_text(columns, rows)} | table_texts(
        heads, shown, _caption(found[0]), num_names=2
    )


def _span(low: float, high: float) -> str:
    return f"{points_text(low)} to {points_text(high)}"
