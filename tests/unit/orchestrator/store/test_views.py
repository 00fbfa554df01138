"""The view `grid`: every requested trial with its status."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.store import VIEWS, Store
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec
from workers.identity import protocol_id, trial_id

NUM_TRIALS = 12


def document(
    grid_id: str = "first", saved_at: str = "2026-01-01", **changes: Any
) -> dict[str, Any]:
    """Returns the document of the grid of `make_spec`: 3 datasets, 1 model, 2 losses, 2 repeats."""
    return {
        "grid_id": grid_id,
        "saved_at": saved_at,
        "protocol_id": protocol_id(make_spec(0)),
        "name": "sweep",
        "datasets": [{"label": f"set-{n}"} for n in range(3)],
        "models": [{"label": "unet"}],
        "losses": [{"label": "dice"}, {"label": "iou"}],
        "repeats": 2,
        "trial_ids": [trial_id(make_spec(n)) for n in range(NUM_TRIALS)],
        "config": {"resources": {"cpus": 2, "gpus": 0.5}},
    } | changes


def fill(store: Store) -> None:
    """0 and 1 complete, 2 diverges after an attempt that failed, 3 failed twice, 4 once."""
    for number in (0, 1):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    store.record_failure(make_failure(2))
    store.commit(make_spec(2), make_result(2, diverged=True), committed_at=NOW)
    for number, attempt in ((3, 1), (3, 2), (4, 1)):
        store.record_failure(make_failure(number, attempt))


def outcomes(store: Store, columns: str = "status") -> list[Any]:
    return list(store.query(f"SELECT {columns} FROM grid").rows())


def test_each_trial_of_the_grid_has_a_row_with_its_status(tmp_path):
    store = Store(tmp_path)
    fill(store)
    store.save_grid(document())
    found = outcomes(store, "trial_id, dataset, loss, repeat, status, num_failures, failure_class")
    assert found[:6] == [
        (trial_id(make_spec(0)), "set-0", "dice", 0, "completed", 0, None),
        (trial_id(make_spec(1)), "set-0", "dice", 1, "completed", 0, None),
        (trial_id(make_spec(2)), "set-0", "iou", 0, "diverged", 1, "diverged"),
        (trial_id(make_spec(3)), "set-0", "iou", 1, "failed", 2, "bug"),
        (trial_id(make_spec(4)), "set-1", "dice", 0, "failed", 1, "bug"),
        (trial_id(make_spec(5)), "set-1", "dice", 1, "missing", 0, None),
    ]
    assert len(found) == NUM_TRIALS
    assert outcomes(store, "DISTINCT gpus, cpus, sweep, grid_id") == [(0.5, 2.0, "sweep", "first")]
    store.compact(NOW)
    columns = "trial_id, dataset, loss, repeat, status, num_failures, failure_class"
    assert outcomes(store, columns) == found


def test_the_newest_grid_of_each_protocol_counts(tmp_path):
    store = Store(tmp_path)
    store.save_grid(document())
    only = [trial_id(make_spec(n)) for n in (0, 4, 8)]
    newer = document("newer", "2026-01-02", losses=[{"label": "dice"}], repeats=1, trial_ids=only)
    store.save_grid(newer)
    store.save_grid(document("other", "2025-01-01", protocol_id="another", trial_ids=[]))
    counts = "SELECT grid_id, count(*) FROM grid GROUP BY 1 ORDER BY 1"
    assert list(store.query(counts).rows()) == [("newer", 3), ("other", 12)]


def test_grid_without_ids_is_matched_by_labels_and_protocol(tmp_path):
    store = Store(tmp_path)
    fill(store)
    store.save_grid(document(trial_ids=[]))
    assert [status for (status,) in outcomes(store)][:6] == [
        "completed", "completed", "diverged", "failed", "failed", "missing",
    ]  # fmt: skip
    store.save_grid(document(trial_ids=[], protocol_id="another"))
    assert {status for (status,) in outcomes(store)} == {"missing"}


def test_view_without_a_grid_is_empty_with_all_columns(tmp_path):
    store = Store(tmp_path)
    store.commit(make_spec(0), make_result(0), committed_at=NOW)
    found = store.query("FROM grid")
    assert (found.columns, found.num_rows) == (VIEWS["grid"].column_names, 0)


@pytest.mark.parametrize(
    ("sparse", "num_rows"),
    [
        ({"grid_id": "a", "saved_at": "2026"}, 0),
        (document(config=None), 12),
        (document(config={"resources": {}}, models=[]), 0),
    ],
)
def test_sparse_documents_are_read(tmp_path, sparse, num_rows):
    store = Store(tmp_path)
    store.save_grid(sparse)
    assert outcomes(store, "status, gpus") == [("missing", None)] * num_rows
