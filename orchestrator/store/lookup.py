"""Looks up the rows of one trial without reading whole tables, for workers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from orchestrator.store.codec import decode
from orchestrator.store.files import attempt_of, compacted_paths, last_compaction_path, part_path
from orchestrator.store.rows import Row
from orchestrator.store.schema import FAILURES, TRIALS, TableSchema
from orchestrator.store.storage import Storage, StoreError
from workers.contract import FailureClass


def find_trial_row(storage: Storage, trial_id: str, table: TableSchema = TRIALS) -> Row | None:
    """Returns a trial's row of `trials` (or `candidates`); None if it has none or a torn part.

    The part is read before the note of the last compaction. A compaction deletes a part only
    after it has written and noted its compacted file, so one of the two has the row.

    Raises:
        StoreError: A file cannot be read.
    """
    data = storage.read(part_path(table, trial_id))
    rows = _compacted_rows(storage, table, trial_id)
    if not rows and data is not None:
        rows = [row for row in decode(data) or [] if row["trial_id"] == trial_id]
    return rows[0] if rows else None


def count_failures(storage: Storage, trial_id: str) -> int:
    """Returns the number of a trial's last failed attempt, 0 without one.

    Divergence is a result, not a failed attempt. The name of a torn file gives its attempt.

    Raises:
        StoreError: A file cannot be read.
    """
    attempts = [0]
    for file in storage.list(FAILURES.name, prefix=f"part-{trial_id}-"):
        number = attempt_of(file.name)
        data = storage.read(file.path)
        rows = None if data is None else decode(data)
        if number is not None and not (rows and all_diverged(rows)):
            attempts.append(number)
    rows = _compacted_rows(storage, FAILURES, trial_id)
    attempts += [row["attempt"] for row in rows if not all_diverged([row])]
    return max(attempts)


def all_diverged(rows: list[Row]) -> bool:
    """Says whether all these rows of `failures` are divergences, which are results."""
    return all(row["failure_class"] == FailureClass.DIVERGED for row in rows)


def _compacted_rows(storage: Storage, table: TableSchema, trial_id: str) -> list[Row]:
    while True:
        noted = storage.read(last_compaction_path(table))
        try:
            files = [_indexed(storage, path) for path in _compacted(storage, table, noted)]
        except FileNotFoundError:
            _compacted.cache_clear()  # A compaction replaced the file since the listing.
            continue
        return [row for file in files for row in file.rows(storage, trial_id)]


@functools.lru_cache(maxsize=8)
def _compacted(storage: Storage, table: TableSchema, noted: bytes | None) -> tuple[str, ...]:  # noqa: ARG001
    """Lists the compacted files once per note of a compaction.

    The same folder has the parts of thousands of trials. If every trial listed it, each trial
    would be slower than the one before.
    """
    return compacted_paths(storage, table)


@dataclass(frozen=True)
class _Indexed:
    """The bytes of a compacted file, and the row groups of each trial.

    A worker rarely finds the trial that it looks up. The decoded rows of a hundred thousand trials
    would take a gigabyte of memory in each worker.
    """

    path: str
    data: bytes
    groups: dict[str, list[int]]

    def rows(self, storage: Storage, trial_id: str) -> list[Row]:
        """Returns the rows of a trial."""
        found: list[Row] = []
        for number in self.groups.get(trial_id, []):
            with _readable(storage, self.path), _opened(self.data) as content:
                rows = content.read_row_group(number)
                found += rows.filter(pc.equal(rows["trial_id"], trial_id)).to_pylist()
        return found


@functools.lru_cache(maxsize=4)
def _indexed(storage: Storage, path: str) -> _Indexed:
    """Reads a compacted file; its name is a digest of its content, so it can be cached."""
    data = storage.read(path)
    if data is None:
        raise FileNotFoundError(path)
    groups: dict[str, list[int]] = {}
    with _readable(storage, path), _opened(data) as content:
        for number in range(content.num_row_groups):
            ids = content.read_row_group(number, columns=["trial_id"])["trial_id"]
            for trial_id in ids.unique().to_pylist():
                groups.setdefault(trial_id, []).append(number)
    return _Indexed(path, data, groups)


def _opened(data: bytes) -> parquet.ParquetFile:
    return parquet.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)


@contextmanager
def _readable(storage: Storage, path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        msg = (
            f"{storage.name}/{path}: cannot be read ({reason}); restore it from a copy, or let "
            "podium verify --quarantine move it aside"
        )
        raise StoreError(msg) from error
