"""The store: one atomic commit a trial, and tables with one row a key in every view."""

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
from orchestrator.store.compact import CompactionSummary, clean_up_tables, compact_tables
from orchestrator.store.documents import SavedCheckpoints, checkpoint_path, load_grids, save_grid
from orchestrator.store.drivers import Claims, RunRecord, load_runs, run_path, save_run
from orchestrator.store.feed import Feed
from orchestrator.store.files import part_path, trial_id_of
from orchestrator.store.lookup import count_failures, find_trial_row
from orchestrator.store.missing_details import NEEDED_OF_TRIALS, missing_details
from orchestrator.store.opening import open_storage
from orchestrator.store.quarantine import quarantine
from orchestrator.store.query import load, run_query
from orchestrator.store.query_result import QueryResult
from orchestrator.store.scan import Scan, scan
from orchestrator.store.schema import CANDIDATES, FAILURES, TABLES, TRIALS, VIEWS
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
from workers.contract import Checkpoints, TrialResult, TrialSpec, TrialStatus
from workers.identity import trial_id as identity_of

if TYPE_CHECKING:
    import pandas as pd


class Store:
    """The results of a sweep below one location.

    A trial is finished exactly when its row in `trials` is visible; that row appears at once and
    whole, after the rows it refers to are durable. The first commit of a trial wins: a second
    one changes nothing. Any number of processes may use one location at the same time.
    """

    def __init__(self, location: str | Path, *, storage: Storage | None = None) -> None:
        """Opens a location; nothing is read or written yet.

        Args:
            location: Path, `file://` or `s3://` URI.
            storage: What keeps the files, if not what the location says.

        Raises:
            StoreError: The location cannot be understood or opened.
        """
        self._storage = storage if storage is not None else open_storage(location)

    @property
    def location(self) -> str:
        """What opens this store again; it may hold credentials, so never show it."""
        return self._storage.location

    @property
    def name(self) -> str:
        """The location as messages show it, without credentials and options."""
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

        A diverged trial also gets its row in `failures`. A trial that is already committed is
        left as it is.

        Args:
            spec: What was asked.
            result: The answer.
            committed_at: With a time zone.
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
        row = rows.trial_row(spec, result, attempt=attempt, committed_at=committed_at)
        data = encode_part(TRIALS, [row])
        for name, found in rows.detail_rows(spec, result).items():
            path = part_path(TABLES[name], trial_id)
            if found:
                self._storage.write(path, encode_part(TABLES[name], found))
            else:
                # An interrupted attempt with other options may have left some.
                self._storage.delete(path)
        if result.status is TrialStatus.DIVERGED:
            self.record_failure(
                rows.divergence(spec, result, attempt=attempt, failed_at=committed_at)
            )
        self._storage.write(part_path(TRIALS, trial_id), data)

    def record_failure(self, record: FailureRecord) -> None:
        """Adds a row to `failures`; the same trial and attempt again replaces it.

        Raises:
            StoreError: The file cannot be written.
            ValueError: `failed_at` has no time zone.
        """
        path = part_path(FAILURES, record.trial_id, record.attempt)
        self._storage.write(path, encode_part(FAILURES, [rows.failure_row(record)]))

    def commit_candidate(self, row: CandidateRow) -> None:
        """Makes one training of a search finished; again replaces its row; raises as `commit`."""
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
        """Returns every failed attempt, and the row beside each diverged trial.

        Raises:
            StoreError: The table cannot be read, or a newer version wrote it.
        """
        found = failure_rows(self._storage).to_pylist()
        return tuple(rows.failure_row_of(row) for row in found)

    def num_failures(self, trial_id: str) -> int:
        """Returns the number of a trial's last failed attempt, 0 without one.

        Divergence is a result and no failed attempt.

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
        """Returns a table, one row a key, sorted; an empty one has its columns and types too.

        Whole numbers that may be missing have pandas' nullable type. Details of trials that are
        not finished are left out, and torn parts of `trials` and `failures` (see `damaged`).

        Args:
            table: Name of the table.
            columns: Columns wanted, in this order; all by default.
            trial_ids: Trials wanted; all by default.

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
        """Returns a table, or `grid`, as `read` does, and notes on rows that are not there.

        Args:
            name: Name of the table, or `grid`.
            columns: Columns wanted, in this order; all by default.
            trial_ids: Trials wanted; all by default.

        Raises:
            StoreError: There are no results, or as `read` says.
        """
        wanted = known_columns(VIEWS[name], columns)
        found, notes = load(self._storage, {name: wanted}, trial_ids)
        return to_pandas(VIEWS[name], found[name]), notes

    def missing_details(self, trial_ids: Collection[str] | None = None) -> tuple[str, ...]:
        """Returns a sentence for each table in which completed trials lack rows; all by default.

        Raises:
            StoreError: The results cannot be read.
        """
        trials = scan_trials(self._storage, NEEDED_OF_TRIALS)
        return missing_details(self._storage, trials.rows, trial_ids=trial_ids)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> QueryResult:
        """Answers one SELECT statement over the tables and `grid`; reads only.

        Args:
            sql: The statement; DuckDB's SQL.
            parameters: Values of `$name` in it.

        Raises:
            StoreError: The statement cannot be run, or the results cannot be read.
        """
        return run_query(self._storage, sql, parameters)

    def checkpoints(self, trial_id: str) -> Checkpoints:
        """Returns where a trial keeps its state."""
        return SavedCheckpoints(self._storage, checkpoint_path(trial_id))

    def delete_checkpoint(self, trial_id: str) -> None:
        """Removes a trial's state, if it has any.

        Raises:
            StoreError: The file cannot be removed.
        """
        self._storage.delete(checkpoint_path(trial_id))

    def save_grid(self, document: Mapping[str, Any]) -> None:
        """Keeps a grid under its `grid_id`; the same grid again replaces it.

        Raises:
            StoreError: The file cannot be written.
        """
        save_grid(self._storage, document)

    def grids(self) -> list[dict[str, Any]]:
        """Returns the grids, the one saved last (by `saved_at`) at the end.

        Raises:
            StoreError: A file cannot be read or is torn.
        """
        return load_grids(self._storage)

    def save_run(self, run: RunRecord) -> None:
        """Keeps what a driver is doing; the same run again replaces it.

        Raises:
            StoreError: The file cannot be written.
        """
        save_run(self._storage, run)

    def delete_run(self, run_id: str) -> None:
        """Removes a driver's document, if there is one.

        Raises:
            StoreError: The file cannot be removed.
        """
        self._storage.delete(run_path(run_id))

    def runs(self) -> list[RunRecord]:
        """Returns what drivers say they are doing, the oldest first; some may be gone.

        Raises:
            StoreError: The folder cannot be read.
        """
        return load_runs(self._storage)

    def claims(self, run_id: str) -> Claims:
        """Returns a driver's claims on trials."""
        return Claims(self._storage, run_id)

    def feed(self) -> Feed:
        """Returns a reader that follows these results cheaply while others write them."""
        return Feed(self._storage)

    def compact(self, now: datetime) -> CompactionSummary:
        """Merges the files of each table into one, after healing.

        Raises:
            StoreError: A file cannot be read or written; nothing is lost.
        """
        with self._storage.lock("compact"):
            self.clean_up(now)
            return compact_tables(self._storage)

    def verify(self, now: datetime) -> Verification:
        """Reads every page of every file and says what is wrong; changes nothing.

        Raises:
            StoreError: The place cannot be read, or a newer version wrote the results.
        """
        return verify(self._storage, now)

    def quarantine(self, found: Verification) -> tuple[str, ...]:
        """Moves aside what `verify` found broken, so that its trials are to be run again.

        Returns:
            Where the files are now, relative to the results.

        Raises:
            StoreError: A file cannot be read or written; nothing is lost.
        """
        with self._storage.lock("compact"):
            return quarantine(self._storage, found)

    def clean_up(self, now: datetime) -> tuple[str, ...]:
        """Removes what killed processes left behind and finishes interrupted compactions.

        Removed are temporary files and details of trials that never got their row, both older
        than an hour at `now`, checkpoints of finished trials and claims of drivers that are gone.

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
