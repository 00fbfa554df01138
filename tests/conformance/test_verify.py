"""`verify` finds problems, `quarantine` moves files aside, and the next run trains the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.store import TABLES, Store, StoreError
from orchestrator.store.codec import encode_part
from orchestrator.store.files import compacted_path, part_path
from orchestrator.store.storage import Storage
from tests.conformance.conftest import Backend
from tests.unit.orchestrator.store.trials import (
    NOW,
    make_candidate,
    make_failure,
    make_result,
    make_spec,
)
from workers.identity import trial_id

LATER = NOW + timedelta(days=36_500)
LOCAL = pytest.mark.parametrize("backend", ["local"], indirect=True)
COUNT = 4
IDS = [trial_id(make_spec(number)) for number in range(COUNT)]


def sweep(store: Store) -> None:
    """Commits the missing trials."""
    for number in range(COUNT):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)


@pytest.fixture
def store(backend: Backend) -> Store:
    store = Store(backend.location)
    sweep(store)
    store.record_failure(make_failure(5))
    store.save_grid({"grid_id": "abc", "saved_at": "2026"})
    return store


def part(table: str, number: int) -> str:
    return part_path(TABLES[table], IDS[number])


def change(storage: Storage, path: str, new: Callable[[bytes], bytes]) -> None:
    storage.write(path, new(storage.read(path) or b""))


def rows_changed(table: str, **changes: Any) -> Callable[[bytes], bytes]:
    """Writes the rows of a part again with other values."""
    import pyarrow as pa
    from pyarrow import parquet

    def change(data: bytes) -> bytes:
        rows = parquet.read_table(pa.BufferReader(data)).to_pylist()
        return encode_part(TABLES[table], [row | changes for row in rows])

    return change


def without(*names: str) -> Callable[[bytes], bytes]:
    """Writes the rows of a part again without some columns."""
    import pyarrow as pa
    from pyarrow import parquet

    def change(data: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        parquet.write_table(parquet.read_table(pa.BufferReader(data)).drop_columns(names), sink)
        return bytes(sink.getvalue().to_pybytes())

    return change


def flip(data: bytes) -> bytes:
    """Flips a bit in the values of the first page, which plain readers do not detect."""
    return data[:60] + bytes([data[60] ^ 4]) + data[61:]


def test_written_store_has_no_problems(store: Store) -> None:
    for _ in range(2):
        found = store.verify(LATER)
        assert found.problems == ()
        assert found.num_trials == COUNT
        store.compact(NOW)
    assert found.num_files == 6


BROKEN: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "torn trial": ("trials", "unreadable", lambda data: data[:-5]),
    "empty trial": ("trials", "unreadable", lambda data: b""),
    "flipped trial": ("trials", "unreadable", flip),
    "torn images": ("images", "unreadable", lambda data: data[: len(data) // 2]),
    "flipped images": ("images", "unreadable", flip),
    "flipped epochs": ("epochs", "unreadable", flip),
    "torn pictures": ("predictions", "unreadable", lambda data: data[9:]),
    "text": ("epochs", "unreadable", lambda data: b"a,b\n1,2\n"),
    "other table": ("images", "schema", lambda data: encode_part(TABLES["epochs"], [])),
    "no rows": ("images", "schema", lambda data: encode_part(TABLES["images"], [])),
    "other trial's": ("images", "identity", rows_changed("images", trial_id=IDS[3])),
    "other spec": (
        "trials", "identity", rows_changed("trials", spec=json.dumps(make_spec(3).to_json())),
    ),
    "no spec": ("trials", "identity", rows_changed("trials", spec="{")),
    "twice": ("epochs", "duplicate", rows_changed("epochs", epoch=1)),
    "no dice": ("trials", "schema", without("dice")),
    "no message": ("trials", "schema", without("message")),
    "no pictures": ("predictions", "schema", without("logit_mean", "mask_png")),
    "no number": ("trials", "values", rows_changed("trials", dice=math.nan)),
    "huge": ("trials", "values", rows_changed("trials", dice=9e300)),
    "negative": ("trials", "values", rows_changed("trials", recall_pooled=-0.25)),
    "infinite": ("trials", "values", rows_changed("trials", train_seconds=math.inf)),
    "no value": ("trials", "values", rows_changed("trials", iou=None)),
    "plausible": ("trials", "values", rows_changed("trials", dice=0.5)),
    "nearly": ("trials", "values", rows_changed("trials", dice_pooled=1e-6)),
    "no epoch": ("trials", "values", rows_changed("trials", best_epoch=3)),
    "other best": ("trials", "values", rows_changed("trials", best_val_dice=0.75)),
    "no images": ("trials", "values", rows_changed("trials", num_test_images=-2)),
    "wrong curve": ("epochs", "values", rows_changed("epochs", val_dice=1.5)),
    "lost curve": ("epochs", "values", rows_changed("epochs", train_loss=math.nan)),
    "fewer pixels": ("images", "values", rows_changed("images", fp=-1)),
    "other status": ("trials", "identity", rows_changed("trials", status="done")),
    "deep spec": ("trials", "identity", rows_changed("trials", spec="[" * 200_000)),
}  # fmt: skip


ON_S3 = ("flipped trial", "torn images", "other trial's")


@pytest.mark.parametrize(
    ("backend", "name"),
    [*(("local", name) for name in BROKEN), *(("s3", name) for name in ON_S3)],
    indirect=["backend"],
)
def test_broken_part_is_reported_moved_and_trained_again(
    store: Store, storage: Storage, backend: Backend, name: str
) -> None:
    table, kind, new = BROKEN[name]
    whole = {name: store.read(name) for name in ("trials", "epochs", "images", "predictions")}
    path = part(table, 0)
    change(storage, path, new)
    broken = storage.read(path)
    found = store.verify(LATER)
    assert (path, kind) in {(problem.path, problem.kind) for problem in found.problems}
    assert found.broken_trials == {IDS[0]}
    assert found.num_trials == COUNT - 1
    moved = store.quarantine(found)
    assert f"quarantine/{path}" in moved
    assert storage.read(f"quarantine/{path}") == broken
    assert set(store.committed()) == set(IDS[1:])
    assert store.verify(LATER).problems == ()
    sweep(store)
    for table, rows in whole.items():
        assert store.read(table).equals(rows)
    store.compact(LATER)
    assert store.verify(LATER).problems == ()
    assert len(backend.plain_read("images")) == 2 * COUNT


@pytest.mark.parametrize("table", ["epochs", "images"])
def test_trial_without_details_is_trained_again(store: Store, storage: Storage, table: str) -> None:
    storage.delete(part(table, 1))
    (problem,) = store.verify(LATER).problems
    assert (problem.path, problem.kind) == (part("trials", 1), "incomplete")
    assert problem.problem.startswith(f"0 rows in {table}, but num_")
    store.quarantine(store.verify(LATER))
    assert set(store.committed()) == set(IDS) - {IDS[1]}
    sweep(store)
    assert store.verify(LATER).problems == ()


@pytest.mark.parametrize("table", ["trials", "epochs", "images", "failures"])
def test_broken_compacted_file_costs_only_its_trials(
    store: Store, storage: Storage, table: str
) -> None:
    store.compact(NOW)
    (file,) = storage.list(table)
    change(storage, file.path, lambda data: data[:-100])
    found = store.verify(LATER)
    kinds = {problem.path: problem.kind for problem in found.problems}
    assert kinds[file.path] == "unreadable"
    store.quarantine(found)
    assert store.verify(LATER).problems == ()
    assert len(store.committed()) == (COUNT if table == "failures" else 0)
    sweep(store)
    store.compact(NOW)
    assert store.verify(LATER).problems == ()
    assert len(store.read("images")) == 2 * COUNT


def test_a_flipped_bit_costs_only_its_row_group(
    store: Store, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.codec.ROW_GROUP_SIZE", 3)
    store.compact(NOW)
    (file,) = storage.list("images")
    change(storage, file.path, flip)
    found = store.verify(LATER)
    first, second = store.read("trials")["trial_id"][:2]
    assert found.broken_trials == {first, second}, "the group of three rows holds two trials"
    store.quarantine(found)
    assert store.verify(LATER).problems == ()
    assert set(store.committed()) == set(IDS) - {first, second}
    assert len(store.read("images")) == 4
    sweep(store)
    store.compact(LATER)
    assert store.verify(LATER).problems == ()


def test_older_compacted_file_is_checked_against_its_name(store: Store, storage: Storage) -> None:
    """In a file without page checksums, one altered bit makes all rows unusable."""
    import pyarrow as pa

    from orchestrator.store.codec import encode_rows

    table = TABLES["trials"]
    rows = pa.Table.from_pandas(store.read("trials"), schema=table.arrow_schema)
    store.compact(NOW)
    for old in storage.list("trials"):
        storage.delete(old.path)
    data = encode_rows(rows)
    path = compacted_path(table, data)
    storage.write(path, data)
    assert store.verify(LATER).problems == ()
    storage.write(path, data[:300] + bytes([data[300] ^ 1]) + data[301:])
    assert {p.path for p in store.verify(LATER).problems if p.kind == "unreadable"} == {path}


def test_verify_reports_foreign_files_grids_and_orphans(store: Store, storage: Storage) -> None:
    storage.write("images/notes.txt", b"mine")
    storage.write("trials/more/x.parquet", b"mine")
    storage.write("_grids/abc.json", b"{")
    for number in (0, 1):
        storage.delete(part("trials", number))
    found = store.verify(LATER)
    kinds = [(problem.kind, problem.path) for problem in found.problems]
    assert ("foreign", "images/notes.txt") in kinds
    assert ("foreign", "trials/more") in kinds
    assert ("grid", "_grids/abc.json") in kinds
    assert ("orphan", part("images", 1)) in kinds
    assert not [kind for kind, _ in kinds if kind == "incomplete"]
    moved = store.quarantine(found)
    assert storage.read("quarantine/images/notes.txt") == b"mine"
    assert storage.read("quarantine/trials/more/x.parquet") == b"mine"
    assert len(moved) == len(set(moved)) == 3 + 3 + 2
    assert store.verify(LATER).problems == ()
    assert len(store.committed()) == 2


def test_new_details_are_no_orphans(store: Store, storage: Storage) -> None:
    storage.delete(part("trials", 0))
    now = storage.list("images")[0].modified_at
    assert now is not None
    assert store.verify(now + timedelta(minutes=30)).problems == ()
    assert store.verify(now + timedelta(hours=2)).problems != ()


def test_torn_part_of_a_compacted_trial_costs_nothing(store: Store, storage: Storage) -> None:
    data = storage.read(part("trials", 0)) or b""
    store.compact(NOW)
    storage.write(part("trials", 0), data[:-9])
    found = store.verify(LATER)
    assert (len(found.problems), found.broken_trials) == (1, frozenset())
    store.quarantine(found)
    assert len(store.committed()) == COUNT


def test_second_quarantine_keeps_files_of_the_first(store: Store, storage: Storage) -> None:
    for content in (b"one", b"two"):
        storage.write(part("images", 0), content)
        store.quarantine(store.verify(LATER))
        sweep(store)
    assert storage.read(f"quarantine/{part('images', 0)}") == b"one"
    assert storage.read(f"quarantine/{part('images', 0)}.2") == b"two"


@LOCAL
def test_metrics_that_contradict_images_are_found(store: Store, storage: Storage) -> None:
    change(storage, part("images", 1), rows_changed("images", tp=50))
    (problem,) = store.verify(LATER).problems
    assert (problem.path, problem.kind) == (part("trials", 1), "values")
    # By hand: tp 50 and fp = fn = 99 give 100 / 298; the trial says 2 / 200.
    assert problem.problem.startswith(f"dice is 0.01, but its test images give {100 / 298}")


@LOCAL
def test_epochs_that_do_not_start_at_one_are_found(store: Store, storage: Storage) -> None:
    def later(data: bytes) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        rows = parquet.read_table(pa.BufferReader(data)).to_pylist()
        return encode_part(TABLES["epochs"], [row | {"epoch": row["epoch"] + 1} for row in rows])

    change(storage, part("epochs", 1), later)
    (problem,) = store.verify(LATER).problems
    assert problem.problem.startswith("epochs 2 to 3, but num_epochs is 2")


@LOCAL
def test_a_metric_of_a_diverged_trial_is_found(store: Store, storage: Storage) -> None:
    store.commit(make_spec(7), make_result(7, diverged=True), committed_at=NOW)
    path = part_path(TABLES["trials"], trial_id(make_spec(7)))
    change(storage, path, rows_changed("trials", dice=0.5))
    (problem,) = store.verify(LATER).problems
    assert problem.problem.startswith("dice is 0.5, but the trial diverged")


@LOCAL
@pytest.mark.parametrize(
    "changes", [{"best_val_dice": 2.0}, {"status": "done"}, {"number": -1}, {"spec": "{}"}]
)
def test_only_the_wrong_candidate_is_moved(
    store: Store, storage: Storage, changes: dict[str, Any]
) -> None:
    store.commit_candidate(make_candidate(0, 6))
    assert store.verify(LATER).problems == ()
    path = part_path(TABLES["candidates"], trial_id(make_spec(6)))
    change(storage, path, rows_changed("candidates", **changes))
    found = store.verify(LATER)
    assert {problem.path for problem in found.problems} == {path}
    assert found.broken_trials == frozenset()
    store.quarantine(found)
    assert store.candidates() == ()
    assert store.verify(LATER).problems == ()


def test_a_newer_version_is_refused(store: Store, storage: Storage) -> None:
    change(storage, part("trials", 0), rows_changed("trials", schema_version=99))
    with pytest.raises(StoreError, match=r"newer Podium .*schema version 99.*upgrade"):
        store.verify(LATER)
