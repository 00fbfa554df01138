"""Every saved query gives the right rows on a small store, and none on an empty one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.store import SAVED_QUERIES, Store
from tests.unit.orchestrator.store.test_views import document, fill
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec
from workers.identity import protocol_id, trial_id

PROTOCOL = protocol_id(make_spec(0))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Dice 0 and 0.01 by dice; of iou one diverged, one failed; then set-2 by iou: 0.1, 0.11."""
    store = Store(tmp_path_factory.mktemp("saved"))
    fill(store)
    for number in (10, 11):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    store.save_grid(document())
    return store


def ask(store: Store, name: str) -> list[tuple[object, ...]]:
    needed = SAVED_QUERIES[name].parameters
    parameters = {"trial_id": trial_id(make_spec(10))[:8]} if needed else {}
    return list(store.query(SAVED_QUERIES[name].sql, parameters).rows())


EXPECTED: dict[str, list[tuple[object, ...]]] = {
    "best-loss-per-dataset": [
        ("set-0", "dice", 0.005, 2, PROTOCOL),
        ("set-2", "iou", pytest.approx(0.105), 2, PROTOCOL),
    ],
    # iou: the mean of 0 (diverged) on set-0 and 0.105 on set-2.
    "best-loss-per-model": [("unet", "iou", pytest.approx(0.0525), 3, PROTOCOL)],
    "slowest-models": [("unet", "cpu", 5, 3.0, 1.5, 1000 / 2**20)],
    "gpu-hours-by-model": [("unet", 5, pytest.approx(15 / 3600), 0.0, pytest.approx(15 / 3600))],
    "diverged-trials": [("set-0", "unet", "iou", 0, 2, "loss is NaN", trial_id(make_spec(2)))],
    "failures-by-class": [
        ("bug", 4, 3, 1, "ValueError: no"),
        ("diverged", 1, 1, 1, "loss is NaN"),
    ],
    "missing": [
        ("set-0", "unet", "iou", "failed", 1, [1], "ValueError: no"),
        ("set-1", "unet", "dice", "failed", 1, [0], "ValueError: no"),
        ("set-1", "unet", "dice", "missing", 1, [1], None),
        ("set-1", "unet", "iou", "missing", 2, [0, 1], None),
        ("set-2", "unet", "dice", "missing", 2, [0, 1], None),
    ],
    "coverage": [("sweep", 12, 4, 1, 2, 5, PROTOCOL)],
    "learning-curve": [
        (trial_id(make_spec(10)), 1, 1.0, 0.5, 0.25, 1.5),
        (trial_id(make_spec(10)), 2, 0.5, 0.5, 0.25, 1.5),
    ],
    "stopped-by-the-limit": [("unet", "dice", 2, 0, 1.0, 2.0), ("unet", "iou", 2, 0, 1.0, 2.0)],
    "repeat-noise": [
        ("set-0", "unet", "dice", 2, 0.005, pytest.approx(0.01 / 2**0.5), 0.01, PROTOCOL),
        (
            "set-2",
            "unet",
            "iou",
            2,
            pytest.approx(0.105),
            pytest.approx(0.01 / 2**0.5),
            pytest.approx(0.01),
            PROTOCOL,
        ),
    ],
    "over-and-under-segmentation": [
        ("dice", 0.005, 0.005, 0.0, "even", 2, PROTOCOL),
        ("iou", pytest.approx(0.105), pytest.approx(0.105), 0.0, "even", 2, PROTOCOL),
    ],
    # Two equal images in each trial: tp is its number, and tp + fn is 100.
    "hardest-images": [
        ("set-0", "0.png", pytest.approx((0 + 0.01 + 0.02) / 3), 3, 100.0),
        ("set-0", "1.png", pytest.approx((0 + 0.01 + 0.02) / 3), 3, 100.0),
        ("set-2", "0.png", pytest.approx((0.1 + 0.11) / 2), 2, 100.0),
        ("set-2", "1.png", pytest.approx((0.1 + 0.11) / 2), 2, 100.0),
    ],
}


@pytest.mark.parametrize("name", sorted(set(SAVED_QUERIES) - {"best-trials"}))
def test_rows_by_hand(store, name):
    found = ask(store, name)
    if name == "repeat-noise":
        found.sort(key=str)
    assert found == EXPECTED[name]


def test_best_trials_are_sorted_by_dice(store):
    found = ask(store, "best-trials")
    assert [row[4] for row in found] == [0.11, 0.1, 0.01, 0.0]
    assert found[0][-1] == trial_id(make_spec(11))


@pytest.mark.parametrize("name", SAVED_QUERIES)
def test_saved_queries_run_with_no_or_only_failures(tmp_path, name):
    store = Store(tmp_path)
    store.save_grid(document())
    rows = ask(store, name)
    assert (len(rows) > 0) == (name in ("missing", "coverage"))
    store.record_failure(make_failure(0))
    assert (len(ask(store, name)) > 0) == (name in ("missing", "coverage", "failures-by-class"))


def test_shared_gpu_counts_by_its_fraction(tmp_path):
    store = Store(tmp_path)
    result = make_result(0)
    object.__setattr__(result, "gpu_ids", ("0",))
    object.__setattr__(result, "train_seconds", 7200.0)
    store.commit(make_spec(0), result, committed_at=NOW)
    assert ask(store, "gpu-hours-by-model") == [("unet", 1, 2.0, 2.0, 0.0)]
    store.save_grid(document())
    assert ask(store, "gpu-hours-by-model") == [("unet", 1, 2.0, 1.0, 0.0)]


def test_image_without_lesion_scores_one_if_none_is_predicted(store, tmp_path: Path):
    empty = Store(tmp_path)
    result = make_result(0)
    (first, _) = result.images
    for name in ("fp", "fn"):
        object.__setattr__(first, name, 0)
    empty.commit(make_spec(0), result, committed_at=NOW)
    assert ask(empty, "hardest-images")[-1][1:3] == ("0.png", 1.0)


def test_each_saved_query_is_one_statement_with_a_question():
    assert len(SAVED_QUERIES) >= 10
    for saved in SAVED_QUERIES.values():
        assert saved.question.endswith("?")
        assert set(saved.parameters) == set(re.findall(r"\$(\w+)", saved.sql))
