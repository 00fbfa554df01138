"""Output of `plan --json` and `status --json`, against a golden file and by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.shared import print_json, print_json_rows
from orchestrator.plan.planner import plan, plan_summary, summarise_status
from tests.unit.orchestrator.plan.builders import (
    FCN,
    SKIN,
    committed,
    failed,
    make_grid,
    make_specs,
    row_of,
)

GOLDEN = Path(__file__).parent / "golden" / "plan.json"
GRID = make_grid(make_specs([SKIN], [FCN], repeats=3), gpus_per_trial=0.5, cpus_per_trial=2)
DONE: dict[str, Any] = {"device": "NVIDIA H200", "train_seconds": 7200.0}
ROWS = committed(row_of(GRID.trials[0], **DONE), row_of(GRID.trials[1], status="diverged", **DONE))
FAILURES = [
    failed(trial_id=GRID.trial_ids[0], failure_class="infrastructure", message="node lost"),
    failed(trial_id=GRID.trial_ids[1], failure_class="diverged", message="loss is nan"),
    failed(trial_id=GRID.trial_ids[2], failure_class="bug", message="KeyError: 'x'"),
    failed(trial_id=GRID.trial_ids[3], failure_class="infrastructure", message="old"),
    failed(trial_id=GRID.trial_ids[3], failure_class="out-of-memory", attempt=2, message="OOM"),
    failed(trial_id="of another grid", failure_class="bug"),
]
PLAN = plan(GRID, ROWS, FAILURES)


def test_plan_in_json_equals_the_golden_file(capsys):
    trials = [trial.to_json() for trial in PLAN.trials]
    print_json_rows(plan_summary(PLAN, slots=2), "trials", iter(trials))
    text = capsys.readouterr().out
    assert text == GOLDEN.read_text(encoding="utf-8")
    print_json(plan_summary(PLAN, slots=2) | {"trials": trials})
    assert text == capsys.readouterr().out


def test_json_of_zero_rows_is_valid(capsys):
    print_json_rows({"a": {"b": []}}, "rows", [])
    assert json.loads(capsys.readouterr().out) == {"a": {"b": []}, "rows": []}


def test_costs_can_be_checked_by_hand():
    summary = plan_summary(PLAN, slots=2)
    # Three trials of two hours are pending, each on half a GPU and two cores, in two slots.
    assert summary["num_pending"] == 3
    assert summary["expected_wall_seconds"] == 4 * 3600
    assert summary["expected_gpu_hours"] == 3
    assert summary["expected_cpu_core_hours"] == 12
    assert summary["estimates"] == {"measured": 3}


def test_each_action_is_counted_for_every_label():
    summary = plan_summary(PLAN, slots=1)
    assert summary["actions"] == {"RUN": 2, "SKIP": 3, "RETRY": 1}
    assert summary["axes"]["losses"] == {
        "iou": {"RUN": 0, "SKIP": 3, "RETRY": 0},
        "dice": {"RUN": 2, "SKIP": 0, "RETRY": 1},
    }


def test_status_counts_each_trial_once():
    status = summarise_status(PLAN, FAILURES, slots=2)
    counts = {key: status[key] for key in ("completed", "diverged", "failed", "pending")}
    assert counts == {"completed": 1, "diverged": 1, "failed": 1, "pending": 3}
    assert status["num_trials"] == 6
    assert status["eta_seconds"] == 4 * 3600


def test_status_counts_only_unresolved_failures():
    failures = summarise_status(PLAN, FAILURES, slots=2)["failures"]
    assert {name: item["num_trials"] for name, item in failures.items()} == {
        "diverged": 1,
        "bug": 1,
        "out-of-memory": 1,
    }
    assert failures["bug"]["example_message"] == "KeyError: 'x'"
    assert failures["bug"]["example_label"] == "synthetic-skin · fcn · iou · 2"
    assert failures["bug"]["causes"] == [
        {
            "message": "KeyError: 'x'",
            "num_trials": 1,
            "example_label": "synthetic-skin · fcn · iou · 2",
        }
    ]


def test_finished_grid_needs_zero_seconds():
    rows = committed(*(row_of(spec) for spec in GRID.trials))
    made = plan(GRID, rows)
    assert plan_summary(made, slots=3)["expected_wall_seconds"] == 0
    assert summarise_status(made, [], slots=3)["eta_seconds"] == 0


def test_summary_of_zero_slots_is_refused():
    with pytest.raises(ValueError, match="0 slots"):
        plan_summary(PLAN, slots=0)
