"""Kept weights: written before the row, checked by their digest, never without an owner."""

import dataclasses
import os
from datetime import timedelta

import pytest

from orchestrator.store import Store, StoreError
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.identity import trial_id

LATER = NOW + timedelta(days=365)
SPEC = make_spec(0)
PATH = f"weights/{trial_id(SPEC)}.safetensors"


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "results")
    for number, weights in ((0, b"some weights"), (1, None)):
        result = dataclasses.replace(make_result(number), weights=weights)
        found.commit(make_spec(number), result, committed_at=NOW)
    return found


def test_weights_come_back_also_after_compaction(store, tmp_path):
    for _ in range(2):
        assert store.weights(trial_id(SPEC)) == b"some weights"
        assert store.weights(trial_id(make_spec(1))) is None
        assert store.verify(LATER).problems == ()
        store.compact(LATER)
    digests = store.read("trials", ["weights_sha256"])["weights_sha256"]
    assert sorted(digests.isna()) == [False, True]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: file.unlink(), "are missing"),
        (lambda file: file.write_bytes(b"other weights"), "differ from those"),
    ],
)
def test_lost_or_changed_weights_are_named_and_the_numbers_stay(store, tmp_path, change, problem):
    change(tmp_path / "results" / PATH)
    with pytest.raises(StoreError, match=f"{PATH}: .*{problem}.*; restore it from a copy"):
        store.weights(trial_id(SPEC))
    found = store.verify(LATER)
    assert [(one.path, one.kind, problem in one.problem) for one in found.problems] == [
        (PATH, "weights", True)
    ]
    assert found.num_trials == 2
    store.quarantine(found)
    assert len(store.committed()) == 2


def test_weights_of_a_killed_commit_are_removed_after_an_hour(store, tmp_path):
    left = tmp_path / "results" / "weights" / f"{trial_id(make_spec(2))}.safetensors"
    mine = left.with_name("my copy.safetensors")
    for file in (left, mine):
        file.write_bytes(b"of no trial")
        os.utime(file, (NOW.timestamp(), NOW.timestamp()))
    assert store.verify(NOW + timedelta(minutes=59)).problems == ()
    (problem,) = store.verify(NOW + timedelta(minutes=61)).problems
    assert (problem.kind, problem.path) == ("orphan", f"weights/{left.name}")
    store.clean_up(LATER)
    assert not left.exists()
    assert mine.exists()  # a file of the user is neither reported nor removed
    assert store.weights(trial_id(SPEC)) == b"some weights"
