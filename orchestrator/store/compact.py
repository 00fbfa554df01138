"""Compacts tables, and removes files that killed processes left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from orchestrator.store.codec import compacted_file, decode
from orchestrator.store.drivers import stale_claims
from orchestrator.store.files import (
    CHECKPOINTS,
    COMPACTED,
    GRIDS,
    RUNS,
    WEIGHTS,
    compacted_path,
    is_as_named,
    last_compaction_path,
    list_table,
    trial_id_of,
)
from orchestrator.store.kept_weights import unowned_weights
from orchestrator.store.lookup import all_diverged
from orchestrator.store.scan import Unreadable, connect_sorting, scan
from orchestrator.store.schema import (
    CANDIDATES,
    DETAIL_TABLES,
    FAILURES,
    TABLES,
    TRIALS,
    TableSchema,
)
from orchestrator.store.storage import Buffer, FileInfo, Storage, StoreError
from workers.durable import TEMPORARY

STALE = timedelta(hours=1)
"""Age from which no process can still be writing a file: a commit takes well under a second."""


@dataclass(frozen=True, kw_only=True)
class TableCompaction:
    """Files, bytes and rows of one table before and after its compaction."""

    table: str
    num_files_before: int
    num_files_after: int
    bytes_before: int
    bytes_after: int
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class CompactionSummary:
    """The compaction of each table."""

    tables: tuple[TableCompaction, ...]


def compact_tables(storage: Storage) -> CompactionSummary:
    """Compacts every table.

    `trials` comes first, and the details of a trial are compacted only after its row. The details
    of a trial with a torn part of `trials` are therefore still parts, which its next training
    overwrites.

    Raises:
        StoreError: A file cannot be read or written; nothing is lost.
    """
    trials = compact_table(storage, TRIALS)
    finished = _compacted_trials(storage)
    details = (compact_table(storage, table, finished) for table in DETAIL_TABLES)
    others = (compact_table(storage, table) for table in (FAILURES, CANDIDATES))
    return CompactionSummary(tables=(trials, *details, *others))


def compact_table(
    storage: Storage, table: TableSchema, finished: set[str] | None = None
) -> TableCompaction:
    """Merges a table's files into one new file, and deletes the old ones once that is durable.

    Only files that were read are deleted. Commits and other compactions at the same time are
    therefore safe: a compaction deletes only files whose rows are in its new file.

    Args:
        storage: Where the files are.
        table: What to compact.
        finished: The trials whose parts are merged. All by default; details need this set.

    Raises:
        StoreError: A file cannot be read or written; nothing is lost.
    """
    before = list_table(storage, table).all()

    def part_counts(key: str) -> bool:
        return finished is None or trial_id_of(key) in finished

    with _Merge(table) as merge:
        found = scan(
            storage,
            table,
            part_counts=part_counts,
            consume=merge.consume,
            connect=connect_sorting,
        )
        lost = found.lost()
        if table in DETAIL_TABLES:
            refuse_lost(storage, lost)
        torn = tuple(item.file for item in found.unreadable if item not in lost)
        replaced = (*found.read, *torn)
        if replaced != found.files.compacted or len(replaced) > 1:
            _refuse_altered(storage, found.files.compacted)
            _replace(storage, table, merge.data, replaced)
    after = list_table(storage, table).all()
    return TableCompaction(
        table=table.name,
        num_files_before=len(before),
        num_files_after=len(after),
        bytes_before=sum(file.size_bytes for file in before),
        bytes_after=sum(file.size_bytes for file in after),
        num_rows=merge.num_rows,
    )


class _Merge(ExitStack):
    """Writes the rows of a read into one compacted file and keeps only their keys in memory."""

    def __init__(self, table: TableSchema) -> None:
        super().__init__()
        self._table = table
        self.num_rows = 0
        self.data: Buffer = b""

    def consume(self, reader: pa.RecordBatchReader) -> pa.Table:
        """Writes the rows; returns the distinct keys of their parts."""
        names = ["trial_id", "attempt"] if "attempt" in self._table.key else ["trial_id"]
        keys = pa.schema([reader.schema.field(name) for name in names]).empty_table()
        self.num_rows = 0

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal keys
            for batch in reader:
                self.num_rows += batch.num_rows
                fresh = pa.Table.from_batches([batch.select(names)])
                keys = pa.concat_tables([keys, fresh.group_by(names).aggregate([])])
                yield batch

        self.data = self.enter_context(compacted_file(self._table, batches()))
        return keys


def _compacted_trials(storage: Storage) -> set[str]:
    found = scan(storage, TRIALS, columns=["trial_id"], part_counts=lambda _: False)
    return found.part_keys()


def _replace(
    storage: Storage, table: TableSchema, data: Buffer, replaced: tuple[FileInfo, ...]
) -> None:
    path = compacted_path(table, data)
    if path not in {file.path for file in replaced}:
        storage.write(path, data)
    storage.write(last_compaction_path(table), path.encode())
    for file in replaced:
        if file.path != path:
            storage.delete(file.path)


def _refuse_altered(storage: Storage, compacted: tuple[FileInfo, ...]) -> None:
    """Refuses an altered compacted file: the file that replaces it would hide the damage."""
    with storage.local_copies([file.path for file in compacted]) as copies:
        for file in compacted:
            copy = copies.get(file.path)
            if copy is not None and copy.exists() and not is_as_named(copy, file.name):
                msg = (
                    f"{storage.name}/{file.path}: was altered after it was written, because its "
                    "content does not match the digest in its name; restore it from a copy, or let "
                    "podium verify --quarantine keep its intact rows"
                )
                raise StoreError(msg)


def refuse_lost(storage: Storage, lost: tuple[Unreadable, ...]) -> None:
    """Refuses details of a finished trial that are torn.

    Raises:
        StoreError: A file of details is torn; the message says how to train its trial again.
    """
    for item in lost:
        trial_part = f"{TRIALS.name}/{item.file.name}"
        msg = (
            f"{storage.name}/{item.file.path}: cannot be read ({item.reason}); restore it "
            f"from a copy, or delete it together with {trial_part} (podium verify --quarantine "
            "moves both aside) and run again: that one trial is then trained again"
        )
        raise StoreError(msg)


def clean_up_tables(storage: Storage, finished: set[str], now: datetime) -> tuple[str, ...]:
    """Removes files left by killed processes and finishes interrupted compactions.

    Removes these files:

    - temporary files and documents of drivers, if older than an hour;
    - details, kept weights and divergences of trials without a row in `trials`, if older than an
      hour;
    - checkpoints of finished trials;
    - claims of drivers that no longer run.

    Args:
        storage: Where the files are.
        finished: The finished trials.
        now: The current time, with a time zone; ages are counted from it.

    Returns:
        The removed files.

    Raises:
        StoreError: A file cannot be read or written; nothing is lost.
    """
    removed = tuple(file.path for file in _leftovers(storage, finished, now))
    for path in removed:
        storage.delete(path)
    for table in TABLES.values():
        if _has_a_key_twice(storage, table):
            compacted = _compacted_trials(storage) if table in DETAIL_TABLES else None
            compact_table(storage, table, compacted)
    return removed


def _leftovers(storage: Storage, finished: set[str], now: datetime) -> Iterator[FileInfo]:
    for folder in (*TABLES, CHECKPOINTS, COMPACTED, GRIDS, RUNS, WEIGHTS):
        for file in storage.list(folder, prefix="."):
            if TEMPORARY.fullmatch(file.name) and _is_stale(file, now):
                yield file
    for file in storage.list(RUNS):
        if _is_stale(file, now):
            yield file
    yield from stale_claims(storage, now)
    for file in storage.list(CHECKPOINTS):
        if file.name.removesuffix(".pt") in finished:
            yield file
    yield from unowned_weights(storage, finished, now - STALE)
    for table in DETAIL_TABLES:
        for key, file in list_table(storage, table).parts.items():
            if trial_id_of(key) not in finished and _is_stale(file, now):
                yield file
    for key, file in list_table(storage, FAILURES).parts.items():
        # A diverged trial's row in `failures` is written before its row in `trials`.
        if trial_id_of(key) not in finished and _is_stale(file, now):
            rows = decode(storage.read(file.path) or b"")
            if rows and all_diverged(rows):
                yield file


def _is_stale(file: FileInfo, now: datetime) -> bool:
    return file.modified_at is not None and file.modified_at < now - STALE


def _has_a_key_twice(storage: Storage, table: TableSchema) -> bool:
    files = list_table(storage, table)
    if len(files.compacted) > 1:
        return True
    if not files.compacted or not files.parts:
        return False
    compacted = scan(storage, table, columns=table.key, part_counts=lambda _: False)
    return not compacted.part_keys().isdisjoint(files.parts)
