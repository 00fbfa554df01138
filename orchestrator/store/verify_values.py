"""Checks values of rows against their columns, and trials against their details."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.store.rows import METRICS
from orchestrator.store.schema import EPOCHS, IMAGES, Column, TableSchema
from workers.metrics.scores import dice, iou, precision, recall

TOLERANCE = 1e-9
"""Largest difference between a mean and that of the details: sums round, and compaction sorts."""

LABELS = ("dataset", "model", "loss", "repeat")
COUNTS = ("tp", "fp", "fn")
ALL_METRICS = (*METRICS, *(f"{name}_pooled" for name in METRICS))
_NUMBERS = ("integer", "number")
_SCORES = {"dice": dice, "iou": iou, "recall": recall, "precision": precision}
_TOTALS: dict[str, tuple[tuple[str, str], ...]] = {
    EPOCHS.name: (("epoch", "min"), ("epoch", "max"), ("val_dice", "max")),
    IMAGES.name: tuple((name, "sum") for name in (*METRICS, *COUNTS)),
}
"""Columns of details and how the rows of a trial are aggregated."""
_JOIN: dict[str, Callable[[Any, Any], Any]] = {"min": min, "max": max, "sum": operator.add}

Totals = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    """Values of a row of `trials` that its details must agree with.

    Attributes:
        version: Schema version when the row was written.
        labels: Values of `LABELS` in the specification.
        best: Best epoch and its validation Dice.
        metrics: Values of `ALL_METRICS`.
        weights_sha256: Digest of the kept weights; None if there are none.
    """

    is_completed: bool
    version: int
    labels: tuple[Any, ...]
    num_epochs: int
    num_test_images: int
    best: tuple[int | None, float | None]
    metrics: tuple[float | None, ...]
    weights_sha256: str | None = None

    def problem(self) -> str | None:
        """Returns a contradiction within the row, or None."""
        for name, value in zip(ALL_METRICS, self.metrics, strict=True):
            if self.is_completed == (value is None):
                return f"{name} is {value}, but the trial {self._ended}"
        epoch, best = self.best
        if (epoch is None) != (best is None) or (epoch or 0) > self.num_epochs:
            return f"best_epoch is {epoch} of {self.num_epochs} with a best_val_dice of {best}"
        return None

    @property
    def _ended(self) -> str:
        return "completed" if self.is_completed else "diverged"


def wrong_values(table: TableSchema, rows: pa.Table) -> dict[str, str]:
    """Returns a missing, infinite or out-of-range value for each trial that has one."""
    wrong: dict[str, str] = {}
    for column in table.columns:
        values = rows[column.name] if column.name in rows.column_names else None
        if values is None or not (values.null_count or column.kind in _NUMBERS):
            continue
        for position in _bad(column, values):
            trial = str(rows["trial_id"][position].as_py())
            value = values[position].as_py()
            wrong.setdefault(trial, f"{column.name} is {value}; {_allowed(column)}")
    return wrong


def _bad(column: Column, values: pa.ChunkedArray) -> Sequence[int]:
    """Returns the positions of values that the column does not allow."""
    missing = values.is_null().to_numpy() if values.null_count else np.zeros(len(values), bool)
    bad = np.zeros(len(values), bool) if column.nullable else missing
    if column.kind in _NUMBERS:
        numbers = values.to_numpy().astype(float)
        low = -np.inf if column.low is None else column.low
        high = np.inf if column.high is None else column.high
        sound = np.isfinite(numbers) & (numbers >= low) & (numbers <= high)
        bad = bad | (~sound & ~missing)
    found: list[int] = np.flatnonzero(bad).tolist()
    return found


def _allowed(column: Column) -> str:
    parts = [] if column.nullable else ["not empty"]
    if column.kind in _NUMBERS:
        parts.append("finite")
        parts += [f"at least {column.low:g}"] if column.low is not None else []
        parts += [f"at most {column.high:g}"] if column.high is not None else []
    return f"it must be {' and '.join(parts)}"


def totals(table: TableSchema, rows: pa.Table) -> Iterator[tuple[str, tuple[Any, ...], Totals]]:
    """Yields trial id, labels and totals of each trial's details in these rows."""
    wanted = _TOTALS.get(table.name, ())
    if table is IMAGES:
        counts = np.stack([rows[name].to_numpy() for name in (*COUNTS, "tn")], axis=1)
        for name in METRICS:
            rows = rows.append_column(name, pa.array(_SCORES[name](counts)))
    grouped = rows.group_by(["trial_id", *LABELS], use_threads=False)
    found = grouped.aggregate(list(wanted))
    names = ["trial_id", *LABELS, *(f"{name}_{how}" for name, how in wanted)]
    for trial, *values in zip(*(found[name].to_pylist() for name in names), strict=True):
        yield trial, tuple(values[: len(LABELS)]), tuple(values[len(LABELS) :])


def join(table: TableSchema, one: Totals, other: Totals) -> Totals:
    """Returns the totals of two groups of rows of one trial."""
    hows = (how for _, how in _TOTALS.get(table.name, ()))
    return tuple(_JOIN[how](a, b) for how, a, b in zip(hows, one, other, strict=True))


def wrong_curves(
    trials: Mapping[str, TrialFacts], found: Mapping[str, Totals]
) -> Iterator[tuple[str, str]]:
    """Yields completed trials whose row contradicts their epochs, with the problem."""
    for trial, (first, last, best) in found.items():
        facts = trials[trial]
        if (first, last) != (1, facts.num_epochs):
            yield trial, f"epochs {first} to {last}, but num_epochs is {facts.num_epochs}"
        elif facts.best[1] is None or abs(facts.best[1] - best) > TOLERANCE:
            yield trial, f"best_val_dice is {facts.best[1]}, but its epochs give {best}"


def wrong_metrics(
    trials: Mapping[str, TrialFacts], found: Mapping[str, Totals], counts: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """Yields completed trials whose metrics contradict their test images, with the problem."""
    if not found:
        return
    sums = np.array([found[trial] for trial in found], dtype=float)
    means = sums[:, : len(METRICS)] / np.array([[counts[trial]] for trial in found])
    pixels = np.pad(sums[:, len(METRICS) :].astype(np.int64), ((0, 0), (0, 1)))
    pooled = np.stack([_SCORES[name](pixels) for name in METRICS], axis=1)
    given = np.array([trials[trial].metrics for trial in found], dtype=float)
    right = np.hstack([means, pooled])
    off = ~(np.abs(given - right) <= TOLERANCE)
    for trial, bad, is_now, should in zip(found, off, given, right, strict=True):
        if bad.any():
            which = int(np.argmax(bad))
            problem = f"{ALL_METRICS[which]} is {is_now[which]}"
            yield trial, f"{problem}, but its test images give {should[which]}"
