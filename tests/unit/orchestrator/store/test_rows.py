import json
from dataclasses import replace
from datetime import datetime

import pytest

from orchestrator.store import TABLES
from orchestrator.store.rows import detail_rows, failure_row, trial_row
from tests.unit.orchestrator.store.trials import NOW, make_failure, make_result, make_spec
from workers.contract import TrialSpec
from workers.identity import protocol_id, trial_id


def test_a_completed_trial_becomes_one_row():
    spec = make_spec(2)
    row = trial_row(spec, replace(make_result(2), gpu_ids=("0", "3")), attempt=2, committed_at=NOW)
    assert set(row) == set(TABLES["trials"].column_names)
    assert (row["trial_id"], row["protocol_id"]) == (trial_id(spec), protocol_id(spec))
    assert (row["dataset"], row["dataset_name"], row["repeat"]) == ("set-0", "folder", 0)
    assert (row["status"], row["dice"], row["dice_pooled"]) == ("completed", 0.02, 0.02)
    assert (row["gpu_ids"], row["attempt"], row["arithmetic"]) == ("0,3", 2, "float32")
    assert json.loads(row["versions"]) == {"torch": "2.8.0"}
    assert TrialSpec.from_json(json.loads(row["spec"])) == spec


def test_a_diverged_trial_has_no_metrics():
    row = trial_row(make_spec(1), make_result(1, diverged=True), attempt=1, committed_at=NOW)
    assert row["status"] == "diverged"
    assert row["dice"] is row["precision_pooled"] is row["best_val_dice"] is None
    assert row["message"] == "loss is NaN"


def test_a_completed_trial_without_a_metric_is_refused():
    with pytest.raises(KeyError, match="dice"):
        trial_row(make_spec(1), replace(make_result(1), metrics={}), attempt=1, committed_at=NOW)


def test_details_carry_the_labels_of_their_trial():
    details = detail_rows(make_spec(2), make_result(2))
    for table, rows in details.items():
        assert all(set(row) == set(TABLES[table].column_names) for row in rows)
    assert [row["epoch"] for row in details["epochs"]] == [1, 2]
    assert [row["image"] for row in details["images"]] == ["0.png", "1.png"]
    assert details["predictions"][0]["logit_max"] == 2.0


def test_a_time_without_a_zone_is_refused():
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        trial_row(make_spec(1), make_result(1), attempt=1, committed_at=naive)
    with pytest.raises(ValueError, match="time zone"):
        failure_row(replace(make_failure(1), failed_at=naive))
