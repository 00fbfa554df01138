"""Looks up one trial without reading whole tables: what a worker asks around its trial."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from orchestrator.store.codec import decode
from orchestrator.store.files import attempt_of, compacts, last_compaction_path, part_path
from orchestrator.store.rows import Row
from orchestrator.store.schema import FAILURES, TRIALS, TableSchema
from orchestrator.store.storage import Storage, StoreError
from workers.contract import FailureClass


def find_trial_row(storage: Storage, trial_id: str, table: TableSchema = TRIALS) -> Row | None:
    """Returns a trial's row of `trials` (or `candidates`), or None; a torn part is no row.

    The part is looked for first: compaction deletes it only once the compacted file is there and
    noted, so the look at the note that follows a vain look leads to that file.

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

    Divergence is a result and no failed attempt. A torn file counts by its name.

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
    """Says whether all rows of `failures` are those of divergences, which are results."""
    return all(row["failure_class"] == FailureClass.DIVERGED for row in rows)


def _compacted_rows(storage: Storage, table: TableSchema, trial_id: str) -> list[Row]:
    while True:
        noted = storage.read(last_compaction_path(table))
        try:
            files = [_indexed(storage, path) for path in _compacts(storage, table, noted)]
        except FileNotFoundError:
            _compacts.cache_clear()  # Compacted away since the listing.
            continue
        return [row for file in files for row in file.rows(storage, trial_id)]


@functools.lru_cache(maxsize=8)
def _compacts(storage: Storage, table: TableSchema, noted: bytes | None) -> tuple[str, ...]:  # noqa: ARG001
    """Lists the compacted files, once for each note of a compaction.

    The parts of thousands of trials lie in the same folder: to list it around every trial would
    make each one slower than the last.
    """
    return compacts(storage, table)


@dataclass(frozen=True)
class _Indexed:
    """A compacted file as it is on the disk, and in which of its row groups a trial is.

    A worker asks for trials that are hardly ever there; rows of a hundred thousand trials, ready
    for use, would take a gigabyte of each worker's memory.
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
    """Reads a compacted file; its name is a digest of its content, so the answer stays true."""
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
