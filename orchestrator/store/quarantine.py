"""Moves broken files aside, so that the rest is a consistent store; deletes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from orchestrator.store.codec import compacted_file, encode_part
from orchestrator.store.files import compacted_path, last_compaction_path
from orchestrator.store.rows import Row
from orchestrator.store.scan import BATCH_ROWS, connect_sorting
from orchestrator.store.schema import CANDIDATES, DETAIL_TABLES, FAILURES, TRIALS, TableSchema
from orchestrator.store.storage import Storage
from orchestrator.store.verify import Verification
from orchestrator.store.verify_file import FileFacts

QUARANTINE = "quarantine"
"""Folder of the results that no reader reads."""


def quarantine(storage: Storage, found: Verification) -> tuple[str, ...]:
    """Moves every broken file, and all files of every broken trial, to `quarantine/<same path>`.

    A compacted file that is partly broken or holds a broken trial is first replaced by one with
    its other rows. A file whose labels contradict its specifications is replaced by one with the
    right labels. `trials` comes first, so that after a kill no trial with moved details counts as
    finished.

    Returns:
        The new paths of the moved files.

    Raises:
        StoreError: A file cannot be read or written; files that are moved already stay there.
    """
    moved = []
    broken = found.broken_trials
    for table in (TRIALS, *DETAIL_TABLES, FAILURES, CANDIDATES):
        for facts in found.facts[table.name]:
            concerned = _own_trials(facts) if table in (FAILURES, CANDIDATES) else broken
            if _is_concerned(facts, concerned):
                moved.append(_copy_aside(storage, facts.file.path))
                rest = _keep_the_rest(storage, table, facts, concerned)
                if facts.is_compacted:
                    # Workers list compacted files again when this note changes.
                    storage.write(last_compaction_path(table), rest.encode())
                if rest != facts.file.path:
                    storage.delete(facts.file.path)
    known = {facts.file.path for files in found.facts.values() for facts in files}
    for problem in found.problems:
        if problem.path not in known and problem.kind != "special":
            moved += _move_all(storage, problem.path)
    return tuple(moved)


def _own_trials(facts: FileFacts) -> frozenset[str]:
    """Returns the trials that the problems of a file break; wrong labels can be corrected."""
    return frozenset(
        trial for one in facts.problems if one.kind != "labels" for trial in one.trial_ids
    )


def _is_concerned(facts: FileFacts, broken: frozenset[str]) -> bool:
    if facts.problems:
        return True
    return not broken.isdisjoint((*facts.num_rows, *facts.owner))


def _keep_the_rest(
    storage: Storage, table: TableSchema, facts: FileFacts, broken: frozenset[str]
) -> str:
    """Writes a file without broken rows and with right labels; returns its path or ""."""
    only_labels = all(one.kind == "labels" for one in facts.problems)
    if facts.is_lost or broken.issuperset(facts.num_rows):
        return ""
    if not (facts.is_compacted or only_labels):
        return ""
    with storage.local_copies([facts.file.path]) as copies:
        batches = _good_rows(table, copies[facts.file.path], facts, broken)
        if not facts.is_compacted:
            rows = [row for batch in batches for row in batch.to_pylist()]
            storage.write(facts.file.path, encode_part(table, rows))
            return facts.file.path
        with _sorted(table, batches, facts) as found, compacted_file(table, found) as data:
            path = compacted_path(table, data)
            storage.write(path, data)
    return path


def _good_rows(
    table: TableSchema, path: Path, facts: FileFacts, broken: frozenset[str]
) -> Iterator[pa.RecordBatch]:
    out = pa.array(sorted(broken), pa.string())
    with parquet.ParquetFile(path, page_checksum_verification=True) as content:
        for number in range(content.num_row_groups):
            if number not in facts.bad_groups:
                rows = content.read_row_group(number)
                kept = rows.filter(pc.invert(pc.is_in(rows["trial_id"], value_set=out)))
                whole = pa.table(
                    [_corrected(kept, field, facts.corrections) for field in table.arrow_schema],
                    schema=table.arrow_schema,
                )
                yield from whole.combine_chunks().to_batches()


def _corrected(rows: pa.Table, field: pa.Field, corrections: Mapping[str, Row]) -> pa.Array:
    """Returns a column in its declared type, with right labels; null if the file lacks it."""
    if field.name not in rows.column_names:
        return pa.nulls(rows.num_rows, field.type)
    column = rows[field.name].cast(field.type)
    right = {
        trial: values[field.name] for trial, values in corrections.items() if field.name in values
    }
    if not right:
        return column
    pairs = zip(rows["trial_id"].to_pylist(), column.to_pylist(), strict=True)
    return pa.array([right.get(trial, value) for trial, value in pairs], field.type)


@contextmanager
def _sorted(
    table: TableSchema, batches: Iterator[pa.RecordBatch], facts: FileFacts
) -> Iterator[Iterable[pa.RecordBatch]]:
    """Gives rows in the order of the table, which depends on the labels."""
    if not facts.corrections:
        yield batches
        return
    with connect_sorting() as link:
        link.register("rows", pa.RecordBatchReader.from_batches(table.arrow_schema, batches))
        found: Any = link.sql(f"SELECT * FROM rows ORDER BY {', '.join(table.order)}")
        yield found.to_arrow_reader(BATCH_ROWS).cast(table.arrow_schema)


def _move(storage: Storage, path: str) -> str:
    target = _copy_aside(storage, path)
    storage.delete(path)
    return target


def _copy_aside(storage: Storage, path: str) -> str:
    """Copies a file; an earlier copy with the same name is kept under that name."""
    data = storage.read(path)
    target, number = f"{QUARANTINE}/{path}", 1
    if data is None:
        return target
    while (there := storage.read(target)) is not None and there != data:
        number += 1
        target = f"{QUARANTINE}/{path}.{number}"
    storage.write(target, data)
    return target


def _move_all(storage: Storage, path: str) -> list[str]:
    """Moves a file, or all files of a folder, and removes the empty folder."""
    if storage.exists(path):
        return [_move(storage, path)]
    moved = [new for entry in storage.list(path) for new in _move_all(storage, entry.path)]
    storage.delete_folder(path)
    return moved
