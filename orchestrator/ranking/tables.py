"""Checks what is to be ranked, so that no wrong number is ranked silently."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from orchestrator.ranking.questions import check_questions, choose_protocol
from workers.contract import TrialStatus, UserError

AXES = ("dataset", "model")
METRICS = ("dice", "iou", "recall", "precision")
ALL_METRICS = (*METRICS, *(f"{metric}_pooled" for metric in METRICS), "best_val_dice")
"""Columns of the store's trials that say how good a trial is: in [0, 1], higher is better."""
NO_METRICS = frozenset({
    "schema_version", "repeat", "seed", "best_epoch", "num_epochs", "num_train_images",
    "num_val_images", "num_test_images", "train_seconds", "peak_memory_bytes", "image_size",
    "num_threads", "attempt",
})  # fmt: skip
"""Numbers of the store's trials that do not say how good a trial is: never ranked."""
_SUFFIXES = {".csv": ",", ".tsv": "\t", ".parquet": None, ".pq": None}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a table came from, to say in an error which row is meant.

    Attributes:
        name: File, or what the table is.
        first_row: How the place of the first row is counted there (2 under a CSV header).
    """

    name: str
    first_row: int = 1

    def row(self, position: int) -> str:
        """Returns the place of the row at a 0-based position, for a message."""
        word = "line" if self.first_row > 1 else "row"
        return f"{word} {position + self.first_row}"


def read_table(path: Path, *, metric: str = "dice") -> pd.DataFrame:
    """Reads any CSV, TSV or Parquet file with columns dataset and/or model, loss and a metric.

    Args:
        path: The file.
        metric: The column that will be ranked.

    Returns:
        The checked table in the file's order: labels as text, `metric` finite, diverged rows 0.

    Raises:
        UserError: The file cannot be read, or a column, row or value is missing or wrong; the
            message names the file, the column, the row and the remedy.
    """
    separator = _separator(path)
    source = Source(name=str(path), first_row=2 if separator else 1)
    return _prepare(_read_file(path, separator), metric=metric, source=source)


def prepare_trials(
    trials: pd.DataFrame,
    *,
    metric: str = "dice",
    protocol: str | None = None,
    source: str = "trials",
) -> pd.DataFrame:
    """Makes the trials of a store ready to be ranked: one protocol, diverged counts as 0.

    Args:
        trials: Columns of the store's table `trials`; none is required but those `rank` needs.
        metric: The column that will be ranked.
        protocol: Keep only this protocol_id (or the one that begins so).
        source: What to call the table in an error.

    Raises:
        UserError: Trials of several protocols, a label that stands for two different questions,
            or a missing, doubled or non-finite value.
    """
    chosen = choose_protocol(trials, protocol, source)
    return _prepare(chosen, metric=metric, source=Source(name=source))


def _prepare(table: pd.DataFrame, *, metric: str, source: Source) -> pd.DataFrame:
    choose_protocol(table, None, source.name)
    checked = check_table(table, metric=metric, source=source)
    check_questions(checked, source.name)
    return checked


def check_table(
    table: pd.DataFrame, *, metric: str = "dice", source: Source | None = None
) -> pd.DataFrame:
    """Returns a copy whose labels are text and whose metric is finite; diverged rows are worst.

    Worst is 0, or the lowest finished value where a table's own metric goes below 0.

    Raises:
        UserError: See `read_table`.
    """
    source = source or Source(name="table")
    _check_columns(table, metric, source)
    if table.empty:
        msg = f"{source.name}: no rows; give a table with at least one finished trial"
        raise UserError(msg)
    checked = table.reset_index(drop=True).copy()
    for axis in (*AXES, "loss"):
        if axis in checked:
            checked[axis] = _labels(checked, axis, source)
    diverged = is_diverged(checked)
    for column in ALL_METRICS:
        if column in checked and column != metric:
            checked[column] = pd.to_numeric(checked[column], errors="coerce").mask(diverged, 0.0)
    checked[metric] = _numbers(checked, metric, source, diverged=diverged)
    if "repeat" in checked:
        never = np.zeros(len(checked), dtype=bool)
        checked["repeat"] = _numbers(checked, "repeat", source, diverged=never)
    _check_duplicates(checked, source)
    return checked


def _separator(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if path.is_dir():
        remedy = "give a results folder (the one that holds trials/) or a .csv or .parquet file"
        msg = f"{path}: is a folder and no table; {remedy}"
        raise UserError(msg)
    if not path.exists():
        msg = f"{path}: no such file; give a results folder or a .csv or .parquet file"
        raise UserError(msg)
    if not path.is_file():
        msg = f"{path}: is a pipe, a socket or a device and no file; save the table to a file first"
        raise UserError(msg)
    if suffix not in _SUFFIXES:
        msg = f"{path}: unknown kind of file {suffix!r}; known: {', '.join(_SUFFIXES)}"
        raise UserError(msg)
    return _SUFFIXES[suffix]


def _read_file(path: Path, separator: str | None) -> pd.DataFrame:
    try:
        # Opened here: of a path, a reader could take folders named KEY=VALUE for columns.
        with path.open("rb") as file:
            if separator is None:
                return pd.read_parquet(file)
            # As text: a model named "NA" stays a name, and a wrong number keeps its spelling.
            table = pd.read_csv(
                file, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
            )
    except pd.errors.EmptyDataError:
        msg = f"{path}: the file is empty; it needs a header line and rows"
        raise UserError(msg) from None
    except (OSError, ValueError) as error:  # covers ParserError, UnicodeError and ArrowInvalid
        reason = str(error).splitlines()[0]
        msg = f"{path}: cannot be read as a table: {reason}; write it again as CSV or Parquet"
        raise UserError(msg) from error
    return table.rename(columns=str.strip)


def check_metric(metric: str) -> None:
    """Raises `UserError` for a column of the store that does not say how good a trial is."""
    if metric in NO_METRICS:
        msg = (
            f"--metric {metric}: higher is not better, so there is nothing to rank; "
            f"known metrics: {', '.join(ALL_METRICS)}; `podium query` shows any other column"
        )
        raise UserError(msg)


def _check_columns(table: pd.DataFrame, metric: str, source: Source) -> None:
    check_metric(metric)
    found = [str(column) for column in table.columns]
    for column in ("loss", metric):
        if column not in found:
            msg = f"{source.name}: no column {column!r}; {_column_hint(column, found)}"
            raise UserError(msg)
    if not any(axis in found for axis in AXES):
        hint = _column_hint("dataset", found)
        msg = f"{source.name}: neither a column 'dataset' nor 'model' to rank within; {hint}"
        raise UserError(msg)
    doubled = sorted({column for column in found if found.count(column) > 1})
    if doubled:
        msg = f"{source.name}: column {doubled[0]!r} appears twice; keep one of them"
        raise UserError(msg)


def _column_hint(column: str, found: list[str]) -> str:
    by_lower = {name.lower(): name for name in found}
    close = difflib.get_close_matches(column.lower(), by_lower, n=1, cutoff=0.6)
    hint = f"rename {by_lower[close[0]]!r}? " if close else ""
    if len(found) == 1 and any(mark in found[0] for mark in ";\t"):
        hint = "separate the columns with commas. "
    return f"{hint}found: {', '.join(found)}"


def _labels(table: pd.DataFrame, axis: str, source: Source) -> pd.Series[str]:
    # Each distinct label is looked at once: a million rows have few.
    codes, labels = pd.factorize(table[axis])
    names = np.array([*(str(label).strip() for label in labels), ""], dtype=object)
    missing = names[codes] == ""  # a missing label has code -1, the last entry
    if missing.any():
        row = source.row(int(np.argmax(missing)))
        msg = f"{source.name}: column {axis!r}, {row}: empty; fill in the name of the {axis}"
        raise UserError(msg)
    return pd.Series(pd.array(names, dtype="str").take(codes), index=table.index, name=axis)


def is_diverged(table: pd.DataFrame) -> np.ndarray:
    """Returns which rows diverged; none where the table has no status."""
    if "status" not in table:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table["status"] == TrialStatus.DIVERGED.value, dtype=bool)


def _numbers(
    table: pd.DataFrame, column: str, source: Source, *, diverged: np.ndarray
) -> pd.Series[float]:
    values = pd.to_numeric(table[column], errors="coerce").astype(float)
    wrong = ~np.isfinite(values.to_numpy()) & ~diverged
    if wrong.any():
        position = int(np.argmax(wrong))
        value = table[column].iloc[position]
        place = f"{source.name}: column {column!r}, {source.row(position)}"
        remedy = "write a finite number; a diverged trial needs 'diverged' in a column 'status'"
        if column == "repeat":
            remedy = "number the repeats 0, 1, 2, … or remove the column"
        msg = f"{place}: {str(value)!r} is not a finite number; {remedy}"
        raise UserError(msg)
    finished = values.to_numpy()[~diverged]
    return values.mask(diverged, float(finished.min(initial=0.0)))


def _check_duplicates(table: pd.DataFrame, source: Source) -> None:
    key = [name for name in (*AXES, "loss", "repeat") if name in table]
    doubled = table.duplicated(key, keep="first").to_numpy()
    if not doubled.any():
        return
    second = int(np.argmax(doubled))
    same = (table[key] == table[key].iloc[second]).all(axis=1).to_numpy()
    rows = f"{source.row(int(np.argmax(same)))} and {source.row(second)}"
    where = ", ".join(f"{name} {_plain(table[name].iloc[second])}" for name in key)
    absent = [name for name in (*AXES, "repeat") if name not in table]
    hint = f" or add a column {' or '.join(repr(name) for name in absent)}" if absent else ""
    msg = f"{source.name}: {rows} are both {where}; keep one of them{hint}"
    raise UserError(msg)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
