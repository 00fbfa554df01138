"""The metric of all trials as one array, from which every mean, rank and interval is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestrator.ranking.choices import Compare, PodiumAxis
from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.metrics import Metric
from orchestrator.ranking.table import TrialTable
from workers.contract import UserError

COLUMNS = ("dataset", "model", "loss", "repeat")
MAX_COMBINATIONS = 60_000_000
"""Half a GiB of Dice; a larger product of labels is a mistake in the table."""
FIT_SWEEPS = 60
"""Iterations of the fit for unbalanced data."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """One metric of all trials; `scores_of` makes it from a checked table.

    Array names end in their axes: D datasets, M models, L losses, R repeats, each in the sorted
    order of its labels, so that rows in any order give the same bits.

    Attributes:
        measure: The column, and which direction is better.
        datasets: Labels; empty if the table has no column dataset (D is 1 then).
        models: Labels; empty if the table has no column model (M is 1 then).
        losses: Labels.
        listed: All losses, also those without a trial, in the order that the tie rule `order` goes
            by: that of the grid; losses outside it follow in the order of the table.
        expected: The trials that a complete table holds.
        values_DMLR: Higher is better: if lower values of the metric are better, they are negated
            here, so that code that compares losses needs no direction. NaN without a trial; the
            worst value where it diverged; an estimate where it was spared.
        finished_DMLR: Where there is a value and the trial did not diverge.
        spared_DMLR: Where the value is the estimate of a spared trial.
        notes: Sentences on how the table was read.
    """

    measure: Metric
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    losses: tuple[str, ...]
    listed: tuple[str, ...]
    expected: ExpectedTrials
    values_DMLR: np.ndarray
    finished_DMLR: np.ndarray
    spared_DMLR: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """The column."""
        return self.measure.name

    def shown(self, value: float) -> float:
        """Returns a mean or a difference of `values_DMLR` with the sign of the table."""
        return 0.0 - value if self.measure.lower_is_better else value

    @property
    def trained_DMLR(self) -> np.ndarray:
        """Which trials are in the table."""
        return np.asarray(self.present_DMLR & ~self.spared_DMLR)

    @property
    def finished_values_DMLR(self) -> np.ndarray:
        """The values of the trials that did not diverge; NaN elsewhere."""
        return np.where(self.finished_DMLR, self.values_DMLR, np.nan)

    @property
    def diverged_DMLR(self) -> np.ndarray:
        """Which trials diverged."""
        return np.asarray(self.trained_DMLR & ~self.finished_DMLR)

    @property
    def present_DMLR(self) -> np.ndarray:
        """Which trials have a value, measured or estimated."""
        return np.asarray(~np.isnan(self.values_DMLR))

    @property
    def present_DML(self) -> np.ndarray:
        """Which combinations have a value."""
        return np.asarray(self.present_DMLR.any(axis=3))

    @property
    def finished_DML(self) -> np.ndarray:
        """Which combinations have a trial that did not diverge."""
        return np.asarray(self.finished_DMLR.any(axis=3))

    @property
    def listed_positions(self) -> list[int]:
        """Positions in `losses` in the order of `listed`."""
        return [self.losses.index(loss) for loss in self.listed if loss in self.losses]

    def labels(self, axis: str) -> tuple[str, ...]:
        """Returns the labels of `dataset` or `model`; empty if the table lacks the column."""
        return {"dataset": self.datasets, "model": self.models}[axis]

    @property
    def axes(self) -> tuple[PodiumAxis, ...]:
        """Which of the columns `dataset` and `model` the table has."""
        both: tuple[PodiumAxis, ...] = ("dataset", "model")
        return tuple(axis for axis in both if self.labels(axis))


def scores_of(table: TrialTable, expected: ExpectedTrials | None = None) -> Scores:
    """Returns the scores of a table, with an estimate for each spared trial.

    Args:
        table: The trials.
        expected: The trials of the grid; None if only those of the table are known.

    Raises:
        UserError: The combinations do not fit in memory.
    """
    rows = table.rows
    codes = [np.zeros(len(rows), dtype=int) for _ in COLUMNS]
    labels: list[tuple[str, ...]] = [() for _ in COLUMNS]
    for position, column in enumerate(COLUMNS):
        if column in rows:
            codes[position], found = pd.factorize(rows[column], sort=True)
            labels[position] = tuple(str(entry) for entry in found)
    shape = tuple(max(len(label), 1) for label in labels)
    _check_size(shape)
    where = np.ravel_multi_index(tuple(codes), shape)
    values = np.full(shape, np.nan)
    values.flat[where] = rows[table.metric.name].to_numpy(dtype=float)
    if table.metric.lower_is_better:
        values = 0.0 - values
    finished = np.zeros(shape, dtype=bool)
    finished.flat[where] = ~table.diverged
    datasets, models, losses, _ = labels
    known = expected or ExpectedTrials()
    spared = _spared_DMLR(known, labels[:3], values)
    if spared.any():
        estimates = paired_estimates(values, finished)
        spared &= ~np.isnan(estimates)
        values = np.where(spared, estimates, values)
        finished |= spared & finished.any(axis=3, keepdims=True)
    return Scores(
        measure=table.metric,
        datasets=datasets,
        models=models,
        losses=losses,
        listed=tuple(dict.fromkeys((*known.losses, *map(str, rows["loss"].unique())))),
        expected=known.covering(
            datasets=datasets, models=models, losses=losses, num_repeats=shape[3]
        ),
        values_DMLR=values,
        finished_DMLR=finished,
        spared_DMLR=spared,
        notes=table.notes,
    )


def _check_size(shape: tuple[int, ...]) -> None:
    if np.prod([float(size) for size in shape]) > MAX_COMBINATIONS:
        sizes = " x ".join(f"{size:,}" for size in shape)
        msg = (
            f"{sizes} datasets, models, losses and repeats are more than {MAX_COMBINATIONS:,} "
            "combinations; rank a part of the table, and number the repeats 0, 1, 2, …"
        )
        raise UserError(msg)


def _spared_DMLR(
    expected: ExpectedTrials, labels: Sequence[tuple[str, ...]], values_DMLR: np.ndarray
) -> np.ndarray:
    """Returns which spared trials have no value; `labels` are those of D, M and L."""
    positions = [{label: position for position, label in enumerate(axis)} for axis in labels]
    spared: np.ndarray = np.zeros_like(values_DMLR, dtype=bool)
    for *names, repeat in expected.spared:
        index = [known.get(str(name)) for known, name in zip(positions, names, strict=True)]
        if None not in index and repeat < spared.shape[3]:
            spared[index[0], index[1], index[2], repeat] = True
    return np.asarray(spared & np.isnan(values_DMLR))


def mean_over(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Returns the mean of the values that are not NaN; NaN if all are."""
    present = ~np.isnan(values)
    num_present = present.sum(axis=axis)
    total = np.where(present, values, 0.0).sum(axis=axis)
    out = np.full(total.shape, np.nan)
    return np.asarray(np.divide(total, num_present, out=out, where=num_present > 0))


def comparable_DML(scores: Scores, axis: str, compare: Compare) -> np.ndarray:
    """Returns which cells count when the losses of one block of an axis are compared.

    `available` takes every cell with a trial. `common` takes, within a block, the cells that
    every loss with a trial in that block has, so that no loss profits from a missing trial.
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
    """Returns the means (blocks, losses) of one axis, and where a loss has finished trials.

    A block's mean is the mean over the other axis of the mean over repeats; NaN without a trial.
    """
    counted_DML = comparable_DML(scores, axis, compare)
    other = {"dataset": 1, "model": 0}[axis]
    cells_DML = np.where(counted_DML, mean_over(scores.values_DMLR, 3), np.nan)
    finished_DML = scores.finished_DML & counted_DML
    return mean_over(cells_DML, other), np.asarray(finished_DML.any(axis=other))


def split_effects(values_DMLR: np.ndarray, finished_DMLR: np.ndarray) -> np.ndarray:
    """Returns (D, M, R): what each split adds to every loss; 0 on average, 0 if none finished.

    Fitted with the effects of the losses by least squares over the trials that finished.
    """
    weight = finished_DMLR.astype(float)
    values = np.where(finished_DMLR, np.nan_to_num(values_DMLR), 0.0)
    of_loss = np.maximum(weight.sum(axis=3), 1)
    of_split = np.maximum(weight.sum(axis=2), 1)
    there_DMR = finished_DMLR.any(axis=2)
    number_DM = np.maximum(there_DMR.sum(axis=2), 1)
    split_DMR = np.zeros(there_DMR.shape)
    uneven = not (weight == weight[:, :, :1, :]).all()
    for _ in range(FIT_SWEEPS if uneven else 1):  # balanced data is fitted in one sweep
        loss_DML = (values - weight * split_DMR[:, :, None]).sum(axis=3) / of_loss
        split_DMR = (values - weight * loss_DML[..., None]).sum(axis=2) / of_split
        split_DMR -= (split_DMR.sum(axis=2) / number_DM)[..., None]
        split_DMR *= there_DMR
    return split_DMR


def paired_estimates(values_DMLR: np.ndarray, finished_DMLR: np.ndarray) -> np.ndarray:
    """Returns an estimate of every trial, the effect of its loss plus that of its split.

    A loss with fewer repeats saw fewer splits; plain means would compare the splits too. NaN for a
    combination without any trial.
    """
    split_DMR = split_effects(values_DMLR, finished_DMLR)
    centre_DML = mean_over(values_DMLR - split_DMR[:, :, None], 3)
    return np.asarray(centre_DML[..., None] + split_DMR[:, :, None])
