"""Follows results while drivers write them: reads each file once and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.records import CommittedTrial, FailureRow
from orchestrator.store import rows
from orchestrator.store.documents import load_grids
from orchestrator.store.drivers import RunRecord, load_runs
from orchestrator.store.files import GRIDS, list_table, trial_id_of
from orchestrator.store.missing_details import missing_details
from orchestrator.store.scan import scan
from orchestrator.store.schema import EPOCHS, FAILURES, TRIALS, TableSchema
from orchestrator.store.storage import Storage
from orchestrator.store.views import refuse_newer, to_pandas

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_CURVE = ("epoch", "train_loss", "val_dice", "val_iou")


class _Follower:
    """The rows of one table so far; only files that it has not seen are read."""

    def __init__(self, storage: Storage, table: TableSchema) -> None:
        self._storage = storage
        self._table = table
        self._compacts: set[str] = set()
        self.tables: list[pa.Table] = []
        self.known: set[str] = set()

    def rows(self) -> pa.Table:
        """Returns the rows read so far."""
        import pyarrow as pa

        return pa.concat_tables([self._table.arrow_schema.empty_table(), *self.tables])

    def refresh(self) -> bool:
        """Reads new files and says whether they had new rows."""
        files = list_table(self._storage, self._table)
        compacts = {file.path for file in files.compacted}
        if compacts <= self._compacts and self.known.issuperset(files.parts):
            return False
        # A compacted file seen for the first time is read whole: it may hold unseen rows.
        found = scan(self._storage, self._table, part_counts=lambda key: key not in self.known)
        refuse_newer(self._storage, _newest(found.rows))
        self._compacts |= {file.path for file in found.files.compacted}
        keys = _part_keys(self._table, found.rows)
        fresh = [key not in self.known for key in keys]
        self.known.update(keys)
        if any(fresh):
            self.tables.append(found.rows.filter(fresh))
        return any(fresh)


class Feed:
    """The current content of a store. Only one thread may use it at a time."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._trials = _Follower(storage, TRIALS)
        self._failures = _Follower(storage, FAILURES)
        self._grid_files: tuple[object, ...] = ()
        self.grids: list[dict[str, Any]] = []
        self.runs: list[RunRecord] = []

    def refresh(self) -> bool:
        """Reads the files that are new since the last call.

        Returns:
            Whether there is a new trial, failure or grid; `runs` is read again in any case.

        Raises:
            StoreError: A file that is needed cannot be read, or a newer version wrote it.
        """
        grid_files = self._storage.list(GRIDS)
        new_grid = grid_files != self._grid_files
        if new_grid:
            self.grids, self._grid_files = load_grids(self._storage), grid_files
        changes = [self._trials.refresh(), self._failures.refresh()]
        self.runs = load_runs(self._storage)
        return new_grid or any(changes)

    def committed(self) -> dict[str, CommittedTrial]:
        """Returns the finished trials by trial id."""
        names = list(CommittedTrial.__dataclass_fields__)
        found = (row for table in self._trials.tables for row in table.select(names).to_pylist())
        return {row["trial_id"]: rows.committed_trial(row) for row in found}

    def failures(self) -> tuple[FailureRow, ...]:
        """Returns the failed attempts, the oldest first."""
        found = (row for table in self._failures.tables for row in table.to_pylist())
        return tuple(sorted(map(rows.failure_row_of, found), key=lambda row: row.failed_at))

    def trials(self) -> pd.DataFrame:
        """Returns table `trials` as `Store.read` does, in any order."""
        return to_pandas(TRIALS, self._trials.rows())

    def missing_details(self) -> tuple[str, ...]:
        """Returns a note if the rows of `epochs` of completed trials are missing.

        Raises:
            StoreError: The results cannot be read.
        """
        return missing_details(self._storage, self._trials.rows(), (EPOCHS,))

    def curve(self, trial_id: str) -> list[dict[str, Any]]:
        """Returns the epochs of one finished trial: epoch, train_loss, val_dice, val_iou.

        Raises:
            StoreError: The epochs cannot be read.
        """
        if trial_id not in self._trials.known:
            return []
        found = scan(
            self._storage,
            EPOCHS,
            columns=[*EPOCHS.key, *_CURVE[1:]],
            trial_ids=[trial_id],
            part_counts=lambda key: trial_id_of(key) == trial_id,
        )
        epochs = (row for row in found.rows.select(list(_CURVE)).to_pylist())
        return sorted(epochs, key=lambda row: row["epoch"])


def _part_keys(table: TableSchema, found: pa.Table) -> list[str]:
    columns: Iterable[list[Any]] = (found.column(name).to_pylist() for name in table.key)
    return ["-".join(map(str, key)) for key in zip(*columns, strict=True)]


def _newest(found: pa.Table) -> int:
    versions = (
        found.column("schema_version").to_pylist() if "schema_version" in found.column_names else []
    )
    return max(versions, default=0)
