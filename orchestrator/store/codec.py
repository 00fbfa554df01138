"""Parquet bytes from rows: small and quick to read for a part, dense when compacted."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyarrow import parquet

from orchestrator.store.rows import Row
from orchestrator.store.schema import Table

ROW_GROUP_SIZE = 65_536


def encode_part(table: Table, rows: Sequence[Row]) -> bytes:
    """Returns one trial's rows as a Parquet file.

    A single row gains nothing from compression, dictionaries and statistics; thousands of such
    files are read twice as fast without them.
    """
    many = len(rows) > 1
    return _encode(
        pa.Table.from_pylist(list(rows), schema=table.arrow_schema),
        compression="zstd" if many else "none",
        use_dictionary=many,
        write_statistics=many,
        store_schema=False,
    )


def encode_compact(rows: pa.Table) -> bytes:
    """Returns sorted rows as one dense Parquet file: the same bytes for the same rows."""
    return _encode(rows, compression="zstd", row_group_size=ROW_GROUP_SIZE)


def decode(data: bytes) -> list[Row] | None:
    """Returns the rows of a Parquet file, or None when the bytes are not a whole one."""
    try:
        rows: list[Row] = parquet.read_table(pa.BufferReader(data)).to_pylist()
    except (pa.ArrowException, OSError):
        return None
    return rows


def _encode(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, **options)
    data: bytes = sink.getvalue().to_pybytes()
    return data
