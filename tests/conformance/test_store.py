"""The guarantees of the store, for every kind of storage."""

import threading
from datetime import timedelta

import pytest

from orchestrator.store import TABLES, Store, StoreError
from orchestrator.store.files import part_path
from tests.conformance.conftest import Backend
from tests.unit.orchestrator.store.faults import DyingStorage, Killed
from tests.unit.orchestrator.store.trials import (
    NOW,
    make_candidate,
    make_failure,
    make_result,
    make_spec,
)
from workers.identity import trial_id

LATER = NOW + timedelta(days=36_500)


@pytest.fixture
def store(backend: Backend) -> Store:
    return Store(backend.location)


def commit(store: Store, *numbers: int) -> None:
    for number in numbers:
        store.commit(make_spec(number), make_result(number), committed_at=NOW)


def test_empty_location_is_an_empty_store(store):
    assert store.committed() == {}
    assert all(len(store.read(table)) == 0 for table in TABLES)
    assert store.clean_up(NOW) == ()


def test_finished_trial_is_in_every_view_after_compaction(store, backend):
    commit(store, 0, 1)
    store.commit(make_spec(3), make_result(3, diverged=True), committed_at=NOW)
    store.record_failure(make_failure(4))
    for number in (5, 6):
        store.commit_candidate(make_candidate(number, number))
    before = {table: store.read(table) for table in TABLES}
    assert [len(rows) for rows in before.values()] == [3, 6, 6, 1, 2, 2]
    for table, rows in before.items():
        assert len(backend.plain_read(table)) == len(rows)
    summary = store.compact(NOW)
    assert [done.num_files_after for done in summary.tables] == [1] * 6
    for table, rows in before.items():
        assert store.read(table).equals(rows)
        assert backend.plain_read(table)["trial_id"].tolist() == rows["trial_id"].tolist()


def test_a_store_opens_again_by_its_location(store):
    commit(store, 0)
    assert Store(store.location).committed() == store.committed()
    assert store.find_committed(trial_id(make_spec(0))) is not None


def test_the_first_commit_wins(store, backend):
    commit(store, 0)
    store.compact(NOW)
    commit(Store(backend.location), 0, 0)
    assert len(backend.plain_read("trials")) == 1


def test_torn_files_are_reported_and_replaced(store, storage, backend):
    commit(store, 0, 1)
    path = part_path(TABLES["trials"], trial_id(make_spec(0)))
    storage.write(path, (storage.read(path) or b"")[:-5])
    assert [damage.path for damage in store.damaged()] == [f"{store.name}/{path}"]
    assert list(store.committed()) == [trial_id(make_spec(1))]
    commit(store, 0)
    assert len(backend.plain_read("trials")) == 2
    images = part_path(TABLES["images"], trial_id(make_spec(0)))
    storage.write(images, b"")
    with pytest.raises(StoreError, match=f"{store.name}/{images}: cannot be read"):
        store.read("images")


def test_foreign_files_are_named(store, storage):
    storage.write("trials/notes.txt", b"")
    with pytest.raises(StoreError, match=f"{store.name}/trials/notes.txt: not a file of this"):
        store.committed()


def test_checkpoints_and_grids_are_kept(store):
    checkpoints = store.checkpoints(trial_id(make_spec(0)))
    assert checkpoints.load() is None
    checkpoints.save(b"state")
    assert checkpoints.load() == b"state"
    commit(store, 0)
    assert store.clean_up(NOW) == (f"_checkpoints/{trial_id(make_spec(0))}.pt",)
    store.save_grid({"grid_id": "abc", "saved_at": "2026", "name": "quickstart"})
    assert [grid["name"] for grid in store.grids()] == ["quickstart"]


@pytest.mark.parametrize("dies_at", [1, 3, 5, 6, 7, 9, 12])
def test_kill_loses_nothing_and_does_not_change_the_results(store, storage, backend, dies_at):
    def sweep(dying: Store) -> None:
        commit(dying, 0)
        dying.compact(LATER)
        commit(dying, 1)
        dying.compact(LATER)

    with pytest.raises(Killed):
        sweep(Store("", storage=DyingStorage(storage, dies_at)))
    found = set(store.committed())
    assert (trial_id(make_spec(0)) in found) == (dies_at > 4)
    sweep(store)
    assert found <= set(store.committed())
    for table, num_rows in (("trials", 2), ("epochs", 4), ("images", 4), ("predictions", 1)):
        assert len(store.read(table)) == len(backend.plain_read(table)) == num_rows


def test_commits_and_compactions_at_once_lose_nothing(backend):
    numbers = range(12)

    def commit_some(first: int) -> None:
        commit(Store(backend.location), *numbers[first::2])

    writers = [threading.Thread(target=commit_some, args=(first,)) for first in (0, 1)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        Store(backend.location).compact(NOW)
    for writer in writers:
        writer.join()
    store = Store(backend.location)
    store.compact(NOW)
    assert len(store.committed()) == len(backend.plain_read("trials")) == 12
    assert len(backend.plain_read("epochs")) == 24
