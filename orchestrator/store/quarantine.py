"""Moves aside what is broken, so that the rest is a whole store again; nothing is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from orchestrator.store.codec import dense_file
from orchestrator.store.examine import FileFacts
from orchestrator.store.files import compact_path, last_compaction_path
from orchestrator.store.schema import CANDIDATES, DETAIL_TABLES, FAILURES, TRIALS, Table
from orchestrator.store.storage import Storage
from orchestrator.store.verify import Verification

QUARANTINE = "quarantine"
"""Folder below the results that no reader looks into."""


def quarantine(storage: Storage, found: Verification) -> tuple[str, ...]:
    """Moves every broken file, and all files of every broken trial, to `quarantine/<same path>`.

    A compacted file that is broken in part, or holds a broken trial, is replaced by one with the
    rest before it is moved. The trials come first: a trial whose details are touched does not
    count any more by then, so that a kill in between leaves nothing that looks finished.

    Returns:
        Where the moved files are now.

    Raises:
        StoreError: A file cannot be read or written; what was moved so far is in its place.
    """
    moved = []
    broken = found.broken_trials
    for table in (TRIALS, *DETAIL_TABLES, FAILURES, CANDIDATES):
        alone = table in (FAILURES, CANDIDATES)
        concerned = frozenset[str]() if alone else broken
        for facts in found.facts[table.name]:
            if _is_concerned(facts, concerned):
                rest = _keep_the_rest(storage, table, facts, concerned)
                if facts.is_compact:
                    # Workers look for compacted files again once this note differs.
                    storage.write(last_compaction_path(table), rest.encode())
                moved.append(_move(storage, facts.file.path))
    known = {facts.file.path for files in found.facts.values() for facts in files}
    for problem in found.problems:
        if problem.path not in known:
            moved += _move_all(storage, problem.path)
    return tuple(moved)


def _is_concerned(facts: FileFacts, broken: frozenset[str]) -> bool:
    if facts.findings:
        return True
    return not broken.isdisjoint((*facts.num_rows, *facts.owner))


def _keep_the_rest(storage: Storage, table: Table, facts: FileFacts, broken: frozenset[str]) -> str:
    """Writes a compacted file without the broken rows; returns its path, empty without one."""
    if facts.is_lost or not facts.is_compact:
        return ""
    if table in (FAILURES, CANDIDATES):
        broken = frozenset(trial for one in facts.findings for trial in one.trial_ids)
    if broken.issuperset(facts.num_rows):
        return ""
    with storage.local_copies([facts.file.path]) as copies:
        rows = _good_rows(copies[facts.file.path], facts.bad_groups, broken)
        with dense_file(table, rows) as data:
            path = compact_path(table, data)
            storage.write(path, data)
    return path


def _good_rows(
    path: Path, bad_groups: set[int], broken: frozenset[str]
) -> Iterator[pa.RecordBatch]:
    out = pa.array(sorted(broken), pa.string())
    with parquet.ParquetFile(path, page_checksum_verification=True) as content:
        for number in range(content.num_row_groups):
            if number not in bad_groups:
                rows = content.read_row_group(number)
                kept = rows.filter(pc.invert(pc.is_in(rows["trial_id"], value_set=out)))
                yield from kept.combine_chunks().to_batches()


def _move(storage: Storage, path: str) -> str:
    """Copies a file, then removes it; an earlier one of that name is kept beside."""
    data = storage.read(path)
    target, number = f"{QUARANTINE}/{path}", 1
    if data is None:
        return target
    while (there := storage.read(target)) is not None and there != data:
        number += 1
        target = f"{QUARANTINE}/{path}.{number}"
    storage.write(target, data)
    storage.delete(path)
    return target


def _move_all(storage: Storage, path: str) -> list[str]:
    """Moves a file, or all files in a folder, which is then gone."""
    if storage.exists(path):
        return [_move(storage, path)]
    moved = [new for entry in storage.list(path) for new in _move_all(storage, entry.path)]
    storage.delete_folder(path)
    return moved
