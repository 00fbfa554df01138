"""Reads and compactions of more files than one statement takes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orchestrator.store import TABLES, Store
from orchestrator.store import scan as module
from tests.conftest import ROOT
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec
from workers.identity import trial_id

NUM_TRIALS = 7


def fill(root: Path) -> Store:
    """Makes a store as a killed compaction can leave it: one trial is in files of both kinds."""
    store = Store(root)
    for number in range(NUM_TRIALS):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
        store.record_failure(make_failure(number))
        if number in {1, 3}:
            copies = root / f"before-{number}"
            shutil.copytree(root / "trials", copies)
            store.compact(NOW)
            for path in copies.iterdir():  # both generations of compacted files, and the parts
                shutil.copy(path, root / "trials")
            shutil.rmtree(copies)
    return store


@pytest.mark.parametrize("files_at_once", [1, 2, 3, 5])
def test_rows_do_not_depend_on_files_per_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_at_once: int
) -> None:
    store = fill(tmp_path / "results")
    assert len(list((tmp_path / "results" / "trials").glob("compact-*"))) == 2
    expected = {name: store.read(name) for name in TABLES}
    one = [trial_id(make_spec(2))]
    alone = store.read("epochs", trial_ids=one)
    monkeypatch.setattr(module, "FILES_AT_ONCE", files_at_once)
    for name, rows in expected.items():
        assert store.read(name).equals(rows), name
    assert len(expected["trials"]) == len(store.committed()) == NUM_TRIALS
    assert store.read("epochs", trial_ids=one).equals(alone)


@pytest.mark.parametrize("files_at_once", [1, 3])
def test_compaction_writes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_at_once: int
) -> None:
    whole, parts = fill(tmp_path / "whole"), fill(tmp_path / "parts")
    whole.compact(NOW)
    monkeypatch.setattr(module, "FILES_AT_ONCE", files_at_once)
    parts.compact(NOW)
    for name in TABLES:
        found = [
            sorted(p.name for p in (tmp_path / r / name).glob("*")) for r in ("whole", "parts")
        ]
        assert found[0] == found[1], name


def test_a_torn_part_among_many_is_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(tmp_path)
    monkeypatch.setattr(module, "FILES_AT_ONCE", 2)
    torn = tmp_path / "trials" / f"part-{trial_id(make_spec(5))}.parquet"
    torn.write_bytes(torn.read_bytes()[:-20])
    assert len(store.committed()) == NUM_TRIALS - 1
    (damaged,) = store.results_for_plan().damaged
    assert damaged.path == str(torn)


def test_files_of_older_versions_among_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "results"
    shutil.copytree(ROOT / "tests" / "data" / "store_v2", root)
    store = Store(root)
    for number in range(3):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    expected = {name: store.read(name) for name in TABLES}
    monkeypatch.setattr(module, "FILES_AT_ONCE", 1)
    for name, rows in expected.items():
        assert store.read(name).equals(rows), name
