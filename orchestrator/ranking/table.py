"""Checks what is to be ranked, so that no wrong number is ranked silently."""

from __future__ import annotations

import difflib
import re
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.ranking.labels import NUMBER, read_labels, read_status
from orchestrator.ranking.metrics import ALL_METRICS, ROUNDING, Metric, as_metric, in_percent
from orchestrator.ranking.protocols import check_questions, choose_protocol
from orchestrator.ranking.reading import Source, read_file
from orchestrator.wording import count_text
from workers.contract import TrialStatus, UserError

AXES = ("dataset", "model")
NO_METRICS = frozenset({
    "schema_version", "repeat", "seed", "best_epoch", "num_epochs", "num_train_images",
    "num_val_images", "num_test_images", "train_seconds", "peak_memory_bytes",
    "reserved_memory_bytes", "image_size", "num_threads", "attempt",
})  # fmt: skip
"""Numbers of the store's trials that do not say how good a trial is: never ranked."""


def read_table(path: Path, *, metric: str | Metric = "dice") -> pd.DataFrame:
    """Reads any CSV, TSV or Parquet file with columns dataset and/or model, loss and a metric.

    Args:
        path: The file.
        metric: The column that will be ranked.

    Returns:
        The checked table in the file's order: labels as text, `metric` finite, diverged rows worst.

    Raises:
        UserError: The file cannot be read, or a column, row or value is missing or wrong; the
            message names the file, the column, the row and the remedy.
    """
    table, source = read_file(path)
    return _prepare(table, metric=metric, source=source)


def prepare_trials(
    trials: pd.DataFrame,
    *,
    metric: str | Metric = "dice",
    protocol: str | None = None,
    source: str = "trials",
) -> pd.DataFrame:
    """Makes the trials of a store ready to be ranked: one protocol, diverged counts as the worst.

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


def _prepare(table: pd.DataFrame, *, metric: str | Metric, source: Source) -> pd.DataFrame:
    choose_protocol(table, None, source.name)
    checked = check_table(table, metric=metric, source=source)
    check_questions(checked, source.name)
    return checked


def check_table(
    table: pd.DataFrame, *, metric: str | Metric = "dice", source: Source | None = None
) -> pd.DataFrame:
    """Returns a copy whose labels are text and whose metric is finite; diverged rows are worst.

    Rows that did not finish are left out. What to say of them is in `attrs` under `left_out`.

    Raises:
        UserError: See `read_table`.
    """
    source = source or Source(name="table")
    measure = as_metric(metric)
    table = _with_index(table, source)
    _check_columns(table, measure.name, source)
    if table.empty:
        msg = f"{source.name}: no rows; give a table with at least one finished trial"
        raise UserError(msg)
    finished, kept, said = read_status(table.reset_index(drop=True), source)
    source = source.only(kept)
    checked = finished.reset_index(drop=True).copy()
    checked.attrs["left_out"] = [*table.attrs.get("left_out", ()), *said]
    for axis in (*AXES, "loss"):
        if axis in checked:
            checked[axis] = read_labels(checked, axis, source)
    diverged = is_diverged(checked)
    for column in ALL_METRICS:
        if column in checked and column != measure.name:
            checked[column] = pd.to_numeric(checked[column], errors="coerce").mask(diverged, 0.0)
    values = _numbers(checked, measure.name, source, skipped=diverged)
    _check_range(values, measure, source, finished=~diverged)
    worst = measure.worst(values.to_numpy()[~diverged])
    checked[measure.name] = values.mask(diverged, worst)
    if "repeat" in checked:
        checked["repeat"] = _numbers(checked, "repeat", source, skipped=np.zeros_like(diverged))
    _check_duplicates(checked, source)
    return checked


def _with_index(table: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Makes columns of the named levels of an index, as a saved groupby has them."""
    names = [str(name) for name in table.index.names if name is not None]
    for name in names:
        if name in table.columns and list(table.index.get_level_values(name)) != list(table[name]):
            msg = (
                f"{source.name}: {name!r} is a column and a level of the index with other values; "
                "keep one of them"
            )
            raise UserError(msg)
    return table.reset_index([n for n in names if n not in table.columns]) if names else table


def check_metric(metric: str) -> None:
    """Raises `UserError` for a column of the store that does not say how good a trial is."""
    if metric in NO_METRICS:
        msg = (
            f"--metric {metric}: it does not say how good a trial is, so there is nothing to rank; "
            f"known metrics: {', '.join(ALL_METRICS)}; `podium query` shows any other column"
        )
        raise UserError(msg)


def _check_columns(table: pd.DataFrame, metric: str, source: Source) -> None:
    check_metric(metric)
    if metric in (*AXES, "loss"):
        msg = (
            f"--metric {metric}: this column names the {metric} of each row and is no metric; "
            "choose a column of numbers, and rename a column of loss values (for example to "
            "val_loss)"
        )
        raise UserError(msg)
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


_SPREADS = ("std", "sd", "stdev", "var", "sem", "se", "ci", "low", "high", "min", "max")
"""Ends of names that say how a metric spreads: never proposed in the place of the metric."""


def _column_hint(column: str, found: list[str]) -> str:
    by_lower = {name.lower(): name for name in found if not name.lower().endswith(_SPREADS)}
    close = difflib.get_close_matches(column.lower(), by_lower, n=1, cutoff=0.6)
    hint = f"rename {by_lower[close[0]]!r}? " if close else ""
    return f"{hint}found: {', '.join(found)}"


def is_diverged(table: pd.DataFrame) -> np.ndarray:
    """Returns which rows diverged; none where the table has no status."""
    if "status" not in table:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table["status"] == TrialStatus.DIVERGED.value, dtype=bool)


def _numbers(
    table: pd.DataFrame, column: str, source: Source, *, skipped: np.ndarray
) -> pd.Series[float]:
    """Returns a column as numbers; NaN in skipped rows, (N,) bool."""
    values = _as_numbers(table[column]).mask(skipped, np.nan)
    wrong = ~np.isfinite(values.to_numpy()) & ~skipped
    if column == "repeat":
        wrong |= np.floor(values.to_numpy()) != values.to_numpy()
    if wrong.any():
        position = int(np.argmax(wrong))
        value = table[column].iloc[position]
        place = f"{source.name}: column {column!r}, {source.row(position)}"
        what, remedy = "a finite number", _number_remedy(value, table.columns)
        if column == "repeat":
            what, remedy = "a whole number", "number the repeats 0, 1, 2, … or remove the column"
        msg = f"{place}: {str(value)!r} is not {what}; {remedy}"
        raise UserError(msg)
    return values


def _as_numbers(column: pd.Series[Any]) -> pd.Series[float]:
    """Returns numbers, NaN for all that is none: truth values, dates, and any other text."""
    kind = column.dtype
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        if pd.api.types.is_complex_dtype(kind):
            return pd.Series(np.nan, index=column.index)
        return column.astype(float)
    if isinstance(kind, pd.StringDtype):
        text = column.str.strip()
        return pd.to_numeric(text.where(text.str.fullmatch(NUMBER)), errors="coerce").astype(float)
    return pd.Series([_number(value) for value in column], index=column.index, dtype=float)


def _number(value: object) -> float:
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value.strip()) else np.nan
    number = isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)
    return float(value) if number else np.nan  # type: ignore[arg-type]


def _number_remedy(value: object, columns: pd.Index) -> str:
    text = str(value).strip()
    if text in {str(column) for column in columns}:
        return "this looks like a second header line; keep one"
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", text):
        return (
            f"if its commas separate thousands, write {text.replace(',', '')}; if one is the "
            "decimal mark, write a decimal point"
        )
    if "," in text and NUMBER.fullmatch(text.replace(",", ".")):
        return f"write {text.replace(',', '.')} with a decimal point"
    if NUMBER.fullmatch(text):
        return "it is larger than any number that can be stored; write a finite number"
    if NUMBER.fullmatch(text.rstrip("% ")):
        return f"write {text.rstrip('% ')} without the sign"
    if NUMBER.match(text) and any(mark in text for mark in ("±", "+-", "+/-", "(")):
        return "write the mean alone, and what is beside it in a column of its own"
    return "write a finite number; a diverged trial needs 'diverged' in a column 'status'"


def _check_range(
    values: pd.Series[float], metric: Metric, source: Source, *, finished: np.ndarray
) -> None:
    """Refuses values that the metric cannot have, and a mix of shares and percentages."""
    positions = np.flatnonzero(finished)
    numbers = values.to_numpy()[positions]
    percent = metric.bounded and in_percent(numbers)
    scale = 100.0 if percent else 1.0
    low, high = scale * metric.low, scale * metric.high

    def place(wrong: np.ndarray) -> str:
        position = int(np.argmax(wrong))
        value = f"{numbers[position]:.10g}"
        return f"column {metric.name!r}, {source.row(int(positions[position]))}: {value}"

    below, above = numbers < low - ROUNDING, numbers > high + ROUNDING
    if below.any():
        msg = (
            f"{source.name}: {place(below)} is below {low:g}, the lowest possible value; correct "
            "it. If the column holds something else, such as a negated score, rename it and add "
            "--lower-is-better"
        )
        raise UserError(msg)
    if above.any():
        msg = (
            f"{source.name}: {place(above)} is above {high:g}, the highest possible percentage; "
            "restore the decimal point if it is lost. If the column holds something else, rename "
            "it"
        )
        raise UserError(msg)
    sizes = np.abs(numbers)
    large, small = sizes > 1 + ROUNDING, (sizes > 0) & (sizes <= 1 + ROUNDING)
    if percent and small.any():
        msg = (
            f"{source.name}: {place(large)} is beyond 1 ({_rows(large)} in all), and "
            f"{place(small)} is not ({_rows(small)}): the column mixes shares and percentages, or "
            "a decimal point is lost; write all values in one way"
        )
        raise UserError(msg)


def _rows(chosen: np.ndarray) -> str:
    return count_text(int(chosen.sum()), "row")


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


MEAN_RULE = "mean over the other axis of the mean over repeats"
"""Equals the mean over all trials where every cell has equally many."""


def reading_notes(checked: pd.DataFrame, metric: Metric) -> tuple[str, ...]:
    """Returns the notes on a checked table."""
    return (
        *_direction(checked, metric),
        *checked.attrs.get("left_out", ()),
        *_unequal_repeats(checked),
        *_diverged(checked, metric.name),
        *_data_states(checked),
        *_percent(checked, metric),
    )


def _unequal_repeats(checked: pd.DataFrame) -> list[str]:
    key = [name for name in ("dataset", "model", "loss") if name in checked]
    sizes = checked.groupby(key, sort=False, observed=True).size()
    if sizes.nunique() == 1:
        return []
    return [
        f"Combinations have from {sizes.min()} to {sizes.max()} repeats: each block's mean is "
        f"the {MEAN_RULE}."
    ]


def _diverged(checked: pd.DataFrame, metric: str) -> list[str]:
    if "status" not in checked:
        return []
    diverged = checked["status"] == "diverged"
    if not diverged.any():
        return []
    number = int(diverged.sum())
    worst = float(checked.loc[diverged, metric].iloc[0])
    return [f"{number} diverged {'trial' if number == 1 else 'trials'} counted as {worst:g}."]


def _data_states(checked: pd.DataFrame) -> list[str]:
    if not {"dataset", "dataset_fingerprint"} <= set(checked.columns):
        return []
    states = checked.groupby("dataset", sort=True, observed=True)["dataset_fingerprint"].nunique()
    return [
        f"The trials of {dataset} saw {number} different states of its data: they are not "
        "comparable."
        for dataset, number in states.items()
        if number > 1
    ]


def _direction(checked: pd.DataFrame, metric: Metric) -> list[str]:
    """Says which direction is better for a column that no store has."""
    if not metric.stated:
        return []
    values = checked[metric.name]
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


def _percent(checked: pd.DataFrame, metric: Metric) -> list[str]:
    if not metric.bounded or not in_percent(checked[metric.name].to_numpy(dtype=float)):
        return []
    highest = float(checked[metric.name].max())
    return [
        f"{metric.name} reaches {highest:g}, so it is taken for a percentage: the points are the "
        "same, but a margin and every difference are in these units too (0.005 becomes 0.5)."
    ]
