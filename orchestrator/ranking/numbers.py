"""Numbers of a table: a value that is not finite or outside the range of its column is refused."""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.ranking.metrics import ROUNDING, Metric, in_percent
from orchestrator.ranking.reading import NUMBER, TableOrigin
from orchestrator.wording import count_text
from workers.contract import UserError


def read_numbers(
    table: pd.DataFrame, column: str, origin: TableOrigin, *, skipped: np.ndarray
) -> pd.Series[float]:
    """Returns a column as numbers; NaN in skipped rows, (N,) bool."""
    values = _as_numbers(table[column]).mask(skipped, np.nan)
    wrong = ~np.isfinite(values.to_numpy()) & ~skipped
    if column == "repeat":
        wrong |= np.floor(values.to_numpy()) != values.to_numpy()
    if wrong.any():
        position = int(np.argmax(wrong))
        value = table[column].iloc[position]
        where = f"{origin.name}: column {column!r}, {origin.row(position)}"
        what, remedy = "a finite number", _number_remedy(value, table.columns)
        if column == "repeat":
            what, remedy = "a whole number", "number the repeats 0, 1, 2, … or remove the column"
        msg = f"{where}: {str(value)!r} is not {what}; {remedy}"
        raise UserError(msg)
    return values


def _as_numbers(column: pd.Series[Any]) -> pd.Series[float]:
    """Returns numbers; NaN for truth values, dates and text that is not a number."""
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


def check_range(
    values: pd.Series[float], metric: Metric, origin: TableOrigin, *, finished: np.ndarray
) -> None:
    """Refuses values outside the range of the metric, and a mix of fractions and percentages."""
    positions = np.flatnonzero(finished)
    numbers = values.to_numpy()[positions]
    percent = metric.bounded and in_percent(numbers)
    scale = 100.0 if percent else 1.0
    low, high = scale * metric.low, scale * metric.high

    def first(wrong: np.ndarray) -> str:
        position = int(np.argmax(wrong))
        value = f"{numbers[position]:.10g}"
        return f"column {metric.name!r}, {origin.row(int(positions[position]))}: {value}"

    below, above = numbers < low - ROUNDING, numbers > high + ROUNDING
    if below.any():
        msg = (
            f"{origin.name}: {first(below)} is below {low:g}, the lowest possible value; correct "
            "it. If the column holds something else, such as a negated score, rename it and add "
            "--lower-is-better"
        )
        raise UserError(msg)
    if above.any():
        msg = (
            f"{origin.name}: {first(above)} is above {high:g}, the highest possible percentage; "
            "restore the decimal point if it is lost. If the column holds something else, rename "
            "it"
        )
        raise UserError(msg)
    sizes = np.abs(numbers)
    large, small = sizes > 1 + ROUNDING, (sizes > 0) & (sizes <= 1 + ROUNDING)
    if percent and small.any():
        msg = (
            f"{origin.name}: {first(large)} is beyond 1 ({_num_rows(large)} in all), and "
            f"{first(small)} is not ({_num_rows(small)}): the column mixes fractions and "
            "percentages, or a decimal point is lost; write all values in one way"
        )
        raise UserError(msg)


def _num_rows(chosen: np.ndarray) -> str:
    return count_text(int(chosen.sum()), "row")
