"""Heat tables: means of a metric by block and loss, with the three best of each row marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestrator.ranking.metrics import ALL_METRICS
from orchestrator.ranking.places import place_losses
from orchestrator.ranking.podium import Podium
from orchestrator.ranking.rank import mean
from orchestrator.report.data import RankedSweep, column
from orchestrator.wording import points_text

MAX_CELLS = 20_000
"""Cells of the largest table that the page shows."""

AXIS_TITLES = {"dataset": "Dataset", "model": "Model", "cell": "Dataset and model"}


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """One block and one loss.

    Attributes:
        mean: Unrounded mean of the metric; None without a trial.
        shade: 0 for the worst mean of its row, 1 for the best; 0.5 if all are equal.
        place: 1, 2, 3, or None below.
        joint: True if another loss of the row has the same place.
        num_present: Trials behind the mean.
        num_expected: Trials of the complete grid.
        num_diverged: Diverged trials.
    """

    mean: float | None
    shade: float
    place: int | None
    joint: bool
    num_present: int
    num_expected: int
    num_diverged: int


@dataclass(frozen=True, kw_only=True)
class HeatTable:
    """Means of one metric by row and loss.

    Attributes:
        axis: `dataset`, `model`, or `cell`: every dataset with every model.
        losses: Labels of the columns.
        rows: Cells in the order of `losses`, by the row's labels, one for each of `axes`.
        points: Points of each loss over all rows.
    """

    axis: str
    losses: tuple[str, ...]
    rows: Mapping[tuple[str, ...], tuple[HeatCell, ...]]
    points: Mapping[str, int | float]

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes whose labels name a row."""
        return ("dataset", "model") if self.axis == "cell" else (self.axis,)

    @property
    def has_diverged(self) -> bool:
        """True if the mark for diverged trials needs its explanation."""
        return any(cell.num_diverged for row in self.rows.values() for cell in row)

    @property
    def has_partial(self) -> bool:
        """True if the mark for incomplete cells needs its explanation."""
        return any(
            0 < cell.num_present < cell.num_expected for row in self.rows.values() for cell in row
        )


@dataclass(frozen=True, kw_only=True)
class HeatView:
    """One table of the page, in every metric that all trials have.

    Attributes:
        axis: Of the table.
        table: In the ranked metric; None if it would be too large.
        values: Of each metric what the page's script shows.
    """

    axis: str
    table: HeatTable | None
    values: Mapping[str, dict[str, Any]]

    @property
    def title(self) -> str:
        """What a row is."""
        return AXIS_TITLES[self.axis]


def heat_table(sweep: RankedSweep, podium: Podium) -> HeatTable:
    """Returns the table of one podium's axis; columns are in the order of the main podium."""
    axis = podium.axis
    present = _counts(sweep, axis, diverged_only=False)
    diverged = _counts(sweep, axis, diverged_only=True)
    return HeatTable(
        axis=axis,
        losses=sweep.losses,
        rows={
            (name,): tuple(
                shaded_cell(
                    block.means,
                    block.places,
                    loss,
                    lower_is_better=podium.measure.lower_is_better,
                    num_present=present.get((name, loss), 0),
                    num_expected=sweep.grid.num_expected(**{axis: name, "loss": loss}),
                    num_diverged=diverged.get((name, loss), 0),
                )
                for loss in sweep.losses
            )
            for name, block in podium.blocks.items()
        },
        points=podium.points,
    )


def _counts(sweep: RankedSweep, axis: str, *, diverged_only: bool) -> dict[tuple[str, str], int]:
    trials = sweep.trials
    if diverged_only:
        trials = trials[column(trials, "status") == "diverged"]
    counts: dict[tuple[str, str], int] = {}
    for block, loss in zip(trials[axis], trials["loss"], strict=True):
        key = (str(block), str(loss))
        counts[key] = counts.get(key, 0) + 1
    return counts


def shaded_cell(
    means: Mapping[str, float],
    places: Mapping[str, int],
    loss: str,
    *,
    num_present: int,
    num_expected: int,
    num_diverged: int,
    lower_is_better: bool = False,
) -> HeatCell:
    """Returns one cell of a block with these means and places of its losses."""
    value, place = means.get(loss), places.get(loss)
    lowest, highest = min(means.values(), default=0.0), max(means.values(), default=0.0)
    spread = highest - lowest
    shade = 0.5 if value is None or not spread else (value - lowest) / spread
    return HeatCell(
        mean=value,
        shade=1 - shade if lower_is_better else shade,
        place=place if place is not None and place <= 3 else None,
        joint=list(places.values()).count(place) > 1 if place is not None else False,
        num_present=num_present,
        num_expected=num_expected,
        num_diverged=num_diverged,
    )


def heat_metrics(sweep: RankedSweep) -> tuple[str, ...]:
    """Returns the metrics that every trial has, the ranked one first."""
    trials = sweep.trials
    others = [
        name
        for name in ALL_METRICS
        if name != sweep.metric and name in trials and bool(trials[name].notna().all())
    ]
    return (sweep.metric, *others)


def heat_views(sweep: RankedSweep) -> list[HeatView]:
    """Returns the tables by dataset, by model, and by both if the sweep has both."""
    rankings = {metric: sweep.ranked_by(metric) for metric in heat_metrics(sweep)}
    views = [
        _view(
            sweep,
            {
                metric: heat_table(sweep, ranking.podiums[position])
                for metric, ranking in rankings.items()
            },
        )
        for position in range(len(sweep.ranking.podiums))
    ]
    return [*views, _cell_view(sweep)] if len(views) == 2 else views


def _cell_view(sweep: RankedSweep) -> HeatView:
    cells = [(d, m) for d in sweep.grid.datasets for m in sweep.grid.models]
    if len(cells) * len(sweep.losses) > MAX_CELLS:
        return HeatView(axis="cell", table=None, values={})
    return _view(
        sweep, {metric: _cell_table(sweep, cells, metric) for metric in heat_metrics(sweep)}
    )


def _view(sweep: RankedSweep, tables: Mapping[str, HeatTable]) -> HeatView:
    table = tables[sweep.metric]
    return HeatView(
        axis=table.axis,
        table=table,
        values={
            metric: _values(found) | {"lower_is_better": sweep.measure(metric).lower_is_better}
            for metric, found in tables.items()
        },
    )


def _cell_table(sweep: RankedSweep, pairs: Sequence[tuple[str, str]], metric: str) -> HeatTable:
    """Returns the table of dataset and model; points are given in each row and summed."""
    trials = sweep.trials
    means = _cell_means(trials, metric)
    keys = list(
        zip(*(trials[name].astype(str) for name in ("dataset", "model", "loss")), strict=True)
    )
    present = Counter(keys)
    is_diverged = (column(trials, "status") == "diverged").tolist()
    diverged = Counter(key for key, flag in zip(keys, is_diverged, strict=True) if flag)
    points = dict.fromkeys(sweep.losses, 0.0)
    lower = sweep.measure(metric).lower_is_better
    rows: dict[tuple[str, ...], tuple[HeatCell, ...]] = {}
    for pair in pairs:
        block = {loss: means[*pair, loss] for loss in sweep.losses if (*pair, loss) in means}
        gains = {loss: -value if lower else value for loss, value in block.items()}
        placing = place_losses(gains, ties=sweep.ranking.ties, listed=sweep.losses)
        for loss, value in placing.points.items():
            points[loss] += float(value)
        rows[pair] = tuple(
            shaded_cell(
                block,
                placing.places,
                loss,
                num_present=present[*pair, loss],
                num_expected=sweep.grid.num_expected(dataset=pair[0], model=pair[1], loss=loss),
                num_diverged=diverged[*pair, loss],
                lower_is_better=lower,
            )
            for loss in sweep.losses
        )
    return HeatTable(axis="cell", losses=sweep.losses, rows=rows, points=points)


def _cell_means(trials: pd.DataFrame, metric: str) -> dict[tuple[str, str, str], float]:
    groups: dict[tuple[str, str, str], list[float]] = {}
    for dataset, model, loss, value in zip(
        trials["dataset"], trials["model"], trials["loss"], trials[metric], strict=True
    ):
        groups.setdefault((str(dataset), str(model), str(loss)), []).append(float(value))
    return {key: mean(values) for key, values in groups.items()}


def _values(table: HeatTable) -> dict[str, Any]:
    """Returns what the page's script shows of one metric, in the table's order of rows and losses.

    `points` are numbers to sort by, `point_texts` the same as shown.
    """
    return {
        "means": [[cell.mean for cell in row] for row in table.rows.values()],
        "places": [[place_text(cell) for cell in row] for row in table.rows.values()],
        "points": [table.points[loss] for loss in table.losses],
        "point_texts": [points_text(table.points[loss]) for loss in table.losses],
    }


def place_text(cell: HeatCell) -> str:
    """Returns `1`, `2=` where others share the place, or nothing below the third place."""
    return f"{cell.place}{'=' if cell.joint else ''}" if cell.place else ""
