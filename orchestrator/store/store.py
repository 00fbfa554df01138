"""The store: one atomic commit per trial, and tables with one row per key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.records import (
    CandidateRow,
    CommittedTrial,
    DamagedFile,
    FailureRecord,
    FailureRow,
    ResultsForPlan,
)
from orchestrator.store import rows
from orchestrator.store.codec import encode_part
from orchestrator.store.commit import commit_trial, write_failure
from orchestrator.store.compact import CompactionSummary, clean_up_tables, compact_tables
from orchestrator.store.documents import SavedCheckpoints, checkpoint_path, load_grids, save_grid
from orchestrator.store.drivers import Claims, RunRecord, load_runs, run_path, save_run
from orchestrator.store.feed import Feed
from orchestrator.store.files import part_path, trial_id_of
from orchestrator.store.kept_weights import read_weights
from orchestrator.store.lookup import count_failures, find_trial_row
from orchestrator.store.missing_details import NEEDED_OF_TRIALS, missing_details
from orchestrator.store.opening import open_storage
from orchestrator.store.quarantine import quarantine
from orchestrator.store.query import load, run_query
from orchestrator.store.query_result import QueryResult
from orchestrator.store.scan import Scan, scan
from orchestrator.store.schema import CANDIDATES, FAILURES, TABLES, VIEWS
from orchestrator.store.storage import Storage, StoreError
from orchestrator.store.verify import Verification, verify
from orchestrator.store.views import (
    candidate_rows,
    failure_rows,
    known_columns,
    refuse_newer,
    rows_of,
    scan_trials,
    to_pandas,
)
from workers.contract import Checkpoints, TrialResult, TrialSpec
from workers.identity import trial_id as identity_of

if TYPE_CHECKING:
    import pandas as pd


class Store:
    """The results at one location.

    A trial is finished exactly when its row in `trials` is visible. The row appears in one step,
    after the rows that it refers to are durable. The first commit of a trial wins, and a second one
    changes nothing. Any number of processes can use one location at the same time.
    """

    def __init__(self, location: str | Path, *, storage: Storage | None = None) -> None:
        """Opens a location without reading or writing.

        Args:
            location: Path, `file://` or `s3://` URI.
            storage: The storage of the files; by default, the one of the location.

        Raises:
            StoreError: The location cannot be understood or opened.
        """
        self._storage = storage if storage is not None else open_storage(location)

    @property
    def location(self) -> str:
        """The location with its options, to open this store again; it may contain credentials."""
        return self._storage.location

    @property
    def name(self) -> str:
        """The location without options and credentials, for messages."""
        return self._storage.name

    def commit(
        self,
        spec: TrialSpec,
        result: TrialResult,
        *,
        committed_at: datetime,
        attempt: int | None = None,
    ) -> None:
        """Makes a trial finished: its details first, then its row in `trials`.

        A diverged trial also gets a row in `failures`. A trial that is already finished stays as it
        is.

        Args:
            spec: The specification of the trial.
            result: The result of the trial.
            committed_at: Time of the commit, with a time zone.
            attempt: Number of the attempt; by default one more than the last failed one.

        Raises:
            StoreError: A file cannot be written; the trial is not committed.
            ValueError: `committed_at` has no time zone.
        """
        trial_id = identity_of(spec)
        if self.find_committed(trial_id) is not None:
            return
        if attempt is None:
            attempt = self.num_failures(trial_id) + 1
        commit_trial(self._storage, spec, result, attempt=attempt, committed_at=committed_at)

    def record_failure(self, record: FailureRecord) -> None:
        """Adds a row to `failures`, or replaces the row of the same trial and attempt.

        Raises:
            StoreError: The file cannot be written.
            ValueError: `failed_at` has no time zone.
        """
        write_failure(self._storage, record)

    def commit_candidate(self, row: CandidateRow) -> None:
        """Adds or replaces the row of a finished training of a search; raises as `commit`."""
        data = encode_part(CANDIDATES, [rows.candidate_values(row)])
        self._storage.write(part_path(CANDIDATES, row.trial_id), data)

    def candidates(self, search_id: str | None = None) -> tuple[CandidateRow, ...]:
        """Returns the finished trainings of one search, or of all; raises as `committed`."""
        found = (rows.candidate_of(row) for row in candidate_rows(self._storage).to_pylist())
        return tuple(row for row in found if search_id in (None, row.search_id))

    def find_candidate(self, trial_id: str) -> CandidateRow | None:
        """Returns one finished training of a search, or None; raises as `find_committed`."""
        row = find_trial_row(self._storage, trial_id, CANDIDATES)
        return None if row is None else rows.candidate_of(row)

    def committed(self) -> dict[str, CommittedTrial]:
        """Returns the finished trials by trial id, in the order of the table.

        Raises:
            StoreError: The table cannot be read, or a newer version wrote it.
        """
        return _committed(scan_trials(self._storage))

    def results_for_plan(self) -> ResultsForPlan:
        """Returns the rows that a plan is made from; reads `trials` once.

        Raises:
            StoreError: A table cannot be read, or a newer version wrote it.
        """
        trials = scan_trials(self._storage)
        found = failure_rows(self._storage, trials).to_pylist()
        return ResultsForPlan(
            committed=_committed(trials),
            failures=tuple(rows.failure_row_of(row) for row in found),
            damaged=tuple(self._damaged(trials)),
        )

    def find_committed(self, trial_id: str) -> CommittedTrial | None:
        """Returns one finished trial, or None, without reading the whole table.

        Raises:
            StoreError: A file cannot be read, or a newer version wrote it.
        """
        row = find_trial_row(self._storage, trial_id)
        if row is None:
            return None
        refuse_newer(self._storage, row["schema_version"])
        return rows.committed_trial(row)

    def failures(self) -> tuple[FailureRow, ...]:
        """Returns every failed attempt, and one row for each diverged trial.

        Raises:
            StoreError: The table cannot be read, or a newer version wrote it.
        """
        found = failure_rows(self._storage).to_pylist()
        return tuple(rows.failure_row_of(row) for row in found)

    def num_failures(self, trial_id: str) -> int:
        """Returns the number of a trial's last failed attempt, 0 without one.

        Divergence is a result, not a failed attempt.

        Raises:
            StoreError: A file cannot be read.
        """
        return count_failures(self._storage, trial_id)

    def damaged(self) -> list[DamagedFile]:
        """Returns the torn parts of `trials` and `failures` whose rows no other file holds.

        Raises:
            StoreError: A table cannot be read at all.
        """
        return list(self._damaged(scan_trials(self._storage)))

    def _damaged(self, trials: Scan) -> Iterator[DamagedFile]:
        for item in (*trials.lost(), *scan(self._storage, FAILURES).lost()):
            yield DamagedFile(
                path=f"{self.name}/{item.file.path}",
                trial_id=trial_id_of(item.file.name.removeprefix("part-")),
                reason=item.reason,
            )

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        *,
        trial_ids: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Returns a table, one row per key, sorted; also an empty table has all columns and types.

        Nullable integer columns have pandas' nullable type. The table has no details of trials that
        are not finished and no rows of torn parts of `trials` and `failures` (see `damaged`).

        Args:
            table: Name of the table.
            columns: Columns to read, in this order; all by default.
            trial_ids: Trials to read; all by default.

        Raises:
            StoreError: Table or column is unknown, a file is torn, or a newer version wrote it.
        """
        declared = TABLES.get(table)
        if declared is None:
            msg = f"{table!r}: unknown table; known: {', '.join(TABLES)}"
            raise StoreError(msg)
        wanted = known_columns(declared, columns)
        return to_pandas(declared, rows_of(self._storage, declared, wanted, trial_ids))

    def view(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        trial_ids: Collection[str] | None = None,
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Returns a table or the view `grid`, as `read` does, with notes on missing rows.

        Args:
            name: Name of the table, or `grid`.
            columns: Columns to read, in this order; all by default.
            trial_ids: Trials to read; all by default.

        Raises:
            StoreError: There are no results, or an error of `read`.
        """
        wanted = known_columns(VIEWS[name], columns)
        found, notes = load(self._storage, {name: wanted}, trial_ids)
        return to_pandas(VIEWS[name], found[name]), notes

    def missing_details(self, trial_ids: Collection[str] | None = None) -> tuple[str, ...]:
        """Returns a note for each table in which rows of these trials are missing; all by default.

        Raises:
            StoreError: The results cannot be read.
        """
        trials = scan_trials(self._storage, NEEDED_OF_TRIALS)
        return missing_details(self._storage, trials.rows, trial_ids=trial_ids)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> QueryResult:
        """Runs one SELECT statement over the tables and the view `grid`, read-only.

        Args:
            sql: The statement; DuckDB's SQL.
            parameters: Values of `$name` in the statement.

        Raises:
            StoreError: The statement cannot be run, or the results cannot be read.
        """
        return run_query(self._storage, sql, parameters)

    def checkpoints(self, trial_id: str) -> Checkpoints:
        """Returns the checkpoints of a trial."""
        return SavedCheckpoints(self._storage, checkpoint_path(trial_id))

    def weights(self, trial_id: str) -> bytes | None:
        """Returns the kept weights of a trial in the format of safetensors, or None.

        Raises:
            StoreError: The file cannot be read, or has another digest than the row of its trial.
        """
        row = find_trial_row(self._storage, trial_id)
        digest = row and row.get("weights_sha256")
        return read_weights(self._storage, trial_id, digest) if digest else None

    def delete_checkpoint(self, trial_id: str) -> None:
        """Removes the checkpoint of a trial, if there is one.

        Raises:
            StoreError: The file cannot be removed.
        """
        self._storage.delete(checkpoint_path(trial_id))

    def save_grid(self, document: Mapping[str, Any]) -> None:
        """Writes or replaces the document of a grid; its name is its `grid_id`.

        Raises:
            StoreError: The file cannot be written.
        """
        save_grid(self._storage, document)

    def grids(self) -> list[dict[str, Any]]:
        """Returns the grid documents, sorted by `saved_at`.

        Raises:
            StoreError: A file cannot be read or is torn.
        """
        return load_grids(self._storage)

    def save_run(self, run: RunRecord) -> None:
        """Writes or replaces the document of a driver.

        Raises:
            StoreError: The file cannot be written.
        """
        save_run(self._storage, run)

    def delete_run(self, run_id: str) -> None:
        """Removes the document of a driver, if there is one.

        Raises:
            StoreError: The file cannot be removed.
        """
        self._storage.delete(run_path(run_id))

    def runs(self) -> list[RunRecord]:
        """Returns the documents of drivers, the oldest first; some may no longer run.

        Raises:
            StoreError: The folder cannot be read.
        """
        return load_runs(self._storage)

    def claims(self, run_id: str) -> Claims:
        """Returns a driver's claims on trials."""
        return Claims(self._storage, run_id)

    def feed(self) -> Feed:
        """Returns a reader that follows these results while drivers write them."""
        return Feed(self._storage)

    def compact(self, now: datetime) -> CompactionSummary:
        """Removes leftovers of killed processes, then merges the files of each table into one.

        Raises:
            StoreError: A file cannot be read or written; nothing is lost.
        """
        with self._storage.lock("compact"):
            self.clean_up(now)
            return compact_tables(self._storage)

    def verify(self, now: datetime) -> Verification:
        """Reads every page of every file and returns all problems; changes nothing.

        Raises:
            StoreError: The results cannot be read, or a newer version wrote the results.
        """
        return verify(self._storage, now)

    def quarantine(self, found: Verification) -> tuple[str, ...]:
        """Moves the broken files of `verify` aside; the next run trains their trials again.

        Returns:
            The new paths of the files, relative to the results.

        Raises:
            StoreError: A file cannot be read or written; nothing is lost.
        """
        with self._storage.lock("compact"):
            return quarantine(self._storage, found)

    def clean_up(self, now: datetime) -> tuple[str, ...]:
        """Removes files left by killed processes and finishes interrupted compactions.

        Removes temporary files and details of unfinished trials, both if older than an hour at
        `now`, checkpoints of finished trials, and claims of drivers that no longer run.

        Returns:
            The removed files.

        Raises:
            StoreError: A file cannot be read or written; nothing is lost.
        """
        finished = scan_trials(self._storage).part_keys()
        finished |= scan(self._storage, CANDIDATES, columns=["trial_id"]).part_keys()
        return clean_up_tables(self._storage, finished, now)


def _committed(trials: Scan) -> dict[str, CommittedTrial]:
    found = trials.rows.select(list(CommittedTrial.__dataclass_fields__))
    # A batch at a time: a hundred thousand rows as dictionaries take half a gigabyte.
    batches = (batch.to_pylist() for batch in found.to_batches(max_chunksize=10_000))
    return {row["trial_id"]: rows.committed_trial(row) for batch in batches for row in batch}
