"""The heat tables: block by loss, mean of a metric, the three best marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestrator.ranking.metrics import ALL_METRICS
from orchestrator.ranking.places import place
from orchestrator.ranking.podium import Podium, mean, rank
from orchestrator.report.data import Sweep, column
from orchestrator.wording import points_text


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """One block and one loss.

    Attributes:
        mean: Unrounded mean of the metric; None without any trial.
        shade: 0 for the worst mean of its row, 1 for the best; 0.5 where all are equal.
        place: 1, 2 or 3, else None.
        joint: True where another loss of the row has the same place.
        num_present: Trials behind the mean.
        num_expected: Trials of the complete grid.
        num_diverged: Those that diverged.
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
    """One axis by losses.

    Attributes:
        axis: `dataset` or `model`.
        losses: Labels of the columns.
        rows: Cells of each block, in the order of `losses`.
        points: Points of each loss over all blocks.
    """

    axis: str
    losses: tuple[str, ...]
    rows: Mapping[str, tuple[HeatCell, ...]]
    points: Mapping[str, int | float]

    @property
    def has_diverged(self) -> bool:
        """True where a mark for diverged trials needs its explanation."""
        return any(cell.num_diverged for row in self.rows.values() for cell in row)

    @property
    def has_partial(self) -> bool:
        """True where a mark for incomplete cells needs its explanation."""
        return any(
            0 < cell.num_present < cell.num_expected for row in self.rows.values() for cell in row
        )


def heat_table(sweep: Sweep, podium: Podium) -> HeatTable:
    """Returns the table of one podium's axis; columns are in the order of the main podium."""
    axis = podium.axis
    present = _counts(sweep, axis, diverged_only=False)
    diverged = _counts(sweep, axis, diverged_only=True)
    return HeatTable(
        axis=axis,
        losses=sweep.losses,
        rows={
            name: tuple(
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


def _counts(sweep: Sweep, axis: str, *, diverged_only: bool) -> dict[tuple[str, str], int]:
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


MAX_CELLS = 20_000
"""Cells of the largest table shown; above, the page would be too large to look at."""

AXIS_TITLES = {"dataset": "Dataset", "model": "Model", "cell": "Dataset and model"}


@dataclass(frozen=True, kw_only=True)
class HeatRow:
    """One row: its block and the cells in the order of the losses.

    Attributes:
        titles: What to call the block: one title, or those of dataset and model.
        labels: The same as labels, for the filter.
    """

    titles: tuple[str, ...]
    labels: tuple[str, ...]
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True, kw_only=True)
class HeatView:
    """One table in every metric that all trials have.

    Attributes:
        axis: `dataset`, `model`, or `cell`: every dataset with every model.
        rows: The ranked metric's rows.
        points: The ranked metric's points, by loss.
        values: Of each metric the means, places and points, as the page's script reads them.
        too_large: True where the rows are left out.
    """

    axis: str
    rows: tuple[HeatRow, ...]
    points: Mapping[str, int | float]
    values: Mapping[str, dict[str, Any]]
    too_large: bool = False

    @property
    def title(self) -> str:
        """What a row is."""
        return AXIS_TITLES[self.axis]

    @property
    def marks(self) -> frozenset[str]:
        """Which marks need their explanation: `diverged`, `partial`."""
        cells = [cell for row in self.rows for cell in row.cells]
        diverged = {"diverged"} if any(cell.num_diverged for cell in cells) else set()
        partial = any(0 < cell.num_present < cell.num_expected for cell in cells)
        return frozenset(diverged | ({"partial"} if partial else set()))


def heat_metrics(sweep: Sweep) -> tuple[str, ...]:
    """Returns the metrics that every trial has, the ranked one first."""
    trials = sweep.trials
    others = [
        name
        for name in ALL_METRICS
        if name != sweep.metric and name in trials and bool(trials[name].notna().all())
    ]
    return (sweep.metric, *others)


def heat_views(sweep: Sweep) -> list[HeatView]:
    """Returns the tables by dataset, by model, and by both where the sweep has both."""
    rankings = {
        metric: sweep.ranking
        if metric == sweep.metric
        else rank(sweep.trials, metric=metric, ties=sweep.ranking.ties, expected=sweep.grid)
        for metric in heat_metrics(sweep)
    }
    views = []
    for position, podium in enumerate(sweep.ranking.podiums):
        tables = {
            metric: heat_table(sweep, ranking.podiums[position])
            for metric, ranking in rankings.items()
        }
        titles = [((sweep.title(podium.axis, name),), (name,)) for name in podium.blocks]
        views.append(_view(sweep, podium.axis, titles, tables))
    if len(views) == 2:
        views.append(_cell_view(sweep))
    return views


def _cell_view(sweep: Sweep) -> HeatView:
    pairs = [(d, m) for d in sweep.grid.datasets for m in sweep.grid.models]
    if len(pairs) * len(sweep.losses) > MAX_CELLS:
        return HeatView(axis="cell", rows=(), points={}, values={}, too_large=True)
    titles = [((sweep.title("dataset", d), sweep.title("model", m)), (d, m)) for d, m in pairs]
    tables = {metric: _cell_table(sweep, pairs, metric) for metric in heat_metrics(sweep)}
    return _view(sweep, "cell", titles, tables)


def _cell_table(sweep: Sweep, pairs: Sequence[tuple[str, str]], metric: str) -> HeatTable:
    """Returns {dataset and model: cells}; points of each such block are given and summed."""
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
    rows: dict[str, tuple[HeatCell, ...]] = {}
    for pair in pairs:
        block = {loss: means[*pair, loss] for loss in sweep.losses if (*pair, loss) in means}
        gains = {loss: -value if lower else value for loss, value in block.items()}
        placing = place(gains, ties=sweep.ranking.ties, listed=sweep.losses)
        for loss, value in placing.points.items():
            points[loss] += float(value)
        rows["\n".join(pair)] = tuple(
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


def _view(
    sweep: Sweep,
    axis: str,
    titles: Sequence[tuple[tuple[str, ...], tuple[str, ...]]],
    tables: Mapping[str, HeatTable],
) -> HeatView:
    first = tables[sweep.metric]
    return HeatView(
        axis=axis,
        rows=tuple(
            HeatRow(titles=names, labels=labels, cells=cells)
            for (names, labels), cells in zip(titles, first.rows.values(), strict=True)
        ),
        points=first.points,
        values={
            metric: _values(table) | {"lower_is_better": sweep.measure(metric).lower_is_better}
            for metric, table in tables.items()
        },
    )


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
