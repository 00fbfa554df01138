"""The table that is ranked, checked once: labels, numbers, duplicates, protocol and definitions."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from orchestrator.ranking.labels import read_labels, read_status
from orchestrator.ranking.metrics import ALL_METRICS, Metric, as_metric, in_percent
from orchestrator.ranking.numbers import check_range, read_numbers
from orchestrator.ranking.protocols import check_definitions, choose_protocol
from orchestrator.ranking.reading import TableOrigin, read_file
from orchestrator.wording import count_text
from workers.contract import TrialStatus, UserError

BLOCK_AXES = ("dataset", "model")
"""The axes in whose blocks losses get points."""
NO_METRICS = frozenset({
    "schema_version", "repeat", "seed", "best_epoch", "num_epochs", "num_train_images",
    "num_val_images", "num_test_images", "train_seconds", "peak_memory_bytes",
    "reserved_memory_bytes", "image_size", "num_threads", "attempt",
})  # fmt: skip
"""Numbers of the store's trials that are not metrics: never ranked."""
_SPREADS = ("std", "sd", "stdev", "var", "sem", "se", "ci", "low", "high", "min", "max")
"""Ends of names of columns with the spread of a metric: never proposed instead of the metric."""
MEAN_RULE = "mean over the other axis of the mean over repeats"
"""Equals the mean over all trials if every cell has the same number of trials."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialTable:
    """Checked trials of one protocol, and which of their columns is ranked.

    `check_trials` and `read_table` make it; everything that takes it relies on what they checked.

    Attributes:
        rows: One row per trial that finished or diverged, in the order of the source. Columns
            dataset and/or model and loss hold text, repeat whole numbers, and the metric finite
            numbers, the worst value where a trial diverged. No two rows have the same labels and
            repeat.
        metric: The ranked column.
        left_out: Sentences on the rows of the source that are not trials with a result.
    """

    rows: pd.DataFrame
    metric: Metric
    left_out: tuple[str, ...] = ()

    @property
    def diverged(self) -> np.ndarray:
        """Which rows diverged, (N,) bool; none if the table has no column status."""
        return _is_diverged(self.rows)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how the table was read."""
        return (
            *_direction(self.rows, self.metric),
            *self.left_out,
            *_unequal_repeats(self.rows),
            *_diverged(self.rows, self.metric.name),
            *_data_states(self.rows),
            *_percent(self.rows, self.metric),
        )

    def by(self, metric: str | Metric) -> TrialTable:
        """Returns the same trials with another of their columns as the ranked one.

        Raises:
            UserError: A value of that column is missing or out of its range.
        """
        measure = as_metric(metric)
        if measure == self.metric:
            return self
        rows = _with_metric(self.rows, measure, TableOrigin(name="table"))
        return replace(self, rows=rows, metric=measure)


def read_table(path: Path, *, metric: str | Metric = "dice") -> TrialTable:
    """Reads any CSV, TSV or Parquet file with columns dataset and/or model, loss and a metric.

    Args:
        path: The file.
        metric: The column to rank.

    Raises:
        UserError: The file cannot be read, or a column, row or value is missing or wrong; the
            message names the file, the column, the row and the remedy.
    """
    table, origin = read_file(path)
    return _check(choose_protocol(table, None, origin.name), metric=metric, origin=origin)


def check_trials(
    trials: pd.DataFrame,
    *,
    metric: str | Metric = "dice",
    protocol: str | None = None,
    source: str = "table",
) -> TrialTable:
    """Checks trials: those of a store, or any table with the columns that `read_table` names.

    Args:
        trials: Rows in any order; without a column protocol_id, all count as one protocol.
        metric: The column to rank.
        protocol: Keep only this protocol_id (or the one that begins so).
        source: Name of the table in messages.

    Raises:
        UserError: Trials of several protocols, a label with two definitions, or a missing,
            doubled or non-finite value.
    """
    chosen = choose_protocol(trials, protocol, source)
    return _check(chosen, metric=metric, origin=TableOrigin(name=source))


def _check(table: pd.DataFrame, *, metric: str | Metric, origin: TableOrigin) -> TrialTable:
    measure = as_metric(metric)
    table = _with_index(table, origin)
    _check_columns(table, measure.name, origin)
    if table.empty:
        msg = f"{origin.name}: no rows; give a table with at least one finished trial"
        raise UserError(msg)
    finished, kept, left_out = read_status(table.reset_index(drop=True), origin)
    origin = origin.only(kept)
    rows = finished.reset_index(drop=True).copy()
    for axis in (*BLOCK_AXES, "loss"):
        if axis in rows:
            rows[axis] = read_labels(rows, axis, origin)
    for column in ALL_METRICS:
        if column in rows and column != measure.name:
            numbers = pd.to_numeric(rows[column], errors="coerce")
            rows[column] = numbers.mask(_is_diverged(rows), 0.0)
    rows = _with_metric(rows, measure, origin)
    if "repeat" in rows:
        rows["repeat"] = read_numbers(
            rows, "repeat", origin, skipped=np.zeros(len(rows), dtype=bool)
        )
    _check_duplicates(rows, origin)
    check_definitions(rows, origin.name)
    return TrialTable(rows=rows, metric=measure, left_out=tuple(left_out))


def _with_metric(rows: pd.DataFrame, metric: Metric, origin: TableOrigin) -> pd.DataFrame:
    """Returns the rows with finite values of the metric, the worst one in diverged rows."""
    diverged = _is_diverged(rows)
    values = read_numbers(rows, metric.name, origin, skipped=diverged)
    check_range(values, metric, origin, finished=~diverged)
    worst = metric.worst(values.to_numpy()[~diverged])
    return rows.assign(**{metric.name: values.mask(diverged, worst)})


def _with_index(table: pd.DataFrame, origin: TableOrigin) -> pd.DataFrame:
    """Makes columns of the named levels of an index, as a saved groupby has them."""
    names = [str(name) for name in table.index.names if name is not None]
    for name in names:
        if name in table.columns and list(table.index.get_level_values(name)) != list(table[name]):
            msg = (
                f"{origin.name}: {name!r} is a column and a level of the index with other values; "
                "keep one of them"
            )
            raise UserError(msg)
    return table.reset_index([n for n in names if n not in table.columns]) if names else table


def check_metric(metric: str) -> None:
    """Raises `UserError` for a column of the store that is not a metric."""
    if metric in NO_METRICS:
        msg = (
            f"--metric {metric}: this column does not measure how good a trial is; "
            f"known metrics: {', '.join(ALL_METRICS)}; `podium query` shows any other column"
        )
        raise UserError(msg)


def _check_columns(table: pd.DataFrame, metric: str, origin: TableOrigin) -> None:
    check_metric(metric)
    if metric in (*BLOCK_AXES, "loss"):
        msg = (
            f"--metric {metric}: this column names the {metric} of each row and is no metric; "
            "choose a column of numbers, and rename a column of loss values (for example to "
            "val_loss)"
        )
        raise UserError(msg)
    found = [str(column) for column in table.columns]
    for column in ("loss", metric):
        if column not in found:
            msg = f"{origin.name}: no column {column!r}; {_column_hint(column, found)}"
            raise UserError(msg)
    if not any(axis in found for axis in BLOCK_AXES):
        hint = _column_hint("dataset", found)
        msg = f"{origin.name}: neither a column 'dataset' nor 'model' to rank within; {hint}"
        raise UserError(msg)
    doubled = sorted({column for column in found if found.count(column) > 1})
    if doubled:
        msg = f"{origin.name}: column {doubled[0]!r} appears twice; keep one of them"
        raise UserError(msg)


def _column_hint(column: str, found: list[str]) -> str:
    by_lower = {name.lower(): name for name in found if not name.lower().endswith(_SPREADS)}
    close = difflib.get_close_matches(column.lower(), by_lower, n=1, cutoff=0.6)
    hint = f"rename {by_lower[close[0]]!r}? " if close else ""
    return f"{hint}found: {', '.join(found)}"


def _is_diverged(table: pd.DataFrame) -> np.ndarray:
    if "status" not in table:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table["status"] == TrialStatus.DIVERGED.value, dtype=bool)


def _check_duplicates(table: pd.DataFrame, origin: TableOrigin) -> None:
    key = [name for name in (*BLOCK_AXES, "loss", "repeat") if name in table]
    doubled = table.duplicated(key, keep="first").to_numpy()
    if not doubled.any():
        return
    second = int(np.argmax(doubled))
    same = (table[key] == table[key].iloc[second]).all(axis=1).to_numpy()
    rows = f"{origin.row(int(np.argmax(same)))} and {origin.row(second)}"
    where = ", ".join(f"{name} {_plain(table[name].iloc[second])}" for name in key)
    absent = [name for name in (*BLOCK_AXES, "repeat") if name not in table]
    hint = f" or add a column {' or '.join(repr(name) for name in absent)}" if absent else ""
    msg = f"{origin.name}: {rows} are both {where}; keep one of them{hint}"
    raise UserError(msg)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _unequal_repeats(rows: pd.DataFrame) -> list[str]:
    key = [name for name in ("dataset", "model", "loss") if name in rows]
    sizes = rows.groupby(key, sort=False, observed=True).size()
    if sizes.nunique() == 1:
        return []
    return [
        f"Combinations have from {sizes.min()} to {sizes.max()} repeats: each block's mean is "
        f"the {MEAN_RULE}."
    ]


def _diverged(rows: pd.DataFrame, metric: str) -> list[str]:
    diverged = _is_diverged(rows)
    if not diverged.any():
        return []
    worst = float(rows.loc[diverged, metric].iloc[0])
    return [f"{count_text(int(diverged.sum()), 'diverged trial')} counted as {worst:g}."]


def _data_states(rows: pd.DataFrame) -> list[str]:
    if not {"dataset", "dataset_fingerprint"} <= set(rows.columns):
        return []
    states = rows.groupby("dataset", sort=True, observed=True)["dataset_fingerprint"].nunique()
    return [
        f"The trials of {dataset} saw {number} different states of its data: they are not "
        "comparable."
        for dataset, number in states.items()
        if number > 1
    ]


def _direction(rows: pd.DataFrame, metric: Metric) -> list[str]:
    """Returns a note with the better direction of a column that no store has."""
    if not metric.stated:
        return []
    values = rows[metric.name]
    worse = "higher" if metric.lower_is_better else "lower"
    text = (
        f"{metric.name}: {metric.stated}. A {worse} value is a worse one; the values go from "
        f"{values.min():g} to {values.max():g}."
    )
    if not metric.told:
        text += " Its name is not known: add --lower-is-better where lower is better."
    if not metric.bounded:
        text += " Differences and a margin are in its units."
    return [text]


def _percent(rows: pd.DataFrame, metric: Metric) -> list[str]:
    if not metric.bounded or not in_percent(rows[metric.name].to_numpy(dtype=float)):
        return []
    highest = float(rows[metric.name].max())
    return [
        f"{metric.name} reaches {highest:g}, so it is taken for a percentage: the points are the "
        "same, but a margin and every difference are in these units too (0.005 becomes 0.5)."
    ]
