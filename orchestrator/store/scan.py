"""Reads a table's files with DuckDB, one row per key, and reports torn files."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestrator.store.codec import is_whole, no_room
from orchestrator.store.files import COMPACTED_PREFIX, TableFiles, list_table, part_key
from orchestrator.store.schema import SQL_TYPES, TableSchema
from orchestrator.store.storage import FileInfo, Storage, StoreError

MAX_READS = 20
"""How often a read starts again because a compaction deleted files meanwhile."""
BATCH_ROWS = 65_536
FILES_AT_ONCE = 10_000
"""Files per statement; the database keeps about 13 KiB of each in memory."""
SORT_MEMORY, SORT_THREADS = "1GiB", 2
"""Limits for compaction; larger tables are sorted on the disk."""

_WILDCARDS = frozenset("*?[")

Statement = tuple[str, list[Any] | None]
"""SQL and the values of its parameters."""

Consume = Callable[[pa.RecordBatchReader], pa.Table]
"""Reads all rows in order and returns the ones that stay in memory."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A torn file and the error message of DuckDB."""

    file: FileInfo
    reason: str


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The rows of a table and the files they come from.

    Attributes:
        table: The table.
        rows: One row per key, sorted, in the declared types.
        files: All files of the table.
        read: The files whose rows are in `rows`.
        unreadable: Torn parts; a torn compacted file raises an error.
    """

    table: TableSchema
    rows: pa.Table
    files: TableFiles
    read: tuple[FileInfo, ...]
    unreadable: tuple[Unreadable, ...]

    def part_keys(self) -> set[str]:
        """Returns the keys of the parts of these rows; `rows` needs the key's columns."""
        names = ["trial_id", "attempt"] if "attempt" in self.table.key else ["trial_id"]
        columns = [map(str, self.rows.column(name).to_pylist()) for name in names]
        return set(map("-".join, zip(*columns, strict=True)))

    def lost(self) -> tuple[Unreadable, ...]:
        """Torn parts whose rows no other file holds; `rows` needs the key's columns."""
        if not self.unreadable:
            return ()
        held = self.part_keys()
        keys = {file.path: key for key, file in self.files.parts.items()}
        return tuple(item for item in self.unreadable if keys[item.file.path] not in held)


def connect_reading() -> duckdb.DuckDBPyConnection:
    """Returns a connection for reads whose rows fit into memory."""
    return _database(os.getpid(), ()).cursor()


def connect_sorting() -> duckdb.DuckDBPyConnection:
    """Returns a connection that sorts on the disk if the rows do not fit into its memory."""
    return _database(os.getpid(), _bounded()).cursor()


def _connect_gathering() -> duckdb.DuckDBPyConnection:
    """Returns a connection that copies rows in any order.

    If the order were kept, each file would take a row group in memory.
    """
    config = (*_bounded(), ("preserve_insertion_order", "false"))
    return _database(os.getpid(), config).cursor()


def _bounded() -> tuple[tuple[str, str | int], ...]:
    spill = Path(tempfile.gettempdir()) / f"podium-sort-{os.getpid()}"
    return (
        ("memory_limit", SORT_MEMORY),
        ("temp_directory", str(spill)),
        ("threads", SORT_THREADS),
    )


@functools.cache
def _database(
    process_id: int,  # noqa: ARG001 - after a fork, anew
    config: tuple[tuple[str, str | int], ...],
) -> duckdb.DuckDBPyConnection:
    """Opens an empty database of a process once: opening costs more than a small read."""
    # Never searches the network for extensions; the needed ones are built in.
    return duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            **dict(config),
        }
    )


def scan(
    storage: Storage,
    table: TableSchema,
    *,
    columns: Sequence[str] | None = None,
    trial_ids: Collection[str] | None = None,
    part_counts: Callable[[str], bool] = lambda _: True,
    # One batch at a time, so that Ctrl-C can interrupt between batches.
    consume: Consume = lambda reader: pa.Table.from_batches(reader, reader.schema),
    connect: Callable[[], duckdb.DuckDBPyConnection] = connect_reading,
) -> Scan:
    """Reads a table, one row per key. If several files hold a trial, only the first one counts.

    Compacted files come first, so the first commit wins, and rows of two trainings of one trial
    are never mixed.

    Args:
        storage: Where the files are.
        table: The table.
        columns: Columns to read, in this order; all by default.
        trial_ids: Trials to read; all by default.
        part_counts: Whether the part with a key is read; all are by default.
        consume: Reads the rows and returns those for `rows` of the scan. After a torn file it is
            called again with all rows.
        connect: Opens an empty database for the read.

    Raises:
        StoreError: A compacted file is torn, the folder has a foreign file, or the storage cannot
            be read.
    """
    wanted = tuple(columns if columns is not None else table.column_names)
    for number in range(MAX_READS):
        files = list_table(storage, table)
        parts = (file for key, file in files.parts.items() if part_counts(key))
        chosen = (*files.compacted, *parts)
        with (
            storage.local_copies([file.path for file in chosen]) as copies,
            connect() as link,
        ):
            if len(copies) < len(chosen):
                continue
            query = _Query(link, table, wanted, trial_ids, consume)
            rows, reasons = query.run([copies[file.path] for file in chosen])
            bad = tuple(
                Unreadable(file=file, reason=reasons[copies[file.path]])
                for file in chosen
                if copies[file.path] in reasons
            )
        if number == 0 and any(is_whole(storage.read(item.file.path) or b"") for item in bad):
            continue  # A temporary error of the disk or its server, which DuckDB does not retry.
        if all(storage.exists(item.file.path) for item in bad):
            _refuse_torn_compacts(storage, table, bad)
            if isinstance(rows, str):
                msg = f"{storage.name}/{table.name}: {rows}"
                raise StoreError(msg)
            read = tuple(file for file in chosen if copies[file.path] not in reasons)
            return Scan(table=table, rows=rows, files=files, read=read, unreadable=bad)
    msg = f"{storage.name}/{table.name}: the files keep changing; run the same command again"
    raise StoreError(msg)


def _refuse_torn_compacts(storage: Storage, table: TableSchema, bad: Sequence[Unreadable]) -> None:
    for item in bad:
        if item.file.name.startswith(COMPACTED_PREFIX):
            msg = (
                f"{storage.name}/{item.file.path}: cannot be read ({item.reason}); restore it "
                f"from a copy, or move it out of {table.name}/ and run again (podium verify "
                "--quarantine does, and keeps its intact rows): trials with rows only in this file "
                "are then trained again, and such failures are lost"
            )
            raise StoreError(msg)


@dataclass(frozen=True)
class _Query:
    connection: duckdb.DuckDBPyConnection
    table: TableSchema
    columns: tuple[str, ...]
    trial_ids: Collection[str] | None
    consume: Consume

    def run(self, paths: Sequence[Path]) -> tuple[pa.Table | str, dict[Path, str]]:
        """Returns the rows of the readable files, or an error, and the error of each torn file."""
        rows = self.try_run(paths, self.consume)
        if not isinstance(rows, str):
            return rows, {}
        reasons = self.reasons(paths)
        return self.try_run([path for path in paths if path not in reasons], self.consume), reasons

    def try_run(self, paths: Sequence[Path], consume: Consume) -> pa.Table | str:
        """Returns the rows, or the reason why they cannot be read."""
        try:
            try:
                return self._run(paths, consume, by_name=False)
            except duckdb.Error:
                # Files of an older schema lack columns, which takes a second read to find out.
                return self._run(paths, consume, by_name=True)
        except (duckdb.Error, pa.ArrowException, ValueError) as error:
            return str(error).partition("\n")[0]

    def reasons(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Returns the torn files with the reason of each, found by halving."""
        outcome = self.try_run(paths, _drain)
        if not isinstance(outcome, str):
            return {}
        if len(paths) == 1:
            return {paths[0]: outcome}
        half = len(paths) // 2
        return self.reasons(paths[:half]) | self.reasons(paths[half:])

    def _run(self, paths: Sequence[Path], consume: Consume, *, by_name: bool) -> pa.Table:
        declared = self.table.arrow_schema
        schema = pa.schema([declared.field(name) for name in self.columns], declared.metadata)
        compacted = [path for path in paths if path.name.startswith(COMPACTED_PREFIX)]
        held = self._held(compacted) if len(compacted) < len(paths) else set()
        # A part does not count if its rows are already compacted.
        paths = [path for path in paths if part_key(path.name) not in held]
        if not paths:
            return consume(pa.RecordBatchReader.from_batches(schema, []))
        with self._source(paths, by_name=by_name) as (source, values):
            statement = f"SELECT {', '.join(self.columns)} FROM {source}"
            # Two during a compaction only: the window takes as long as the read.
            if len(compacted) > 1:
                key = ", ".join(self._part_key)
                statement += f" QUALIFY filename = min(filename) OVER (PARTITION BY {key})"
            # A compacted file is sorted already; sorting a million rows again takes a second.
            if len(paths) > 1 or not compacted:
                statement += f" ORDER BY {', '.join(self.table.order)}"
            found: Any = self.connection.sql(statement, params=values)
            return consume(found.to_arrow_reader(BATCH_ROWS).cast(schema))

    @contextmanager
    def _source(self, paths: Sequence[Path], *, by_name: bool) -> Iterator[Statement]:
        """Gives the FROM clause of the rows and the values of its parameters.

        The rows of many files are first copied into a few temporary files.

        Raises:
            StoreError: The folder for temporary files is full or not writable.
        """
        if len(paths) <= FILES_AT_ONCE:
            rows, values = self._rows(paths, by_name=by_name)
            yield f"({rows})", values
            return
        with tempfile.TemporaryDirectory(prefix="podium-") as scratch:
            gathered = []
            for start in range(0, len(paths), FILES_AT_ONCE):
                rows, values = self._rows(paths[start : start + FILES_AT_ONCE], by_name=by_name)
                gathered.append(Path(scratch) / f"{start}.parquet")
                copy = f"COPY ({rows}) TO {_text(str(gathered[-1]))} (FORMAT parquet)"
                try:
                    with _connect_gathering() as link:
                        link.execute(copy, values)
                except duckdb.Error as error:
                    if scratch in str(error):
                        raise no_room(gathered[-1], error) from error
                    raise
            yield f"{_files(gathered)})", None

    def _rows(self, paths: Sequence[Path], *, by_name: bool) -> Statement:
        """Returns a statement for rows of files in the declared types, and its values."""
        source = f"{_files(paths)}, filename = true, union_by_name = {by_name})"
        present = self._present(source) if by_name else set(self.table.column_names)
        statement = f"SELECT {self._selection(present)}, filename FROM {source}"
        if self.trial_ids is None:
            return statement, None
        statement += " WHERE trial_id IN (SELECT unnest(?::VARCHAR[]))"
        return statement, [list(self.trial_ids)]

    @property
    def _part_key(self) -> tuple[str, ...]:
        return ("trial_id", "attempt") if "attempt" in self.table.key else ("trial_id",)

    def _held(self, compacted: Sequence[Path]) -> set[str]:
        """Returns the keys of the parts whose rows are in compacted files."""
        if not compacted:
            return set()
        statement = f"SELECT DISTINCT {', '.join(self._part_key)} FROM {_files(compacted)})"
        rows: list[Any] = self.connection.execute(statement).fetchall()
        return {"-".join(map(str, row)) for row in rows}

    def _present(self, source: str) -> set[str]:
        described = self.connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        return {row[0] for row in described}

    def _selection(self, present: set[str]) -> str:
        kinds = {column.name: SQL_TYPES[column.kind] for column in self.table.columns}
        needed = dict.fromkeys((*self.columns, *self._part_key, *self.table.order))
        return ", ".join(
            f"CAST({name if name in present else 'NULL'} AS {kinds[name]}) AS {name}"
            for name in needed
        )


def _drain(reader: pa.RecordBatchReader) -> pa.Table:
    for _ in reader:
        pass
    return reader.schema.empty_table()


def _files(paths: Sequence[Path]) -> str:
    """Returns the start of a table function over files; the caller adds options and `)`.

    Paths are never data, but by default DuckDB reads columns from folders named KEY=VALUE.
    """
    return f"read_parquet([{', '.join(map(_pattern, paths))}], hive_partitioning = false"


def _pattern(path: Path) -> str:
    """Returns a path as an SQL string in which no character is a wildcard.

    Raises:
        StoreError: The path has a wildcard and a backslash, which no pattern of DuckDB matches.
    """
    text = str(path)
    if not _WILDCARDS.isdisjoint(text) and "\\" in text:
        msg = f"{path.parent}: a path with \\ and one of * ? [ cannot be read; rename the folder"
        raise StoreError(msg)
    return _text("".join(f"[{char}]" if char in _WILDCARDS else char for char in text))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
