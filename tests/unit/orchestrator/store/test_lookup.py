"""Look-ups of one trial: right after any compaction, and as quick with many parts."""

from __future__ import annotations

import shutil

import pytest

from orchestrator.store import Store
from orchestrator.store.files import last_compaction_path
from orchestrator.store.local import LocalStorage
from orchestrator.store.schema import TRIALS
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.identity import trial_id


def commit(store: Store, number: int) -> str:
    store.commit(make_spec(number), make_result(number), committed_at=NOW)
    return trial_id(make_spec(number))


def test_trial_compacted_by_another_process_is_found(tmp_path):
    mine, other = Store(tmp_path), Store(tmp_path)
    for number in range(3):
        identity = commit(other, number)
        assert mine.find_committed(identity) is not None
        other.compact(NOW)
        assert not list((tmp_path / "trials").glob("part-*"))
        assert mine.find_committed(identity) is not None
        assert mine.find_committed(trial_id(make_spec(number + 1))) is None
        commit(mine, number)  # the first commit won: nothing is written
        assert not list((tmp_path / "trials").glob("part-*"))


def test_compaction_writes_its_note_before_it_deletes_parts(tmp_path, monkeypatch):
    store, noted = Store(tmp_path), []
    identity = commit(store, 0)
    delete = LocalStorage.delete

    def look_first(self: LocalStorage, path: str) -> None:
        if path.startswith("trials/part-"):
            noted.append(self.read(last_compaction_path(TRIALS)))
            assert store.find_committed(identity) is not None
        delete(self, path)
        assert store.find_committed(identity) is not None

    monkeypatch.setattr(LocalStorage, "delete", look_first)
    store.compact(NOW)
    (compacted,) = (tmp_path / "trials").glob("compact-*")
    assert noted == [f"trials/{compacted.name}".encode()]


def test_trial_compacted_without_a_note_is_found(tmp_path):
    identity = commit(Store(tmp_path / "old"), 0)
    Store(tmp_path / "old").compact(NOW)
    shutil.copytree(tmp_path / "old", tmp_path / "new")  # no listing of it is cached
    (tmp_path / "new" / last_compaction_path(TRIALS)).unlink()
    assert Store(tmp_path / "new").find_committed(identity) is not None


@pytest.mark.parametrize("num_parts", [1, 20])
def test_folder_of_parts_is_listed_once_for_many_trials(tmp_path, monkeypatch, num_parts):
    listed = []
    listing = LocalStorage.list

    def counting(self: LocalStorage, folder: str, prefix: str = "") -> object:
        listed.append(folder)
        return listing(self, folder, prefix)

    monkeypatch.setattr(LocalStorage, "list", counting)
    store = Store(tmp_path)
    for number in range(num_parts):
        assert store.find_committed(trial_id(make_spec(number))) is None
        commit(store, number)
    assert listed.count("trials") == 1
