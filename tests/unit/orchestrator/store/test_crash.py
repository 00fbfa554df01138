"""A kill at any instant: the same commands again end with the same tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.store import TABLES, Store
from orchestrator.store.local import LocalStorage
from tests.unit.orchestrator.store.faults import DyingStorage, Killed
from tests.unit.orchestrator.store.trials import (
    NOW,
    make_candidate,
    make_failure,
    make_result,
    make_spec,
    plain_counts,
)
from workers.identity import trial_id

LATER = NOW + timedelta(days=36_500)
"""When every leftover is old, whatever the clock of this machine says."""


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch):
    """Skips syncs: only processes die here, and a thousand syncs are slow."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def sweep(store: Store, done: Callable[[int], None] = lambda number: None) -> None:
    """Commits, fails and compacts as two runs of a sweep do; skips finished trials."""

    def run(number: int, *, diverged: bool = False) -> None:
        if store.find_committed(trial_id(make_spec(number))) is None:
            store.commit(
                make_spec(number), make_result(number, diverged=diverged), committed_at=NOW
            )
        done(number)

    store.clean_up(LATER)
    run(0, diverged=True)
    store.record_failure(make_failure(2))
    store.commit_candidate(make_candidate(0))
    store.compact(LATER)
    run(2)
    run(1)
    store.compact(LATER)


def tables(root: Path) -> dict[str, pd.DataFrame]:
    store = Store(root)
    return {table: store.read(table) for table in TABLES}


def num_operations(tmp_path: Path) -> int:
    storage = DyingStorage(LocalStorage(tmp_path))
    sweep(Store("", storage=storage))
    return len(storage.operations)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("torn", [False, True], ids=["between", "within"])
def test_kill_at_any_operation_does_not_change_the_results(tmp_path, torn):
    number = num_operations(tmp_path / "whole")
    assert number > 30
    expected = tables(tmp_path / "whole")
    for dies_at in range(1, number + 1):
        root = tmp_path / f"{dies_at}"
        done: list[int] = []
        storage = DyingStorage(LocalStorage(root), dies_at, torn=torn)
        with pytest.raises(Killed):
            sweep(Store("", storage=storage), done.append)
        found = Store(root).committed()
        assert {trial_id(make_spec(index)) for index in done} <= set(found)
        details = Store(root).read("epochs")
        assert set(details["trial_id"]) == set(found)
        sweep(Store(root))
        for table, rows in tables(root).items():
            pd.testing.assert_frame_equal(rows, expected[table])
            count = len(rows)
            assert plain_counts(root, table) == (count, count, rows["trial_id"].nunique())
        assert not list(root.rglob("*.tmp"))


ACTIONS = st.one_of(
    st.tuples(st.just("commit"), st.integers(0, 4)),
    st.tuples(st.just("fail"), st.integers(0, 4)),
    st.tuples(st.sampled_from(["compact", "heal"]), st.just(0)),
)


def act(store: Store, action: str, number: int) -> None:
    if action == "commit":
        diverged = number == 3
        store.commit(make_spec(number), make_result(number, diverged=diverged), committed_at=NOW)
    elif action == "fail":
        store.record_failure(make_failure(number))
    elif action == "compact":
        store.compact(LATER)
    else:
        store.clean_up(LATER)


@pytest.mark.timeout(120)
@settings(deadline=None, max_examples=25)
@example(steps=[(("fail", 0), None), (("commit", 3), 5)])  # dies between a diverged trial's rows
@given(steps=st.lists(st.tuples(ACTIONS, st.none() | st.integers(1, 9)), max_size=8))
def test_random_actions_and_kills_keep_one_row_per_trial(tmp_path_factory, steps):
    root = tmp_path_factory.mktemp("store")
    committed: set[str] = set()
    for (action, number), dies_at in steps:
        try:
            act(Store("", storage=DyingStorage(LocalStorage(root), dies_at)), action, number)
            if action == "commit":
                committed.add(trial_id(make_spec(number)))
        except Killed:
            pass
        found = set(Store(root).committed())
        assert committed <= found
        committed = found
    Store(root).clean_up(LATER)
    for table, rows in tables(root).items():
        key = list(TABLES[table].key)
        assert not rows.duplicated(key).any()
        if table not in ("failures", "predictions", "candidates"):
            assert set(rows["trial_id"]) == committed
        if len(rows):
            count = len(rows)
            assert plain_counts(root, table) == (count, count, rows["trial_id"].nunique())
