"""What the page is told: counts, cells, speed, drivers and failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.plan.grid import grid_from_specs
from orchestrator.plan.planner import plan
from orchestrator.records import FailureRecord
from orchestrator.store import RunningTrial, RunRecord, Store
from orchestrator.watch.state import Snapshot, describe, describe_cell
from tests.unit.orchestrator.store.trials import make_result, make_spec
from workers.contract import FailureClass
from workers.identity import trial_id

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPECS = [make_spec(number) for number in range(8)]  # 2 datasets x 1 model x 2 losses x 2 repeats


@pytest.fixture
def store(tmp_path):
    """Two completed in the last hour, one diverged before it, one failed; four are missing."""
    store = Store(tmp_path / "res")
    store.commit(SPECS[0], make_result(50), committed_at=NOW - timedelta(minutes=20))
    store.commit(SPECS[1], make_result(51), committed_at=NOW - timedelta(minutes=10))
    store.commit(SPECS[2], make_result(52, diverged=True), committed_at=NOW - timedelta(hours=3))
    store.record_failure(
        FailureRecord(
            spec=SPECS[3],
            attempt=1,
            failure_class=FailureClass.BUG,
            message="ValueError: <b>oh</b>",
            traceback="",
            host="node7",
            failed_at=NOW - timedelta(minutes=5),
        )
    )
    return store


def facts(store, runs=()):
    grid = grid_from_specs("A & B", SPECS)
    committed, failures = store.committed(), store.failures()
    return Snapshot(
        name=grid.name,
        place="here",
        plan=plan(grid, committed, failures),
        committed=committed,
        failures=failures,
        runs=runs,
        titles={"loss": {"dice": "Dice loss"}},
    )


def driver(*numbers, heartbeat=NOW, **changes):
    values = {
        "run_id": "r",
        "grid_id": "g",
        "host": "node1",
        "process_id": 3,
        "started_at": NOW - timedelta(hours=4),
        "heartbeat_at": heartbeat,
        "num_pending": 8,
        "num_ended": 4,
        "running": tuple(
            RunningTrial(
                trial_id=trial_id(SPECS[number]), label="x", since=NOW, val_dice=(0.1, 0.2)
            )
            for number in numbers
        ),
    }
    return RunRecord(**{**values, **changes})


def test_every_trial_is_in_exactly_one_state(store):
    found = describe(facts(store, [driver(4, 5)]), NOW)
    assert found["counts"] == {
        "all": 8,
        "completed": 2,
        "diverged": 1,
        "failed": 1,
        "running": 2,
        "missing": 2,
    }
    assert [axis["labels"] for axis in found["axes"]] == [
        ["set-0", "set-1"],
        ["unet"],
        ["dice", "iou"],
    ]
    assert found["axes"][2]["titles"] == ["Dice loss", "iou"]
    assert found["cells"] == [(2, 0, 0, 0, 2), (0, 1, 1, 0, 2), (0, 0, 0, 2, 2), (0, 0, 0, 0, 2)]


def test_a_silent_driver_runs_nothing(store):
    found = describe(facts(store, [driver(4, heartbeat=NOW - timedelta(minutes=2))]), NOW)
    assert found["counts"]["running"] == 0
    assert found["drivers"][0]["alive"] is False
    assert found["drivers"][0]["silent_seconds"] == 120
    assert found["speed"] == {"trials_per_hour": None, "eta_seconds": None}


def test_a_finished_trial_named_by_a_driver_is_finished(store):
    found = describe(facts(store, [driver(0, 2, 4)]), NOW)
    assert found["counts"]["running"] == 1
    assert found["counts"]["completed"] == 2


def test_speed_is_of_the_last_hour_shared_by_busy_slots(store):
    quick = facts(store, [driver(4, 5)])
    speed = describe(quick, NOW)["speed"]
    assert speed["trials_per_hour"] == pytest.approx(2.0)
    expected = sum(trial.expected_seconds for trial in quick.plan.pending)
    assert speed["eta_seconds"] == pytest.approx(expected / 2)
    # Of a driver that began 30 minutes ago, only those 30 minutes count.
    fresh = facts(store, [driver(4, started_at=NOW - timedelta(minutes=30))])
    assert describe(fresh, NOW)["speed"]["trials_per_hour"] == pytest.approx(4.0)


def test_time_already_run_is_not_part_of_the_time_left(store):
    at_start = describe(facts(store, [driver(4)]), NOW)["speed"]["eta_seconds"]
    later = facts(store, [driver(4, heartbeat=NOW + timedelta(seconds=1))])
    assert describe(later, NOW + timedelta(seconds=1))["speed"]["eta_seconds"] == pytest.approx(
        at_start - min(1.0, later.plan.pending[0].expected_seconds)
    )


def test_a_finished_sweep_has_no_time_left(tmp_path):
    store = Store(tmp_path / "res")
    for number, spec in enumerate(SPECS):
        store.commit(spec, make_result(number), committed_at=NOW)
    found = describe(facts(store), NOW)
    assert found["speed"]["eta_seconds"] == 0
    assert found["counts"]["missing"] == 0
    assert found["resources"]["devices"][0]["trials"] == 8


def test_failures_come_newest_first_and_only_from_this_grid(store):
    other = make_spec(11)
    store.record_failure(
        FailureRecord(
            spec=other,
            attempt=1,
            failure_class=FailureClass.INFRASTRUCTURE,
            message="gone",
            traceback="",
            host="h",
            failed_at=NOW,
        )
    )
    found = describe(facts(store), NOW)["failures"]
    assert [item["class"] for item in found] == ["bug", "diverged"]
    assert found[0]["label"] == "set-0 · unet · iou · 1"
    assert found[0]["host"] == "node7"


def test_a_cell_has_the_state_of_each_repeat(store):
    found = describe_cell(facts(store, [driver(4)]), NOW, "set-0", "unet", "iou")
    assert [(item["repeat"], item["state"]) for item in found] == [(0, "diverged"), (1, "failed")]
    assert found[1]["message"] == "ValueError: <b>oh</b>"
    running = describe_cell(facts(store, [driver(4)]), NOW, "set-1", "unet", "dice")
    assert [(item["state"], item["epochs"]) for item in running] == [
        ("running", 2),
        ("missing", None),
    ]
    assert describe_cell(facts(store), NOW, "set-0", "unet", "nothing") == []
