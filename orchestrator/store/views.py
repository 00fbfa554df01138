"""The tables as readers get them: one row per key, only finished trials, declared types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.compact import refuse_lost
from orchestrator.store.files import list_table, trial_id_of
from orchestrator.store.rows import Row
from orchestrator.store.scan import Scan, scan
from orchestrator.store.schema import (
    CANDIDATES,
    FAILURES,
    GRID,
    SCHEMA_VERSION,
    TRIALS,
    TableSchema,
)
from orchestrator.store.storage import Storage, StoreError
from workers.catalogue import nearest
from workers.contract import FailureClass, TrialStatus

if TYPE_CHECKING:
    import pandas as pd


def scan_trials(storage: Storage, columns: Sequence[str] | None = None) -> Scan:
    """Reads `trials`; a trial whose part is torn in any column does not count as finished.

    Args:
        storage: The storage of the results.
        columns: Columns to read, all by default. If a trial has a part, all columns are read.

    Raises:
        StoreError: The table cannot be read, or a newer version wrote it.
    """
    found = None
    if columns is not None and not list_table(storage, TRIALS).parts:
        wanted = dict.fromkeys(("schema_version", *columns))
        found = scan(storage, TRIALS, columns=list(wanted))
    if found is None or found.files.parts:
        found = scan(storage, TRIALS)
    refuse_newer(storage, pc.max(found.rows.column("schema_version")).as_py() or 0)
    return found


def refuse_newer(storage: Storage, schema_version: int) -> None:
    """Refuses rows of a newer schema.

    Raises:
        StoreError: A newer version wrote the rows, with columns that this version would lose.
    """
    if schema_version > SCHEMA_VERSION:
        msg = (
            f"{storage.name}: written by a newer Podium (schema version {schema_version}, this "
            f"one knows {SCHEMA_VERSION}); upgrade podium-sweep"
        )
        raise StoreError(msg)


def known_columns(table: TableSchema, columns: Sequence[str] | None) -> Sequence[str]:
    """Returns the requested columns of a table, all by default.

    Raises:
        StoreError: The table has no such column.
    """
    for name in columns or ():
        if name not in table.column_names:
            msg = f"{name!r}: unknown column of {table.name}; {nearest(name, table.column_names)}"
            raise StoreError(msg)
    return table.column_names if columns is None else columns


def rows_of(
    storage: Storage,
    table: TableSchema,
    columns: Sequence[str],
    trial_ids: Collection[str] | None = None,
    *,
    trials: Scan | None = None,
) -> pa.Table:
    """Returns the rows of a table for readers, with the requested columns in order.

    Args:
        storage: The storage of the results.
        table: The table.
        columns: Columns to read.
        trial_ids: Trials to read; all by default.
        trials: Result of `scan_trials` with the columns of `needed_of_trials`; by default, `trials`
            is read again.

    Raises:
        StoreError: A file that is needed is torn, or a newer version wrote the results.
    """
    trials = trials or scan_trials(storage, needed_of_trials(table, columns))
    if table in (TRIALS, FAILURES, CANDIDATES):
        if table is TRIALS:
            found = trials.rows
        else:
            found = (failure_rows if table is FAILURES else candidate_rows)(storage, trials)
        if trial_ids is not None:
            wanted = pa.array(list(trial_ids), pa.string())
            found = found.filter(pc.is_in(found.column("trial_id"), value_set=wanted))
    else:
        finished = trials.part_keys()
        wanted = finished if trial_ids is None else finished.intersection(trial_ids)
        found = _details(storage, table, columns, wanted)
    return found.select(list(columns))


def needed_of_trials(table: TableSchema, columns: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns of `trials` that a read of these columns of a table needs."""
    if table is TRIALS:
        return ("trial_id", *columns)
    return ("trial_id", "status") if table is FAILURES else ("trial_id",)


def failure_rows(storage: Storage, trials: Scan | None = None) -> pa.Table:
    """Returns the rows of `failures` without divergences that were never committed.

    A process that is killed between the two writes of a diverged trial leaves only its row in
    `failures`. The next training of the trial writes it again.
    """
    found = scan(storage, FAILURES).rows
    if FailureClass.DIVERGED not in found.column("failure_class").to_pylist():
        return found
    known = (trials or scan_trials(storage, needed_of_trials(FAILURES, ()))).rows
    diverged = known.filter(pc.equal(known.column("status"), TrialStatus.DIVERGED))
    finished = pc.is_in(found.column("trial_id"), value_set=diverged.column("trial_id"))
    others = pc.not_equal(found.column("failure_class"), FailureClass.DIVERGED)
    return found.filter(pc.or_(finished, others))


def candidate_rows(storage: Storage, _: Scan | None = None) -> pa.Table:
    """Returns the rows of `candidates`.

    Raises:
        StoreError: The table cannot be read, or a newer version wrote it.
    """
    found = scan(storage, CANDIDATES).rows
    refuse_newer(storage, pc.max(found.column("schema_version")).as_py() or 0)
    return found


def to_pandas(table: TableSchema, rows: pa.Table) -> pd.DataFrame:
    """Returns rows as a frame whose types do not depend on the values.

    Nullable integer columns have pandas' nullable type.
    """
    import pandas as pd  # The import takes half a second, which commits do not need.

    frame: pd.DataFrame = rows.to_pandas()
    for column in table.columns:
        if column.name in rows.column_names and column.kind == "integer" and column.nullable:
            values = rows.column(column.name)
            frame[column.name] = values.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def _details(
    storage: Storage, table: TableSchema, columns: Sequence[str], wanted: Collection[str]
) -> pa.Table:
    found = scan(
        storage,
        table,
        columns=list(dict.fromkeys([*table.key, *columns])),
        trial_ids=wanted,
        part_counts=lambda key: trial_id_of(key) in wanted,
    )
    refuse_lost(storage, found.lost())
    return found.rows


TRIAL_COLUMNS = ("trial_id", "protocol_id", "dataset", "model", "loss", "repeat", "status")
"""Columns of `trials` that the view `grid` needs."""

_AXES = ("datasets", "models", "losses")
_TrialKey = tuple[str, str, str, str, int]


def grid_rows(
    documents: Sequence[Mapping[str, Any]], trials: pa.Table, failures: pa.Table
) -> pa.Table:
    """Returns the rows of the view `grid`, in the order of the configuration.

    Args:
        documents: Grid documents, the newest last; of each protocol, only the newest counts.
        trials: The finished trials, with `TRIAL_COLUMNS`.
        failures: All rows of `failures` for readers.
    """
    statuses = dict(zip(*_lists(trials, ("trial_id", "status")), strict=True))
    attempts = _attempts(failures.to_pylist())
    newest = {str(document.get("protocol_id")): document for document in documents}
    rows: list[Row] = []
    for document in newest.values():
        shared = _shared(document)
        for trial in _trials_of(document, trials, failures):
            found = attempts.get(trial["trial_id"], [])
            rows.append(shared | trial | _outcome(statuses.get(trial["trial_id"]), found))
    return pa.Table.from_pylist(rows, schema=GRID.arrow_schema)


def _shared(document: Mapping[str, Any]) -> Row:
    resources = (document.get("config") or {}).get("resources") or {}
    return {
        "sweep": str(document.get("name", "")),
        "grid_id": str(document["grid_id"]),
        "protocol_id": str(document.get("protocol_id")),
        "gpus": resources.get("gpus"),
        "cpus": resources.get("cpus"),
    }


def _trials_of(
    document: Mapping[str, Any], trials: pa.Table, failures: pa.Table
) -> Iterator[dict[str, Any]]:
    """Yields labels, repeat and id of every trial of a document."""
    axes = [[entry["label"] for entry in document.get(axis) or ()] for axis in _AXES]
    keys = list(product(*axes, range(int(document.get("repeats", 1)))))
    ids: Iterable[str | None] = document.get("trial_ids") or ()
    if len(list(ids)) != len(keys):
        # The grid has only some of the combinations, or another program wrote the document.
        known = _ids_by_key(failures) | _ids_by_key(trials)
        protocol = str(document.get("protocol_id"))
        ids = [known.get((protocol, *key)) for key in keys]
    for (dataset, model, loss, repeat), trial_id in zip(keys, ids, strict=True):
        yield {
            "dataset": dataset,
            "model": model,
            "loss": loss,
            "repeat": repeat,
            "trial_id": trial_id,
        }


def _ids_by_key(rows: pa.Table) -> dict[_TrialKey, str]:
    names = ("protocol_id", "dataset", "model", "loss", "repeat")
    (ids,) = _lists(rows, ("trial_id",))
    return dict(zip(zip(*_lists(rows, names), strict=True), ids, strict=True))


def _lists(rows: pa.Table, names: Sequence[str]) -> list[list[Any]]:
    return [rows.column(name).to_pylist() for name in names]


def _attempts(failures: Iterable[Row]) -> dict[str, list[Row]]:
    attempts: dict[str, list[Row]] = {}
    for row in failures:
        attempts.setdefault(row["trial_id"], []).append(row)
    return attempts


def _outcome(status: str | None, attempts: Sequence[Row]) -> Row:
    """Returns the status and failures of a trial, from its status in `trials` and its failures."""
    last = max(attempts, key=lambda row: row["attempt"], default=None)
    return {
        "status": status or ("failed" if last else "missing"),
        "num_failures": sum(row["failure_class"] != FailureClass.DIVERGED for row in attempts),
        "failure_class": last["failure_class"] if last else None,
        "message": last["message"] if last else None,
    }
