import os
import threading
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from orchestrator.store import SCHEMA_VERSION, TABLES, Store, StoreError
from orchestrator.store.codec import encode_rows
from orchestrator.store.compact import STALE, compact_tables
from orchestrator.store.files import compacted_path
from orchestrator.store.local import LocalStorage
from orchestrator.store.scan import scan
from orchestrator.store.schema import TRIALS
from tests.unit.orchestrator.store.trials import (
    NOW,
    make_candidate,
    make_failure,
    make_result,
    make_spec,
    plain_counts,
)
from workers.identity import trial_id


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path)
    for number in range(3):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    store.record_failure(make_failure(5))
    store.commit_candidate(make_candidate(0))
    return store


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_table_becomes_one_file_with_the_same_rows(store, tmp_path):
    before = {table: store.read(table) for table in TABLES}
    summary = {done.table: done for done in store.compact(NOW).tables}
    assert summary["trials"].num_files_before == 3
    assert summary["epochs"].num_rows == 6
    assert (summary["predictions"].num_files_before, summary["predictions"].num_rows) == (2, 2)
    assert (summary["failures"].num_files_before, summary["failures"].num_rows) == (1, 1)
    for table, rows in before.items():
        assert summary[table].num_files_after == len(names(tmp_path / table)) == 1
        assert summary[table].bytes_after == next((tmp_path / table).iterdir()).stat().st_size
        assert store.read(table).equals(rows)
    assert plain_counts(tmp_path) == (3, 3, 3)


def test_compacting_again_changes_no_file(store, tmp_path):
    store.compact(NOW)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    summary = store.compact(NOW)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before
    assert [done.num_rows for done in summary.tables] == [3, 6, 6, 2, 1, 1]


def test_compacted_file_does_not_depend_on_the_order_of_commits(store, tmp_path):
    other = Store(tmp_path / "other")
    for number in (2, 0):
        other.commit(make_spec(number), make_result(number), committed_at=NOW)
    other.compact(NOW)
    other.commit(make_spec(1), make_result(1), committed_at=NOW)
    other.record_failure(make_failure(5))
    other.commit_candidate(make_candidate(0))
    other.compact(NOW)
    store.compact(NOW)
    for table in TABLES:
        assert names(tmp_path / table) == names(tmp_path / "other" / table)


def test_compacted_file_is_sorted_and_has_the_schema(store, tmp_path):
    store.compact(NOW)
    (path,) = (tmp_path / "trials").iterdir()
    schema = pq.read_schema(path)
    assert schema.field("train_seconds").metadata[b"unit"] == b"s"
    assert schema.metadata[b"podium.schema_version"] == str(SCHEMA_VERSION).encode()
    rows = pq.read_table(path, columns=list(TRIALS.order)).to_pylist()
    assert rows == sorted(rows, key=lambda row: tuple(row.values()))


def test_part_of_a_compacted_trial_is_removed(store, tmp_path):
    """A slower cluster with the same grid can write a part after a compaction."""
    parts = {path: path.read_bytes() for path in tmp_path.rglob("part-*")}
    store.compact(NOW)
    for path, data in parts.items():
        path.write_bytes(data)
    assert plain_counts(tmp_path) == (6, 6, 3)
    assert len(store.committed()) == len(store.read("trials")) == 3
    assert len(store.read("epochs")) == 6
    store.clean_up(NOW)
    assert plain_counts(tmp_path) == (3, 3, 3)
    assert not list(tmp_path.rglob("part-*"))


def test_a_torn_part_of_a_compacted_trial_is_removed(store, tmp_path):
    store.compact(NOW)
    for table in ("trials", "images"):
        (tmp_path / table / f"part-{trial_id(make_spec(0))}.parquet").write_bytes(b"torn")
    assert store.damaged() == []
    assert len(store.read("images")) == 6
    store.clean_up(NOW)
    assert plain_counts(tmp_path) == (3, 3, 3)
    assert plain_counts(tmp_path, "images") == (6, 6, 3)


def test_overlapping_compacted_files_are_merged(store, tmp_path):
    """Two compactions at once can leave this on an object store."""
    found = scan(LocalStorage(tmp_path), TRIALS)
    for start in (0, 1):
        data = encode_rows(found.rows.slice(start, 2))
        (tmp_path / compacted_path(TRIALS, data)).write_bytes(data)
    assert len(store.read("trials")) == 3
    store.clean_up(NOW)
    assert plain_counts(tmp_path) == (3, 3, 3)


def test_details_of_an_unfinished_trial_are_not_compacted(store, tmp_path):
    (tmp_path / "trials" / f"part-{trial_id(make_spec(1))}.parquet").unlink()
    store.compact(NOW)
    assert f"part-{trial_id(make_spec(1))}.parquet" in names(tmp_path / "epochs")
    store.commit(make_spec(1), make_result(1), committed_at=NOW)
    store.compact(NOW)
    assert plain_counts(tmp_path, "epochs") == (6, 6, 3)


def test_old_leftovers_are_removed(store, tmp_path):
    identity = trial_id(make_spec(9))
    left = [
        tmp_path / "trials" / f".part-{identity}.parquet.0123abcd.tmp",
        tmp_path / "_grids" / ".grid.json.0123abcd.tmp",
        tmp_path / "epochs" / f"part-{identity}.parquet",
    ]
    kept = [
        tmp_path / "trials" / ".nfs0001",
        tmp_path / "_checkpoints" / f"{identity}.pt",
    ]
    for path in (*left, *kept):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    finished = tmp_path / "_checkpoints" / f"{trial_id(make_spec(0))}.pt"
    finished.write_bytes(b"")
    assert store.clean_up(NOW + STALE) == (f"_checkpoints/{finished.name}",)
    removed = store.clean_up(NOW + STALE + timedelta(seconds=1))
    assert sorted(removed) == sorted(path.relative_to(tmp_path).as_posix() for path in left)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_commits_during_compactions_are_never_lost(tmp_path):
    numbers = range(40)

    def commit_all() -> None:
        store = Store(tmp_path)
        for number in numbers:
            store.commit(make_spec(number), make_result(number), committed_at=NOW)

    def compact_on() -> None:
        while writer.is_alive():
            compact_tables(LocalStorage(tmp_path))

    writer = threading.Thread(target=commit_all)
    compactors = [threading.Thread(target=compact_on) for _ in range(2)]
    writer.start()
    for thread in compactors:
        thread.start()
    seen = 0
    while writer.is_alive():
        now_seen = len(Store(tmp_path).committed())
        assert now_seen >= seen
        seen = now_seen
    for thread in (writer, *compactors):
        thread.join()
    Store(tmp_path).compact(NOW)
    assert plain_counts(tmp_path) == (40, 40, 40)
    assert plain_counts(tmp_path, "epochs") == (80, 80, 40)
    assert len(Store(tmp_path).read("predictions")) == 20


def test_altered_compacted_file_is_refused_by_compaction(store, tmp_path):
    """Without a check, a flipped bit would get a right checksum in the new file."""
    store.compact(NOW)
    (path,) = (tmp_path / "images").glob("compact-*")
    data = path.read_bytes()
    path.write_bytes(data[:60] + bytes([data[60] ^ 4]) + data[61:])
    store.compact(NOW)  # nothing to merge, nothing is written
    store.commit(make_spec(9), make_result(9), committed_at=NOW)
    with pytest.raises(StoreError, match=f"{path}: was altered.*--quarantine"):
        store.compact(NOW)
    store.quarantine(store.verify(NOW))
    store.compact(NOW)
    assert set(store.read("images")["trial_id"]) == {trial_id(make_spec(9))}
