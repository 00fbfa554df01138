"""Differences of two sweeps by combination and by loss, paired if both have the same splits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from orchestrator.ranking.choices import Estimand
from orchestrator.ranking.metrics import Metric
from orchestrator.ranking.pairs import half_widths, pair_se
from orchestrator.ranking.places import TIE_TOLERANCE
from orchestrator.ranking.protocols import protocol_values
from orchestrator.report.data import column
from orchestrator.wording import MISSING, interval_text

LEVEL = 0.95
_SPLIT_KEYS = ("seed", "data.split")
_SIMILAR_KEYS = ("data.similar_distance", "data.similar_rule")

CellKey = tuple[str | None, str | None, str]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference of means, B minus A, with its interval of 95 %.

    Attributes:
        value: The difference.
        low: Lower end; None if there is no interval.
        high: Upper end.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """True if the interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def interval_text(self) -> str:
        """The interval, such as `−0.0010 to +0.0200`, or the mark for none."""
        if self.low is None or self.high is None:
            return MISSING
        return interval_text(self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class CellDifference:
    """One dataset, model and loss that both have.

    Attributes:
        difference: Its interval is for more repeats of this dataset and model; none with fewer
            than two repeats on a side.
        mean_a: Mean over the repeats of A; `mean_b` of B.
        paired: True if each repeat of one side has the same split on the other.
        num_a: Compared trials of A; equal to `num_b` if paired.
    """

    dataset: str | None
    model: str | None
    loss: str
    mean_a: float
    mean_b: float
    difference: Difference
    paired: bool
    num_a: int
    num_b: int


@dataclass(frozen=True, kw_only=True)
class LossDifference:
    """One loss over all cells that both have.

    Attributes:
        difference: Mean of the differences of the cells, see `loss_differences`.
        estimand: What its interval is for: `other`, or `other_datasets` if its cells have one
            model; None without an interval.
        num_cells: Number of these cells.
        num_better: Cells in which B is better; `num_worse`: in which B is worse.
    """

    loss: str
    difference: Difference
    estimand: Estimand | None
    num_cells: int
    num_better: int
    num_worse: int


def cell_differences(
    a: pd.DataFrame, b: pd.DataFrame, *, metric_a: str, metric_b: str
) -> list[CellDifference]:
    """Returns the cells that both tables have, in sorted order.

    Args:
        a: Checked trials; diverged ones have the worst value.
        b: Likewise.
        metric_a: Column of `a`.
        metric_b: Column of `b`.
    """
    cells_a, cells_b = _cells(a, metric_a), _cells(b, metric_b)
    common = sorted(set(cells_a) & set(cells_b), key=lambda key: tuple(part or "" for part in key))
    return [_cell(key, cells_a[key], cells_b[key]) for key in common]


def loss_differences(
    cells: Sequence[CellDifference], losses: Sequence[str], measure: Metric
) -> list[LossDifference]:
    """Returns one entry per loss with a cell, in the order of `losses`.

    An interval adds the variances over datasets and over models (`ranking.pairs.pair_se`). Cells
    that share a dataset or a model are not independent, so they are no sample. The interval needs
    two datasets or more, and every combination of the datasets and models of the loss.
    """
    sign = -1 if measure.lower_is_better else 1
    found = []
    for loss in losses:
        own = [cell for cell in cells if cell.loss == loss]
        values = [cell.difference.value for cell in own]
        if values:
            difference = _over_cells(own)
            about: Estimand = "other" if len({cell.model for cell in own}) > 1 else "other_datasets"
            found.append(
                LossDifference(
                    loss=loss,
                    difference=difference,
                    estimand=None if difference.low is None else about,
                    num_cells=len(values),
                    num_better=sum(sign * value > 0 for value in values),
                    num_worse=sum(sign * value < 0 for value in values),
                )
            )
    return found


def _over_cells(cells: Sequence[CellDifference]) -> Difference:
    value = math.fsum(cell.difference.value for cell in cells) / len(cells)
    datasets = sorted({cell.dataset or "" for cell in cells})
    models = sorted({cell.model or "" for cell in cells})
    if len(datasets) < 2 or len(cells) < len(datasets) * len(models):
        return Difference(value=value, low=None, high=None)
    sides = np.zeros((len(datasets), len(models), 2))
    for cell in cells:
        where = datasets.index(cell.dataset or ""), models.index(cell.model or "")
        sides[where] = 0.0, cell.difference.value
    errors = pair_se(sides)
    if errors.se_LL[0, 1] <= TIE_TOLERANCE:
        return Difference(value=value, low=None, high=None)
    half = float(half_widths(errors, LEVEL)[0, 1])
    return Difference(value=value, low=value - half, high=value + half)


def paired_difference(values: np.ndarray, level: float = LEVEL) -> Difference:
    """Returns the mean of paired differences, (N,), with the interval of Student's t."""
    mean = math.fsum(values.tolist()) / len(values)
    if len(values) < 2:
        return Difference(value=mean, low=None, high=None)
    half = _quantile(level, len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Difference(value=mean, low=mean - half, high=mean + half)


def unpaired_difference(a: np.ndarray, b: np.ndarray, level: float = LEVEL) -> Difference:
    """Returns mean of b minus mean of a with the interval of Welch (Biometrika 34, 1947).

    Args:
        a: Values, shape (N,).
        b: Values, shape (M,).
        level: Coverage of the interval.
    """
    mean = math.fsum(b.tolist()) / len(b) - math.fsum(a.tolist()) / len(a)
    if min(len(a), len(b)) < 2:
        return Difference(value=mean, low=None, high=None)
    parts = [float(side.var(ddof=1)) / len(side) for side in (a, b)]
    variance = sum(parts)
    if variance == 0:
        return Difference(value=mean, low=mean, high=mean)
    freedom = 1 / sum(
        (part / variance) ** 2 / (len(side) - 1) for part, side in zip(parts, (a, b), strict=True)
    )
    half = _quantile(level, freedom) * math.sqrt(variance)
    return Difference(value=mean, low=mean - half, high=mean + half)


def _quantile(level: float, freedom: float) -> float:
    return float(stats.t.ppf(0.5 + level / 2, freedom))


def _cells(trials: pd.DataFrame, metric: str) -> dict[CellKey, dict[Any, float]]:
    """Returns {dataset, model, loss: {split: value}}."""
    splits = _splits(trials)
    axes = [
        trials[axis].astype(str).tolist() if axis in trials else [None] * len(trials)
        for axis in ("dataset", "model")
    ]
    cells: dict[CellKey, dict[Any, float]] = {}
    for dataset, model, loss, split, value in zip(
        *axes, trials["loss"].astype(str), splits, trials[metric].astype(float), strict=True
    ):
        cells.setdefault((dataset, model, loss), {})[split] = value
    return cells


def _splits(trials: pd.DataFrame) -> list[tuple[object, ...]]:
    """Returns for each trial the values that determine its split; unique if they are unknown.

    A split follows from the state of the data, seed, repeat, fractions and unit.
    """
    fingerprints = column(trials, "dataset_fingerprint")
    repeats = column(trials, "repeat")
    known: dict[object, Mapping[str, str]] = {}
    splits: list[tuple[object, ...]] = []
    for position, (fingerprint, repeat, spec) in enumerate(
        zip(fingerprints, repeats, column(trials, "spec"), strict=True)
    ):
        values = known.setdefault(spec, protocol_values(spec))
        parts = (fingerprint, repeat, *(values.get(key) for key in _SPLIT_KEYS))
        complete = not any(pd.isna(part) for part in parts)
        unit = values.get("data.split_unit")  # absent in older specifications
        alike = [values.get(key) for key in _SIMILAR_KEYS] if unit == "similar" else []
        splits.append((*parts, unit, *alike) if complete else (id(trials), position))
    return splits


def _cell(key: CellKey, a: Mapping[Any, float], b: Mapping[Any, float]) -> CellDifference:
    common = [split for split in a if split in b]
    paired = bool(common)
    if paired:
        values_a = np.array([a[split] for split in common])
        values_b = np.array([b[split] for split in common])
        difference = paired_difference(values_b - values_a)
    else:
        values_a, values_b = np.array(list(a.values())), np.array(list(b.values()))
        difference = unpaired_difference(values_a, values_b)
    dataset, model, loss = key
    return CellDifference(
        dataset=dataset,
        model=model,
        loss=loss,
        mean_a=float(values_a.mean()),
        mean_b=float(values_b.mean()),
        difference=difference,
        paired=paired,
        num_a=len(values_a),
        num_b=len(values_b),
    )
