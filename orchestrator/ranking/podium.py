"""From a table of trials to the podium by dataset and by model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd

from orchestrator.ranking.grid import Coverage, Grid, block_coverage
from orchestrator.ranking.places import TieRule, check_tie_rule, place
from orchestrator.ranking.tables import check_table
from workers.contract import JSONValue

MEAN_RULE = "mean over the other axis of the mean over repeats"
"""Equals the mean over all trials where every cell has equally many."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One dataset (or one model) and how the losses did on it.

    Attributes:
        means: Unrounded mean of the metric, for each loss that has a trial here.
        order: Those losses, best first.
        places: Place of each of them, from 1; tied losses share it.
        points: Points of each of them.
        ties: Groups of losses whose equal means touch the three first places.
        coverage: Trials present and expected here.
    """

    name: str
    means: Mapping[str, float]
    order: tuple[str, ...]
    places: Mapping[str, int]
    points: Mapping[str, int | float]
    ties: tuple[tuple[str, ...], ...]
    coverage: Coverage

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the block as plain JSON values."""
        return {
            "order": list(self.order),
            "places": dict(self.places),
            "points": dict(self.points),
            "means": dict(self.means),
            "ties": [list(group) for group in self.ties],
            "coverage": self.coverage.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Podium:
    """Points of all losses over all blocks of one axis.

    Attributes:
        axis: `dataset` or `model`: what a block is.
        points: Points of every loss, the best first.
        means: Mean over the blocks of each loss's block means; None without any trial.
        blocks: By name, in the order of the grid; those outside it follow by name.
        coverage: Trials present and expected in all blocks.
    """

    axis: str
    points: Mapping[str, int | float]
    means: Mapping[str, float | None]
    blocks: Mapping[str, Block]
    coverage: Coverage
    ties: TieRule

    @property
    def num_ties(self) -> int:
        """Number of ties that touch one of the three first places of a block."""
        return sum(len(block.ties) for block in self.blocks.values())

    @property
    def provisional(self) -> bool:
        """True while a trial is missing: a missing trial may change any place."""
        return not self.coverage.complete

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the podium as plain JSON values."""
        blocks = {name: block.to_json() for name, block in self.blocks.items()}
        coverage = self.coverage.to_json()
        coverage["blocks"] = {name: block.coverage.to_json() for name, block in self.blocks.items()}
        return {
            "points": dict(self.points),
            "means": dict(self.means),
            "ties": {"rule": self.ties, "num_podium_ties": self.num_ties},
            "coverage": coverage,
            "provisional": self.provisional,
            "blocks": dict(blocks),
        }


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Both podiums; one is None where the table lacks its column.

    Attributes:
        metric: The ranked column, higher is better.
        notes: Sentences on how the table was read, for the reader of the result.
    """

    metric: str
    ties: TieRule
    by_dataset: Podium | None
    by_model: Podium | None
    notes: tuple[str, ...] = ()

    @property
    def podiums(self) -> tuple[Podium, ...]:
        """The podiums that exist, by dataset first."""
        return tuple(podium for podium in (self.by_dataset, self.by_model) if podium)

    def to_json(self) -> dict[str, JSONValue]:
        """Returns both podiums as plain JSON values; whole points are integers."""
        return {
            "metric": self.metric,
            "ties": self.ties,
            "by_dataset": self.by_dataset.to_json() if self.by_dataset else None,
            "by_model": self.by_model.to_json() if self.by_model else None,
            "notes": list(self.notes),
        }


def rank(
    table: pd.DataFrame,
    *,
    metric: str = "dice",
    ties: TieRule = "split",
    expected: Grid | Mapping[str, object] | int | None = None,
) -> Ranking:
    """Ranks the losses of a table within each dataset and within each model.

    A block's mean is the mean over the other axis of the mean over repeats, unrounded. Its 1st,
    2nd and 3rd loss get 3, 2 and 1 points, which are summed over the blocks (Jang and Ahn 2025,
    figure 2).

    Args:
        table: Columns dataset and/or model, loss, the metric; optionally repeat and status. A
            diverged row counts as 0.
        metric: Column to rank by; higher is better.
        ties: Who gets the points of tied places.
        expected: The grid (or its document), or trials per cell; else the full product of what
            the table shows.

    Raises:
        UserError: The table, the tie rule or the grid document is not as described.
    """
    check_tie_rule(ties)
    checked = check_table(table, metric=metric)
    grid = Grid.around(checked, expected)
    podiums = {
        axis: _podium(checked, axis, metric=metric, ties=ties, grid=grid)
        if axis in checked
        else None
        for axis in ("dataset", "model")
    }
    return Ranking(
        metric=metric,
        ties=ties,
        by_dataset=podiums["dataset"],
        by_model=podiums["model"],
        notes=_notes(checked),
    )


def mean(values: list[float]) -> float:
    """Returns the mean; the sum is exact, so the order of the values never matters."""
    return math.fsum(values) / len(values)


def block_means(table: pd.DataFrame, axis: str, metric: str) -> dict[str, dict[str, float]]:
    """Returns {block: {loss: mean over the other axis of the mean over repeats}}.

    Args:
        table: A checked table.
        axis: Column of the blocks.
        metric: Column to average.
    """
    other = {"dataset": "model", "model": "dataset"}[axis]
    others = table[other] if other in table else [""] * len(table)
    cells: dict[str, dict[str, dict[str, list[float]]]] = {}
    for block, loss, within, value in zip(
        table[axis], table["loss"], others, table[metric], strict=True
    ):
        losses = cells.setdefault(str(block), {}).setdefault(str(loss), {})
        losses.setdefault(str(within), []).append(float(value))
    return {
        block: {loss: mean([mean(cell) for cell in cells.values()]) for loss, cells in row.items()}
        for block, row in cells.items()
    }


def _podium(table: pd.DataFrame, axis: str, *, metric: str, ties: TieRule, grid: Grid) -> Podium:
    means = block_means(table, axis, metric)
    listed = list(dict.fromkeys(table["loss"]))
    present = table[axis].value_counts().to_dict()
    blocks: dict[str, Block] = {}
    totals = dict.fromkeys(grid.losses, Fraction(0))
    for name in grid.blocks(axis):
        placing = place(means.get(name, {}), ties=ties, listed=listed)
        for loss, points in placing.points.items():
            totals[loss] += points
        blocks[name] = Block(
            name=name,
            means={loss: means[name][loss] for loss in placing.order},
            order=placing.order,
            places={loss: placing.places[loss] for loss in placing.order},
            points={loss: _number(placing.points[loss]) for loss in placing.order},
            ties=placing.ties,
            coverage=block_coverage(grid, axis, int(present.get(name, 0))),
        )
    overall = {loss: _overall(means, loss) for loss in totals}
    standing = sorted(totals, key=lambda loss: (-totals[loss], _descending(overall[loss]), loss))
    return Podium(
        axis=axis,
        points={loss: _number(totals[loss]) for loss in standing},
        means={loss: overall[loss] for loss in standing},
        blocks=blocks,
        coverage=Coverage(
            present=sum(block.coverage.present for block in blocks.values()),
            expected=sum(block.coverage.expected for block in blocks.values()),
        ),
        ties=ties,
    )


def _overall(means: Mapping[str, Mapping[str, float]], loss: str) -> float | None:
    values = [row[loss] for row in means.values() if loss in row]
    return mean(values) if values else None


def _descending(value: float | None) -> float:
    return math.inf if value is None else -value


def _number(points: Fraction) -> int | float:
    return points.numerator if points.denominator == 1 else float(points)


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    notes: list[str] = []
    key = [name for name in ("dataset", "model", "loss") if name in table]
    sizes = table.groupby(key, sort=False).size()
    if sizes.nunique() > 1:
        notes.append(
            f"Combinations have from {sizes.min()} to {sizes.max()} repeats: each block's mean is "
            f"the {MEAN_RULE}."
        )
    if "status" in table and (diverged := int((table["status"] == "diverged").sum())):
        trials = "trial" if diverged == 1 else "trials"
        notes.append(f"{diverged} diverged {trials} counted as 0.")
    if {"dataset", "dataset_fingerprint"} <= set(table.columns):
        states = table.groupby("dataset", sort=False)["dataset_fingerprint"].nunique()
        notes += [
            f"The trials of {dataset} saw {number} different states of its data: they are not "
            "comparable."
            for dataset, number in states.items()
            if number > 1
        ]
    return tuple(notes)
