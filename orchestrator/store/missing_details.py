"""Notes on completed trials whose details are missing: deleted, expired or never copied.

A trial's row in `trials` says how many rows it has in the tables of details. Readers of those rows
report missing ones, because a mean of the remaining rows would look complete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store.documents import read_grids
from orchestrator.store.scan import scan
from orchestrator.store.schema import DETAIL_TABLES, EPOCHS, IMAGES, PREDICTIONS, TableSchema
from orchestrator.store.storage import Storage
from workers.contract import TrialStatus

EXPECTED_ROWS = {EPOCHS.name: "num_epochs", IMAGES.name: "num_test_images"}
"""The column of `trials` with the number of a completed trial's rows, by table."""

NEEDED_OF_TRIALS = (
    "trial_id", "protocol_id", "dataset", "model", "loss", "repeat", "status",
    *EXPECTED_ROWS.values(),
)  # fmt: skip

_RETRAIN = (
    "Restore the files from a copy, or let podium verify --quarantine move these trials aside and "
    "podium run train them again."
)
_REMEDIES = {
    EPOCHS.name: f"learning curves leave these trials out. {_RETRAIN}",
    IMAGES.name: f"values computed from single images leave these trials out. {_RETRAIN}",
    PREDICTIONS.name: "figures of predictions leave these trials out. Restore the files from a "
    "copy, unless the trials ran with runtime.example_images=0.",
}


def missing_details(
    storage: Storage,
    trials: pa.Table,
    tables: Collection[TableSchema] = DETAIL_TABLES,
    trial_ids: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Returns a note for each table in which rows of completed trials are missing.

    A part counts by its name, because parts are written whole. Compacted files are read.

    Args:
        storage: Where the results are.
        trials: The rows of `trials`, with the columns of `NEEDED_OF_TRIALS`.
        tables: Tables to check, of `DETAIL_TABLES`. If there are none, `trials` needs no columns.
        trial_ids: Trials to check; all by default.

    Raises:
        StoreError: A table or the folder of grids cannot be read.
    """
    if not tables:
        return ()
    finished = trials.filter(pc.equal(trials["status"], TrialStatus.COMPLETED))
    ids = finished["trial_id"]
    wanted = pc.is_valid(ids) if trial_ids is None else _is_in(ids, trial_ids)
    notes = []
    for table in tables:
        found = _num_rows(storage, table, finished)
        expected = _expected(storage, table, finished, found)
        lacking = finished.filter(pc.and_(wanted, pc.less(found, expected)))
        if lacking.num_rows:
            first: dict[str, Any] = lacking.slice(0, 1).to_pylist()[0]
            labels = ", ".join(str(first[name]) for name in ("dataset", "model", "loss"))
            total = pc.sum(pc.and_(wanted, pc.greater(expected, 0))).as_py()
            notes.append(
                f"{storage.name}/{table.name}: {lacking.num_rows:,} of {total:,} completed "
                f"trials lack their rows, such as {labels}, repeat {first['repeat']}: "
                f"{_REMEDIES[table.name]}"
            )
    return tuple(notes)


def _num_rows(storage: Storage, table: TableSchema, finished: pa.Table) -> pa.Array:
    """Returns how many rows each trial has in a table; a trial with a part has enough."""

    def count(reader: pa.RecordBatchReader) -> pa.Table:
        counted = [pa.table({"trial_id": pa.array([], pa.string()), "rows": pa.array([], "int64")})]
        for batch in reader:
            found = pc.value_counts(batch["trial_id"])
            ids, rows = found.field("values"), found.field("counts")
            counted.append(pa.table({"trial_id": ids, "rows": rows}))
        return pa.concat_tables(counted).group_by("trial_id").aggregate([("rows", "sum")])

    found = scan(storage, table, columns=["trial_id"], part_counts=lambda _: False, consume=count)
    positions = pc.index_in(finished["trial_id"], value_set=found.rows["trial_id"].combine_chunks())
    counts = pc.fill_null(found.rows["rows_sum"].take(positions), 0)
    most = pa.scalar(2**62, pa.int64())
    return pc.if_else(_is_in(finished["trial_id"], found.files.parts), most, counts)


def _expected(
    storage: Storage, table: TableSchema, finished: pa.Table, found: pa.Array
) -> pa.Array:
    """Returns the smallest number of rows that each trial should have in a table."""
    if table is not PREDICTIONS:
        return finished[EXPECTED_ROWS[table.name]]
    # Only repeat 0 stores example images, and the configuration says how many. If no grid of a
    # protocol is known, its trials should have images if any of them has.
    requested = _example_images(storage)
    have = pc.unique(finished["protocol_id"].filter(pc.greater(found, 0))).to_pylist()
    protocols = pc.unique(finished["protocol_id"]).to_pylist()
    keeping = [name for name in protocols if requested.get(name, int(name in have)) > 0]
    keeps = pc.and_(_is_in(finished["protocol_id"], keeping), pc.equal(finished["repeat"], 0))
    return pc.and_(keeps, pc.greater(finished["num_test_images"], 0)).cast(pa.int64())


def _example_images(storage: Storage) -> dict[str, int]:
    """Returns `runtime.example_images` of the newest grid of each protocol."""
    found: dict[str, int] = {}
    for document in read_grids(storage).documents:
        runtime = (document.get("config") or {}).get("runtime") or {}
        if isinstance(runtime.get("example_images"), int):
            found[str(document.get("protocol_id"))] = runtime["example_images"]
    return found


def _is_in(values: pa.ChunkedArray, wanted: Iterable[str]) -> pa.ChunkedArray:
    return pc.is_in(values, value_set=pa.array(list(wanted), pa.string()))
