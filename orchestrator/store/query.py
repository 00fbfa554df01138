"""Runs SQL queries over the results: read-only, in memory, without access to anything else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.documents import read_grids
from orchestrator.store.files import list_table
from orchestrator.store.missing_details import NEEDED_OF_TRIALS, missing_details
from orchestrator.store.query_result import QueryResult, convertible, tidy
from orchestrator.store.scan import Scan, scan
from orchestrator.store.schema import CANDIDATES, DETAIL_TABLES, FAILURES, GRID, TRIALS, VIEWS
from orchestrator.store.statement import Statement, explain, parse
from orchestrator.store.storage import Storage, StoreError
from orchestrator.store.views import (
    TRIAL_COLUMNS,
    grid_rows,
    needed_of_trials,
    rows_of,
    scan_trials,
)
from workers.catalogue import nearest

MEMORY_LIMIT = "2GiB"
"""Memory for joins, sorts and aggregates; nothing is written to a disk."""
MAX_RESULT_BYTES = 2**30
EXTRA_BYTES = 5 * 2**30
"""Address space that a query can add to the process: more than the sum of both limits above."""
INTERRUPTS, INTERRUPT_SECONDS = 5, 0.2
_BATCH_ROWS = 100_000


def run_query(
    storage: Storage, sql: str, parameters: Mapping[str, object] | None = None
) -> QueryResult:
    """Runs one SELECT statement over the views of `VIEWS`.

    The rows are registered in an empty database in memory, which has no access to files, network
    and settings. Only the tables and columns that the statement names are read.

    Args:
        storage: Where the results are.
        sql: The statement; DuckDB's SQL.
        parameters: Values of `$name` in the statement, passed as bound parameters.

    Raises:
        StoreError: The statement cannot be run, or the results cannot be read.
        KeyboardInterrupt: Ctrl-C; the statement is stopped.
    """
    given = dict(parameters or {})
    connection = _sandbox()
    statement = parse(connection, sql)
    _check_parameters(statement, given)
    everything = {name: VIEWS[name].column_names for name in statement.columns}
    for name in VIEWS:
        connection.register(name, VIEWS[name].arrow_schema.empty_table())
    # On empty tables first, so that a wrong name is reported before a million rows are read.
    shape = _run(connection, statement, given, everything).schema
    for columns in (statement.columns, everything):
        tables, notes = load(storage, columns)
        for name, rows in tables.items():
            connection.register(name, rows)
        with suppress(_OtherShapeError):
            return QueryResult(tidy(_run(connection, statement, given, everything, shape)), notes)
    msg = "the results changed under the query; run it again"
    raise StoreError(msg)


def load(
    storage: Storage,
    wanted: Mapping[str, Sequence[str]],
    trial_ids: Collection[str] | None = None,
) -> tuple[dict[str, pa.Table], tuple[str, ...]]:
    """Reads views for queries and frames; all of them use one read of `trials`.

    Args:
        storage: Where the results are.
        wanted: Columns by view.
        trial_ids: Trials wanted; all by default.

    Returns:
        The rows by view, and notes: one per torn file, whose rows are left out, and one per table
        in which rows of completed trials are missing.

    Raises:
        StoreError: There are no results, or they cannot be read.
    """
    if not wanted:
        return {}, ()
    details = [table for table in DETAIL_TABLES if table.name in wanted]
    needed = [*([] if trial_ids is None else ["trial_id"]), *(NEEDED_OF_TRIALS if details else ())]
    trials = scan_trials(storage, [*needed, *_needed_of_trials(wanted)])
    grids = read_grids(storage)
    if not (
        grids.documents
        or grids.malformed
        or trials.files.all()
        or list_table(storage, CANDIDATES).all()
    ):
        msg = f"{storage.name}: no results here; expected a folder that `podium run` filled"
        raise StoreError(msg)
    scans = [trials]
    if FAILURES.name in wanted or GRID.name in wanted:
        scans.append(scan(storage, FAILURES))
    if CANDIDATES.name in wanted:
        scans.append(scan(storage, CANDIDATES))
    tables = {}
    for name, columns in wanted.items():
        if name == GRID.name:
            failures = rows_of(storage, FAILURES, FAILURES.column_names, trials=trials)
            rows = grid_rows(grids.documents, trials.rows, failures)
            if trial_ids is not None:
                chosen = pa.array(list(trial_ids), pa.string())
                rows = rows.filter(pc.is_in(rows.column("trial_id"), value_set=chosen))
            rows = rows.select(list(columns))
        else:
            rows = rows_of(storage, VIEWS[name], columns, trial_ids, trials=trials)
        tables[name] = rows
    return tables, (
        *grids.notes(storage.name),
        *_notes(storage, scans),
        *missing_details(storage, trials.rows, details, trial_ids),
    )


def _needed_of_trials(wanted: Mapping[str, Sequence[str]]) -> list[str]:
    needed: list[str] = []
    for name, columns in wanted.items():
        if name == TRIALS.name:
            needed += columns
        elif name == GRID.name:
            needed += TRIAL_COLUMNS
        else:
            needed += needed_of_trials(VIEWS[name], columns)
    return needed


class _OtherShapeError(Exception):
    """The statement means something else without the columns that were not read."""


def _notes(storage: Storage, scans: Sequence[Scan]) -> tuple[str, ...]:
    return tuple(
        f"{storage.name}/{item.file.path}: torn, its rows are left out ({item.reason})"
        for found in scans
        for item in found.lost()
    )


def _sandbox() -> duckdb.DuckDBPyConnection:
    """Opens the empty database; it closes with its last reference, after running queries."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "allow_persistent_secrets": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": MEMORY_LIMIT,
            "python_enable_replacements": False,
            "python_scan_all_frames": False,
            "temp_directory": "",
            # One thread adds in one order, so that the same store gives the same bits.
            "threads": 1,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _check_parameters(statement: Statement, given: Mapping[str, object]) -> None:
    for name in given:
        if name not in statement.parameters:
            known = "it takes none"
            if statement.parameters:
                known = nearest(name, sorted(statement.parameters))
            msg = f"parameter {name!r}: the statement has no ${name}; {known}"
            raise StoreError(msg)
    for name in sorted(statement.parameters - set(given)):
        msg = f"${name}: no value; give one with --param {name}=VALUE"
        raise StoreError(msg)


def _run(
    connection: duckdb.DuckDBPyConnection,
    statement: Statement,
    parameters: Mapping[str, object],
    columns: Mapping[str, tuple[str, ...]],
    shape: pa.Schema | None = None,
) -> pa.Table:
    """Runs a statement in a thread, so that Ctrl-C reaches the waiting main thread."""
    work: Future[pa.Table] = Future()

    def run() -> None:
        try:
            work.set_result(_fetch(connection, statement, parameters))
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            work.set_exception(error)

    with _bounded_memory():
        Thread(target=run, daemon=True).start()
        try:
            found = work.result()
        except KeyboardInterrupt:
            # A function over one huge value cannot be interrupted: its thread continues.
            for _ in range(INTERRUPTS):
                connection.interrupt()
                wait([work], timeout=INTERRUPT_SECONDS)
            raise
        except duckdb.Error as error:
            if shape is not None and isinstance(error, duckdb.BinderException):
                raise _OtherShapeError from None
            raise StoreError(explain(error, columns)) from None
    if shape is not None and found.schema != shape:
        raise _OtherShapeError
    return found


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Limits the memory of this process, because the database does not count single values.

    Without the limit, one `repeat('x', 4000000000)` takes 4 GB. If the system cannot report the
    memory of a process, only the limit of the database applies.
    """
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = used + EXTRA_BYTES
    is_lower = resource.RLIM_INFINITY in (soft, hard) or bound < min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound if is_lower else soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _fetch(
    connection: duckdb.DuckDBPyConnection, statement: Statement, parameters: Mapping[str, object]
) -> pa.Table:
    values = dict(parameters)
    try:
        relation = connection.sql(statement.sql, params=values or None)
    except (duckdb.ProgrammingError, duckdb.DataError):
        connection.execute(statement.sql, values)  # The same error with its position
        raise
    with convertible():
        reader: Any = relation.to_arrow_reader(_BATCH_ROWS)
    batches, num_bytes = [], 0
    for batch in reader:
        batches.append(batch)
        num_bytes += batch.nbytes
        if num_bytes > MAX_RESULT_BYTES:
            msg = f"the result is larger than {MAX_RESULT_BYTES >> 20:,} MiB; aggregate or LIMIT it"
            raise StoreError(msg)
    return pa.Table.from_batches(batches, reader.schema)
