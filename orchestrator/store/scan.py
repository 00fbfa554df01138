"""Reads a table's files through DuckDB, one row a key, and names the files that are torn."""

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
"""How often a read starts again because files were compacted away under it."""
BATCH_ROWS = 65_536
FILES_AT_ONCE = 10_000
"""The database keeps some 13 KiB in memory of every file of a statement."""
SORT_MEMORY, SORT_THREADS = "1GiB", 2
"""What merging a table may take; more is sorted on the disk."""

_WILDCARDS = frozenset("*?[")

Statement = tuple[str, list[Any] | None]
"""SQL and the values of its parameters."""

Consume = Callable[[pa.RecordBatchReader], pa.Table]
"""Takes in the rows of a read, all sorted, and returns what is to stay in memory of them."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A torn file: what it is and what DuckDB says of it."""

    file: FileInfo
    reason: str


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a read found.

    Attributes:
        table: What was read.
        rows: One row a key, sorted, in the declared types.
        files: The files looked at.
        read: Those whose rows are in `rows`.
        unreadable: Torn parts; a torn compacted file is an error instead.
    """

    table: TableSchema
    rows: pa.Table
    files: TableFiles
    read: tuple[FileInfo, ...]
    unreadable: tuple[Unreadable, ...]

    def part_keys(self) -> set[str]:
        """Returns the keys under which a part would hold these rows; needs the key's columns."""
        names = ["trial_id", "attempt"] if "attempt" in self.table.key else ["trial_id"]
        columns = [map(str, self.rows.column(name).to_pylist()) for name in names]
        return set(map("-".join, zip(*columns, strict=True)))

    def lost(self) -> tuple[Unreadable, ...]:
        """Torn parts whose rows no other file holds; needs the key's columns."""
        if not self.unreadable:
            return ()
        held = self.part_keys()
        keys = {file.path: key for key, file in self.files.parts.items()}
        return tuple(item for item in self.unreadable if keys[item.file.path] not in held)


def connect_reading() -> duckdb.DuckDBPyConnection:
    """Returns a connection for reads whose rows fit into memory."""
    return _database(os.getpid(), ()).cursor()


def connect_sorting() -> duckdb.DuckDBPyConnection:
    """Returns a connection that sorts on the disk what does not fit into its memory."""
    return _database(os.getpid(), _bounded()).cursor()


def _connect_gathering() -> duckdb.DuckDBPyConnection:
    """Returns a connection that copies rows in any order.

    In their order those of every file would take a row group of their own in memory.
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
    # Never look for extensions on the network: everything needed is built in.
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
    # One batch after the other, so that Ctrl-C is heard between them.
    consume: Consume = lambda reader: pa.Table.from_batches(reader, reader.schema),
    connect: Callable[[], duckdb.DuckDBPyConnection] = connect_reading,
) -> Scan:
    """Reads a table, one row a key: where several files hold a trial, the first counts whole.

    Compacted files come first, so the row that was committed first wins, and rows of two runs
    of one trial are never mixed.

    Args:
        storage: Where the files are.
        table: What to read.
        columns: Columns wanted, in this order; all by default.
        trial_ids: Trials wanted; all by default.
        part_counts: Which parts are read, by their key; all by default.
        consume: What becomes of the rows; `rows` of the answer is what it returns. It is called
            again from the start where a torn file turns up.
        connect: Opens an empty database for the work.

    Raises:
        StoreError: A compacted file is torn, a foreign file is in the folder, or the place
            cannot be read.
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
            continue  # The disk or its server stumbled under the database, which cannot ask again.
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
                "--quarantine does, and keeps what is whole of it): then what only it held is lost "
                "or trained again"
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
        """Returns the rows of the readable files (or why not) and the others' reasons."""
        rows = self.try_run(paths, self.consume)
        if not isinstance(rows, str):
            return rows, {}
        reasons = self.reasons(paths)
        return self.try_run([path for path in paths if path not in reasons], self.consume), reasons

    def try_run(self, paths: Sequence[Path], consume: Consume) -> pa.Table | str:
        """Returns the rows, or why they cannot be read."""
        try:
            try:
                return self._run(paths, consume, by_name=False)
            except duckdb.Error:
                # Files of an older schema lack columns; finding that out costs a second look.
                return self._run(paths, consume, by_name=True)
        except (duckdb.Error, pa.ArrowException, ValueError) as error:
            return str(error).partition("\n")[0]

    def reasons(self, paths: Sequence[Path]) -> dict[Path, str]:
        """Returns the files that cannot be read, by halving, with what is wrong."""
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
        compacts = [path for path in paths if path.name.startswith(COMPACTED_PREFIX)]
        held = self._held(compacts) if len(compacts) < len(paths) else set()
        # A part whose rows are compacted already counts no more.
        paths = [path for path in paths if part_key(path.name) not in held]
        if not paths:
            return consume(pa.RecordBatchReader.from_batches(schema, []))
        with self._source(paths, by_name=by_name) as (source, values):
            statement = f"SELECT {', '.join(self.columns)} FROM {source}"
            # Around a compaction there are two; the window costs as much as reading them.
            if len(compacts) > 1:
                key = ", ".join(self._part_key)
                statement += f" QUALIFY filename = min(filename) OVER (PARTITION BY {key})"
            # A compacted file is sorted already; sorting a million rows again takes a second.
            if len(paths) > 1 or not compacts:
                statement += f" ORDER BY {', '.join(self.table.order)}"
            found: Any = self.connection.sql(statement, params=values)
            return consume(found.to_arrow_reader(BATCH_ROWS).cast(schema))

    @contextmanager
    def _source(self, paths: Sequence[Path], *, by_name: bool) -> Iterator[Statement]:
        """Gives what the rows are selected from, and its values.

        The rows of many files are first put into a few temporary ones.

        Raises:
            StoreError: The folder for temporary files cannot hold them.
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
        """Returns a statement for the rows of files in the declared types, and its values."""
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

    def _held(self, compacts: Sequence[Path]) -> set[str]:
        """Returns the keys of the parts whose rows are in compacted files."""
        if not compacts:
            return set()
        statement = f"SELECT DISTINCT {', '.join(self._part_key)} FROM {_files(compacts)})"
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

    A path is never data: by default, DuckDB reads columns from folders named KEY=VALUE.
    """
    return f"read_parquet([{', '.join(map(_pattern, paths))}], hive_partitioning = false"


def _pattern(path: Path) -> str:
    """Returns a path as an SQL string in which no character is a wildcard.

    Raises:
        StoreError: It holds a wildcard and a backslash, which no pattern of DuckDB can match.
    """
    text = str(path)
    if not _WILDCARDS.isdisjoint(text) and "\\" in text:
        msg = f"{path.parent}: a path with \\ and one of * ? [ cannot be read; rename the folder"
        raise StoreError(msg)
    return _text("".join(f"[{char}]" if char in _WILDCARDS else char for char in text))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
