"""Parquet files from rows and back: a part is quick to read, a compacted file is small."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from orchestrator.store.rows import Row
from orchestrator.store.schema import PREDICTIONS, TableSchema
from orchestrator.store.storage import Buffer, StoreError

ROW_GROUP_SIZE = 65_536
PICTURES_GROUP_SIZE = 1_024
CHECKED = {b"podium.page_checksums": b"crc32"}
"""Metadata of a compacted file in which every page has a checksum."""


def encode_part(table: TableSchema, rows: Sequence[Row]) -> bytes:
    """Returns one trial's rows as a Parquet file.

    A single row gains nothing from compression, dictionaries and statistics; thousands of such
    files are read twice as fast without them.
    """
    many = len(rows) > 1
    sink = pa.BufferOutputStream()
    parquet.write_table(
        pa.Table.from_pylist(list(rows), schema=table.arrow_schema),
        sink,
        compression="zstd" if many else "none",
        use_dictionary=many,
        write_statistics=many,
        store_schema=False,
        write_page_checksum=True,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def encode_rows(rows: pa.Table) -> bytes:
    """Returns rows as one compressed Parquet file: the same bytes for the same rows."""
    sink = pa.BufferOutputStream()
    parquet.write_table(rows, sink, compression="zstd", row_group_size=ROW_GROUP_SIZE)
    data: bytes = sink.getvalue().to_pybytes()
    return data


@contextmanager
def compacted_file(table: TableSchema, batches: Iterable[pa.RecordBatch]) -> Iterator[Buffer]:
    """Gives the bytes of a compacted file with sorted rows: the same bytes for the same rows.

    The file is built on this machine's disk and mapped into memory, so that a table can be larger
    than memory.

    Raises:
        StoreError: The folder for temporary files is full or not writable.
    """
    schema = table.arrow_schema
    schema = schema.with_metadata({**(schema.metadata or {}), **CHECKED})
    with tempfile.TemporaryDirectory(prefix="podium-") as scratch:
        path = Path(scratch) / f"{table.name}.parquet"
        try:
            with parquet.ParquetWriter(
                path, schema, compression="zstd", write_page_checksum=True
            ) as writer:
                for group in _row_groups(table, batches):
                    writer.write_table(group.cast(schema), row_group_size=group.num_rows)
        except OSError as error:
            raise no_room(path, error) from error
        with pa.memory_map(str(path)) as file:
            yield memoryview(file.read_buffer())


def no_room(path: Path, error: Exception) -> StoreError:
    """Returns the error for a temporary file that cannot be written."""
    return StoreError(
        f"{path}: {error}; free some space in the folder for temporary files, or name another one "
        "in TMPDIR, then run the same command again"
    )


def _row_groups(table: TableSchema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Regroups rows into row groups whose sizes depend only on the number of rows."""
    size = PICTURES_GROUP_SIZE if table is PREDICTIONS else ROW_GROUP_SIZE
    waiting: list[pa.RecordBatch] = []
    num_rows = 0
    for batch in batches:
        while num_rows + batch.num_rows >= size:
            taken = size - num_rows
            yield pa.Table.from_batches([*waiting, batch.slice(0, taken)])
            waiting, num_rows, batch = [], 0, batch.slice(taken)
        if batch.num_rows:
            waiting.append(batch)
            num_rows += batch.num_rows
    if waiting:
        yield pa.Table.from_batches(waiting)


def is_whole(data: bytes) -> bool:
    """Says whether every page of a Parquet file can be read and has its checksum."""
    try:
        with parquet.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            for number in range(file.num_row_groups):
                file.read_row_group(number)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return True


def decode(data: bytes) -> list[Row] | None:
    """Returns the rows of a Parquet file, or None if the file is torn."""
    try:
        table = parquet.read_table(pa.BufferReader(data), page_checksum_verification=True)
        rows: list[Row] = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError):
        return None
    return rows
