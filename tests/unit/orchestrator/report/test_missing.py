"""Missing trials and failed attempts: all are counted."""

from __future__ import annotations

import dataclasses

import pandas as pd

from orchestrator.report.missing import MAX_LISTED, find_missing
from tests.unit.orchestrator.report.factory import arranged, make_data, make_failure


def test_a_complete_sweep_misses_nothing():
    missing = find_missing(arranged(make_data(2, 1, 2, 1, predictions=False)))
    assert (missing.num_incomplete, missing.num_missing, missing.num_failed) == (0, 0, 0)


def test_missing_trials_are_counted_by_combination():
    data = make_data(2, 2, 2, 2, predictions=False)
    fewer = dataclasses.replace(data, trials=data.trials.drop(index=[0, 2, 3]))
    missing = find_missing(arranged(fewer))
    assert missing.num_missing == 3
    found = {(one.dataset, one.model, one.loss): one.num_present for one in missing.incomplete}
    assert found == {
        ("synthetic-skin", "unet", "iou"): 1,
        ("synthetic-skin", "unet", "bce"): 0,
    }


def test_long_lists_are_cut_and_counted():
    data = make_data(6, 2, 10, 2, predictions=False)
    fewer = dataclasses.replace(data, trials=data.trials.iloc[:1])
    missing = find_missing(arranged(fewer))
    assert len(missing.incomplete) == MAX_LISTED
    assert (missing.num_incomplete, missing.num_missing) == (120, 239)


def test_failures_have_their_outcome():
    data = make_data(2, 1, 2, 1, predictions=False)
    failures = pd.DataFrame(
        [
            make_failure(data, 0, "infrastructure"),
            make_failure(data, 1, "diverged"),
            make_failure(data, 2, "bug") | {"traceback": "\n".join(map(str, range(100)))},
        ]
    )
    data.trials.loc[1, "status"] = "diverged"
    trials = data.trials.drop(index=2)
    missing = find_missing(arranged(dataclasses.replace(data, trials=trials, failures=failures)))
    assert [(f.failure_class, f.outcome) for f in missing.failed] == [
        ("bug", "open"),
        ("diverged", "counts as 0"),
        ("infrastructure", "finished later"),
    ]
    assert missing.failed[0].traceback.startswith("… 60 lines before\n60\n")
    assert missing.failed[0].repeat == "0"
    assert missing.classes == {
        "bug": {"open": 1},
        "diverged": {"counts as 0": 1},
        "infrastructure": {"finished later": 1},
    }


def test_failures_of_another_protocol_are_left_out():
    data = make_data(1, 1, 1, 1, predictions=False)
    failures = pd.DataFrame([make_failure(data, 0) | {"protocol_id": "other"}])
    assert find_missing(arranged(dataclasses.replace(data, failures=failures))).num_failed == 0


def test_a_very_long_message_is_cut():
    data = make_data(1, 1, 2, 1, predictions=False)
    long = make_failure(data, 0) | {"message": "x" * 5000, "traceback": "a\n" + "y" * 5000}
    (failed,) = find_missing(
        arranged(dataclasses.replace(data, failures=pd.DataFrame([long])))
    ).failed
    assert len(failed.message) == len("x" * 400 + " …")
    assert failed.traceback.splitlines() == ["a", "y" * 400 + " …"]
