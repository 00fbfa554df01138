"""The metric of all trials as one array, from which every mean, rank and resample is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from orchestrator.ranking.choices import Compare
from orchestrator.ranking.metrics import Metric, as_metric
from orchestrator.ranking.table import check_table, is_diverged, reading_notes
from workers.contract import UserError

COMPARES: tuple[Compare, ...] = get_args(Compare)
COLUMNS = ("dataset", "model", "loss", "repeat")
MAX_COMBINATIONS = 60_000_000
"""Half a GiB of Dice; a table this large and this empty is a mistake."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """One metric of a checked table.

    Array names end in their axes: D datasets, M models, L losses, R repeats, each in the sorted
    order of its labels, so that rows in any order give the same bits.

    Attributes:
        measure: The column, and which direction is better.
        datasets: Labels; empty where the table knows no dataset (D is 1 then).
        models: Labels; empty where the table knows no model (M is 1 then).
        losses: Labels.
        listed: The same losses in the order of the table.
        values_DMLR: Higher is better: the values, or where lower is better the negated ones, so
            that all that compares losses needs to know of no direction. NaN where there is no
            trial; the worst value where it diverged.
        finished_DMLR: Where a trial is there and did not diverge.
        has_repeats: Whether the table numbers its repeats.
        spared_DMLR: Where a value stands in for a trial that a race spared; None for nowhere.
        notes: Sentences on how the table was read.
    """

    measure: Metric
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    losses: tuple[str, ...]
    listed: tuple[str, ...]
    values_DMLR: np.ndarray
    finished_DMLR: np.ndarray
    has_repeats: bool
    notes: tuple[str, ...] = ()
    spared_DMLR: np.ndarray | None = None

    @property
    def metric(self) -> str:
        """The column."""
        return self.measure.name

    def shown(self, value: float) -> float:
        """Returns a mean or a difference of `values_DMLR` in the direction of the table."""
        return 0.0 - value if self.measure.lower_is_better else value

    @property
    def trained_DMLR(self) -> np.ndarray:
        """Where there is a trial and no stand-in for one."""
        present_DMLR = self.present_DMLR
        return present_DMLR if self.spared_DMLR is None else present_DMLR & ~self.spared_DMLR

    @property
    def present_DMLR(self) -> np.ndarray:
        """Where there is a value."""
        return np.asarray(~np.isnan(self.values_DMLR))

    @property
    def present_DML(self) -> np.ndarray:
        """Which combinations have a trial."""
        return np.asarray(self.present_DMLR.any(axis=3))

    @property
    def finished_DML(self) -> np.ndarray:
        """Which combinations have a trial that did not diverge."""
        return np.asarray(self.finished_DMLR.any(axis=3))

    def labels(self, axis: str) -> tuple[str, ...]:
        """Returns the labels of `dataset` or `model`; empty where the table knows none."""
        return {"dataset": self.datasets, "model": self.models}[axis]

    @property
    def axes(self) -> tuple[str, ...]:
        """Which of `dataset` and `model` the table knows."""
        return tuple(axis for axis in ("dataset", "model") if self.labels(axis))


def scores_of(table: pd.DataFrame | Scores, metric: str | Metric = "dice") -> Scores:
    """Checks a table and returns its scores; scores are returned as they are.

    Raises:
        UserError: The table is not as `orchestrator.ranking.table.read_table` describes.
    """
    if isinstance(table, Scores):
        return table
    return gather(check_table(table, metric=metric), metric)


def gather(checked: pd.DataFrame, metric: str | Metric) -> Scores:
    """Returns the scores of a checked table.

    Raises:
        UserError: Its combinations do not fit in memory.
    """
    measure = as_metric(metric)
    codes = [np.zeros(len(checked), dtype=int) for _ in COLUMNS]
    labels: list[list[str]] = [[] for _ in COLUMNS]
    for position, column in enumerate(COLUMNS):
        if column in checked:
            codes[position], found = pd.factorize(checked[column], sort=True)
            labels[position] = [str(entry) for entry in found]
    shape = tuple(max(len(label), 1) for label in labels)
    if np.prod([float(size) for size in shape]) > MAX_COMBINATIONS:
        sizes = " x ".join(f"{size:,}" for size in shape)
        msg = (
            f"{sizes} datasets, models, losses and repeats are more than {MAX_COMBINATIONS:,} "
            "combinations; rank a part of the table, and number the repeats 0, 1, 2, …"
        )
        raise UserError(msg)
    where = np.ravel_multi_index(tuple(codes), shape)
    values = np.full(shape, np.nan)
    values.flat[where] = checked[measure.name].to_numpy(dtype=float)
    if measure.lower_is_better:
        values = 0.0 - values
    finished = np.zeros(shape, dtype=bool)
    finished.flat[where] = ~is_diverged(checked)
    return Scores(
        measure=measure,
        datasets=tuple(labels[0]),
        models=tuple(labels[1]),
        losses=tuple(labels[2]),
        listed=tuple(str(loss) for loss in checked["loss"].unique()),
        values_DMLR=values,
        finished_DMLR=finished,
        has_repeats="repeat" in checked,
        notes=reading_notes(checked, measure),
    )


def mean_over(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Returns the mean of what is there; NaN where nothing is."""
    present = ~np.isnan(values)
    num_present = present.sum(axis=axis)
    total = np.where(present, values, 0.0).sum(axis=axis)
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide(total, num_present, out=out, where=num_present > 0))


def comparable_DML(scores: Scores, axis: str, compare: Compare) -> np.ndarray:
    """Returns which cells count when the losses of one block of an axis are compared.

    `available` takes every cell with a trial. `common` takes, within a block, the cells that
    every loss with a trial in that block has, so that no loss profits from a hole.
    """
    present_DML = scores.present_DML
    if compare == "available":
        return present_DML
    other = {"dataset": 1, "model": 0}[axis]
    tried = np.any(present_DML, axis=other, keepdims=True)
    common = np.all(present_DML | ~tried, axis=2, keepdims=True)
    return np.asarray(present_DML & common)


def block_means(
    scores: Scores, axis: str, compare: Compare = "available"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means (blocks, losses) of one axis, and where a trial of it finished.

    A block's mean is the mean over the other axis of the mean over repeats; NaN without a trial.
    """
    counted_DML = comparable_DML(scores, axis, compare)
    other = {"dataset": 1, "model": 0}[axis]
    cells_DML = np.where(counted_DML, mean_over(scores.values_DMLR, 3), np.nan)
    finished_DML = scores.finished_DML & counted_DML
    return mean_over(cells_DML, other), np.asarray(finished_DML.any(axis=other))
