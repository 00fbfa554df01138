"""The significance map: which losses differ, by a test of all pairs at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.pairs import Interval
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text, table_texts
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    NothingToDrawError,
    inch_axes,
    provisional_text,
    rows_of,
    text_width,
    wrap,
)
from orchestrator.report.palette import HEAT_HIGH, HEAT_LOW, INK, RULE, WORSE
from orchestrator.report.statistics import Statistics
from orchestrator.wording import MISSING, interval_text, metric_title, p_value_text, signed_text

_FACES = {"beats": HEAT_HIGH, "loses": WORSE, "": HEAT_LOW}
_MAX_NAME, _HEAD, _MAX_CELL, _EDGE, _LEAST_FOR_TEXT = 1.5, 0.2, 0.5, 0.06, 0.38


def significance_figure(sweep: RankedSweep, found: Statistics) -> Drawn:
    """Draws a matrix of the losses, the best first: is the loss of the row better or worse?

    Raises:
        NothingToDrawError: There are no pairs.
    """
    certainty = found.certainty
    if not certainty.pairs:
        raise NothingToDrawError(certainty.refusal or "there is no pair of losses")
    names = [
        f"{number}  {wrap(sweep.title('loss', loss), _MAX_NAME)}"
        for number, loss in enumerate(found.compared, 1)
    ]
    left = max(text_width(line) for name in names for line in name.split("\n")) + 0.14
    cell = min(_MAX_CELL, (DOUBLE_COLUMN - left - _EDGE) / len(names))
    colours = (
        "Green: the loss of the row is better than the loss of the column. Brown: it is worse. "
        "Light: the test does not tell them apart."
    )
    if cell >= _LEAST_FOR_TEXT:
        colours += " In the cells: p-values, for all pairs together."
    return Drawn(
        name="significance_map",
        figure=_draw(found, names, left, cell),
        caption=_caption(sweep, certainty, colours) + provisional_text(sweep.main_podium),
        texts=_texts(sweep, certainty),
    )


def _draw(found: Statistics, names: Sequence[str], left: float, cell: float) -> Figure:
    losses = found.compared
    width = max(SINGLE_COLUMN, left + cell * len(losses) + _EDGE)
    middles, tall = rows_of(names, min(0.24, max(cell, 0.17)))
    figure = Figure(figsize=(width, _HEAD + tall + _EDGE))
    page = inch_axes(figure)
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(middles)), tall]
    for row, (first, name) in enumerate(zip(losses, names, strict=True)):
        y = _HEAD + middles[row]
        page.text(left - 0.08, y, name, size=SMALL, ha="right", va="center", linespacing=1.15)
        for column, second in enumerate(losses):
            box = (left + column * cell, _HEAD + edges[row], cell, edges[row + 1] - edges[row])
            _draw_cell(page, box, found, first, second)
    step = max(1, round(0.2 / cell))
    for column in range(0, len(losses), step):
        page.text(left + (column + 0.5) * cell, _HEAD - 0.05, str(column + 1), size=SMALL,
                  ha="center", va="bottom")  # fmt: skip
    return figure


def _draw_cell(
    page: Axes,
    box: tuple[float, float, float, float],
    found: Statistics,
    first: str,
    second: str,
) -> None:
    x, y, width, height = box
    pair = found.pair(first, second)
    face = "white" if pair is None else _FACES[found.verdict(pair)]
    inside = (x + 0.012, y + 0.012)
    page.add_patch(Rectangle(inside, width - 0.024, height - 0.024, facecolor=face, lw=0))
    middle = (x + width / 2, y + height / 2)
    if pair is None:
        page.plot([x + 0.05, x + width - 0.05], [middle[1]] * 2, color=RULE, linewidth=0.8)
    elif width >= _LEAST_FOR_TEXT and pair.p_tukey is not None:
        page.text(*middle, p_value_text(pair.p_tukey), size=SMALL, ha="center", va="center",
                  color=INK)  # fmt: skip


def _caption(sweep: RankedSweep, certainty: Certainty, colours: str = "") -> str:
    """Returns the caption of the picture, or without `colours` that of the table."""
    return (
        f"Differences of the mean {metric_title(sweep.metric)} of all pairs of losses, tested at "
        f"once (studentised range, α = {certainty.alpha:g}), for {ESTIMANDS[certainty.estimand]}. "
        f"{colours}{' ' if colours else ''}"
        "The test against the best loss alone, which finds the tie group, is less strict."
    )


def _texts(sweep: RankedSweep, certainty: Certainty) -> dict[str, str]:
    columns = (
        "first", "second", "difference", "low", "high", "low_all_pairs", "high_all_pairs",
        "p_all_pairs", "equivalent", "level", "alpha", "margin", "estimand",
    )  # fmt: skip
    rows = [
        (pair.first, pair.second, pair.difference, *_ends(pair.interval),
         *_ends(pair.simultaneous), pair.p_tukey, pair.equivalent,
         certainty.level, certainty.alpha, certainty.margin, certainty.estimand)
        for pair in certainty.pairs
    ]  # fmt: skip
    shown = [
        (sweep.title("loss", pair.first), sweep.title("loss", pair.second),
         signed_text(pair.difference), _text(pair.interval), _text(pair.simultaneous),
         MISSING if pair.p_tukey is None else p_value_text(pair.p_tukey))
        for pair in certainty.pairs
    ]  # fmt: skip
    heads = ("Loss", "Against", "Difference", "Interval", "Interval, all pairs", "p, all pairs")
    return {"csv": csv_text(columns, rows)} | table_texts(
        heads, shown, _caption(sweep, certainty), num_names=2
    )


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (interval.low, interval.high) if interval else (None, None)


def _text(interval: Interval | None) -> str:
    return interval_text(interval.low, interval.high) if interval else MISSING
