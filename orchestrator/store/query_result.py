"""The result of a query as Python values, a frame or Parquet."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.codec import encode_rows
from orchestrator.store.storage import StoreError

if TYPE_CHECKING:
    import pandas as pd

_INT64_DIGITS = 18


@dataclass(frozen=True)
class QueryResult:
    """The result of a query.

    Attributes:
        table: Rows in order; names of columns are unique, and no type is a decimal.
        notes: Sentences for the user, such as on torn files whose rows are left out.
    """

    table: pa.Table
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.table.column_names)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.table.num_rows)

    @cached_property
    def numeric(self) -> frozenset[str]:
        """Names of the columns that hold numbers."""
        return frozenset(
            field.name
            for field in self.table.schema
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        )

    def rows(self, limit: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Yields rows as tuples of Python values, at most `limit`."""
        for batch in self.table.slice(0, limit).to_batches(max_chunksize=10_000):
            with convertible():
                columns = [column.to_pylist() for column in batch.columns]
            yield from zip(*columns, strict=True)

    def to_pandas(self) -> pd.DataFrame:
        """Returns a frame; integer columns with missing values have pandas' nullable type."""
        import pandas as pd

        with convertible():
            frame: pd.DataFrame = self.table.to_pandas()
        for field in self.table.schema:
            column = self.table.column(field.name)
            if pa.types.is_integer(field.type) and column.null_count:
                frame[field.name] = column.cast(pa.int64()).to_pandas(
                    types_mapper={pa.int64(): pd.Int64Dtype()}.get
                )
        return frame

    def to_parquet(self) -> bytes:
        """Returns a Parquet file."""
        with convertible():
            return encode_rows(self.table)


@contextmanager
def convertible() -> Iterator[None]:
    """Reports values that Python, pandas, Arrow or Parquet cannot represent, with a remedy.

    Raises:
        StoreError: There is such a value: a date after the year 9999, a list nested 70 times, a
            union.
    """
    try:
        yield
    except (pa.ArrowException, ValueError, OverflowError) as error:
        msg = f"a value of the result cannot be converted ({error}); CAST it to VARCHAR"
        raise StoreError(msg) from error


def tidy(table: pa.Table) -> pa.Table:
    """Returns a result with unique names, without decimals and dictionaries."""
    names: list[str] = []
    for name in table.column_names:
        number = 1
        unique = name
        while unique in names:
            unique = f"{name}_{number}"
            number += 1
        names.append(unique)
    columns = [_plain_column(column) for column in table.columns]
    return pa.table(columns, names=names)


def json_value(value: Any) -> Any:  # noqa: ANN401 - any value of a database
    """Returns a value that JSON can represent.

    NaN and infinities become None, times ISO 8601, bytes base64.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list) or type(value) is tuple:
        return [json_value(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if not pa.types.is_decimal(kind):
        return column
    # Sums of integers are decimals without digits after the point.
    largest = pc.max(pc.abs(column)).as_py() or 0
    whole = kind.scale == 0 and largest < 10**_INT64_DIGITS
    return column.cast(pa.int64() if whole else pa.float64())
