"""Two sweeps beside each other: movements, differences, and what was not the same."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.ranking.metrics import metric_of
from orchestrator.report.compare.comparison import answer_sentence, compare, to_json
from orchestrator.report.compare.differences import (
    cell_differences,
    loss_differences,
    paired_difference,
    unpaired_difference,
)
from orchestrator.report.compare.sides import side
from tests.unit.orchestrator.report.factory import Tables, make_data

values = st.lists(st.floats(0, 1), min_size=2, max_size=8).map(np.array)


def table(text):
    lines = [line.split() for line in text.strip().splitlines()]
    return pd.DataFrame(lines[1:], columns=lines[0]).assign(
        dice=lambda rows: rows["dice"].astype(float)
    )


def sides(a, b, **options):
    return (
        side("A", "a", Tables(trials=a).checked()),
        side("B", "b", Tables(trials=b, **options).checked()),
    )


A = "dataset loss dice\nw a 0.9\nw b 0.5\nw c 0.3\nv a 0.8\nv b 0.7\nv c 0.1"
B = "dataset loss dice\nw a 0.6\nw b 0.8\nw d 0.9\nv a 0.2\nv b 0.7\nv d 0.1"


def test_movements_by_hand():
    found = compare(*sides(table(A), table(B)))
    (pair,) = found.podiums
    rows = {row.loss: row for row in pair.rows}
    assert [(row.loss, row.place_a, row.place_b, row.moved) for row in pair.rows] == [
        ("b", 2, 1, 1), ("d", None, 2, None), ("a", 1, 3, -2), ("c", 3, None, None),
    ]  # fmt: skip
    assert (rows["a"].points_a, rows["a"].points_b) == (6, 3)
    assert rows["b"].mean_b == pytest.approx(0.75)
    assert (pair.num_common, pair.tau) == (2, -1)
    assert (found.num_common_cells, found.num_only_a, found.num_only_b) == (4, 2, 2)
    assert answer_sentence(found) == "By dataset a leads in A and b leads in B."
    assert any("c only in A and d only in B" in note for note in found.notes)


def test_differences_by_hand():
    found = compare(*sides(table(A), table(B)))
    by_loss = {entry.loss: entry for entry in found.losses}
    entry = by_loss["a"]
    assert (entry.num_cells, entry.num_better, entry.num_worse) == (2, 0, 2)
    assert entry.difference.value == pytest.approx(-0.45)
    # t(0.975; 1 degree of freedom) = 12.706; the differences are -0.3 and -0.6.
    assert entry.difference.high == pytest.approx(-0.45 + 12.7062 * 0.15, abs=1e-4)
    assert not entry.difference.excludes_zero
    cell = next(cell for cell in found.cells if (cell.dataset, cell.loss) == ("w", "b"))
    assert (cell.mean_a, cell.mean_b, cell.paired) == (0.5, 0.8, False)
    assert cell.difference.low is None
    assert any("not paired" in note for note in found.notes)


GRID = "dataset model loss dice\n"


def test_the_interval_of_a_loss_includes_datasets_and_models_by_hand():
    """Differences .10, .30 in w and .20, .60 in v (models s, t): mean .30.

    Rows .20, .40: MSD = 2 (.01 + .01) = .04. Columns .15, .45: MSM = 2 (.0225 + .0225) = .09. Rest
    -.05, .05, .05, -.05: MSI = .01. V = .01 + .03 + .08 = .12, se = sqrt(.12 / 4) = .1732,
    t(0.975; 1 degree of freedom) = 12.706. Cells as a sample would give .1080 and 3 degrees.
    """
    a = table(f"{GRID}w s x 0.1\nw t x 0.1\nv s x 0.1\nv t x 0.1")
    b = a.assign(dice=a["dice"] + [0.1, 0.3, 0.2, 0.6])
    found = compare(*sides(a, b))
    (entry,) = found.losses
    assert entry.difference.value == pytest.approx(0.3)
    assert entry.difference.low == pytest.approx(0.3 - 12.7062 * 0.03**0.5, abs=1e-4)
    assert entry.difference.high == pytest.approx(0.3 + 12.7062 * 0.03**0.5, abs=1e-4)
    assert any("is for other datasets and networks" in note for note in found.notes)


@pytest.mark.parametrize("rows", ["w s x 0.1\nw t x 0.2", "w s x 0.1\nw t x 0.2\nv s x 0.3"])
def test_one_dataset_or_a_gap_gives_a_loss_no_interval(rows):
    a = table(GRID + rows)
    b = a.assign(dice=a["dice"] ** 2)
    found = compare(*sides(a, b))
    assert [entry.difference.low for entry in found.losses] == [None]
    assert any("The losses have no interval" in note for note in found.notes)


def test_each_loss_states_what_its_interval_is_for():
    """x and u have two models, y one model, and z a gap."""
    cells = {"x": ["ws", "wt", "vs", "vt"], "y": ["ws", "vs"], "z": ["ws", "wt", "vs"]}
    cells["u"] = cells["x"]
    rows = [" ".join((*cell, loss)) for loss, own in cells.items() for cell in own]
    a = table(GRID + "\n".join(f"{row} 0.1" for row in rows))
    b = a.assign(dice=[0.2, 0.4, 0.3, 0.7, 0.2, 0.4, 0.2, 0.4, 0.3, 0.2, 0.4, 0.3, 0.7])
    found = compare(*sides(a, b))
    assert {entry.loss: entry.estimand for entry in found.losses} == {
        "x": "other", "u": "other", "y": "other_datasets", "z": None,
    }  # fmt: skip
    notes = " ".join(found.notes)
    assert "The interval of y is for other datasets, these networks: it includes" in notes
    assert "The interval of each other loss is for other datasets and networks: it" in notes
    assert "z has no interval: it needs two datasets" in notes
    assert {entry["loss"]: entry["estimand"] for entry in to_json(found)["losses"]}["z"] is None


@given(a=values, b=values)
def test_intervals_equal_scipy_s(a, b):
    found, paired = unpaired_difference(a, b), paired_difference(a)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    # Where a side hardly varies SciPy warns that it loses digits.
    if min(a.var(ddof=1), b.var(ddof=1)) > 1e-6:
        wanted = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
        wanted = stats.ttest_1samp(a, 0).confidence_interval()
        assert (paired.low, paired.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_the_same_splits_are_paired_and_pairing_helps():
    before = make_data(2, 1, 2, 4, num_epochs=2, predictions=False).trials
    after = before.assign(dice=before["dice"] + 0.01, trial_id="another")
    cells = cell_differences(before, after, metric_a="dice", metric_b="dice")
    assert len(cells) == 4
    for cell in cells:
        assert (cell.paired, cell.num_a, cell.num_b) == (True, 4, 4)
        assert cell.difference.value == pytest.approx(0.01)
        assert cell.difference.excludes_zero
    names = ["iou", "bce", "nobody"]
    (first, second) = loss_differences(cells, names, metric_of("dice"))
    assert (first.loss, first.num_cells, first.num_better) == ("iou", 2, 2)
    (lower, _) = loss_differences(cells, names, metric_of("hd95"))
    assert (lower.num_better, lower.num_worse) == (0, 2)
    assert second.difference.value == pytest.approx(0.01)


@pytest.mark.parametrize("what", ["seed", "data", "fingerprint", "unknown"])
def test_other_splits_are_not_paired(what):
    before = make_data(1, 1, 2, 3, num_epochs=2, predictions=False).trials
    after = before.copy()
    specs = [json.loads(text) for text in after["spec"]]
    if what == "seed":
        after["spec"] = [json.dumps(spec | {"seed": 7}) for spec in specs]
    elif what == "data":
        data = {"split": [0.5, 0.2, 0.3]}
        after["spec"] = [json.dumps(spec | {"data": data}) for spec in specs]
    elif what == "fingerprint":
        after["dataset_fingerprint"] = "changed"
    else:
        before, after = before.drop(columns="spec"), after.drop(columns="spec")
    cells = cell_differences(before, after, metric_a="dice", metric_b="dice")
    assert [(cell.paired, cell.num_a, cell.num_b) for cell in cells] == [(False, 3, 3)] * 2


def test_only_different_settings_are_named():
    before = make_data(2, 1, 2, 1, num_epochs=2, predictions=False)
    trials = before.trials.copy()
    trials["device"] = "NVIDIA H200"
    trials["versions"] = json.dumps({"python": "3.11.9", "torch": "2.15.0", "numpy": "2.4.6"})
    specs = [json.loads(text) for text in trials["spec"]]
    for spec in specs:
        spec["training"]["max_epochs"] = 9
        if spec["loss"]["name"] == "bce":
            spec["loss"]["parameters"] = {"weight": 2}
    trials["spec"] = [json.dumps(spec) for spec in specs]
    config = {"resources": {"gpus": 1.0}, "results": "elsewhere"}
    after = dataclasses.replace(
        before, trials=trials, grid={**(before.grid or {}), "config": config}
    )
    found = compare(side("A", "a", before.checked()), side("B", "b", after.checked())).settings
    assert {(fact.group, fact.name): (fact.a, fact.b) for fact in found.differing} == {
        ("Protocol", "training.max_epochs"): ("2", "9"),
        ("Components", "loss bce"): ("bce {}", 'bce {"weight": 2}'),
        ("Configuration", "resources.gpus"): ("–", "1.0"),  # noqa: RUF001
        ("Machines", "device"): ("cpu (2 cores)", "NVIDIA H200"),
        ("Software", "torch"): ("2.9.1", "2.15.0"),
    }
    assert found.num_compared > 20


def test_a_sweep_compared_with_itself_differs_in_nothing():
    data = make_data(2, 2, 3, 2, num_epochs=2, predictions=False)
    found = compare(side("A", "a", data.checked()), side("B", "a", data.checked()))
    assert found.settings.differing == ()
    assert all(cell.paired and cell.difference.value == 0 for cell in found.cells)
    assert [pair.tau for pair in found.podiums] == [None, 1]  # by dataset all are level
    assert all(row.moved == 0 for pair in found.podiums for row in pair.rows)


def test_shares_and_percentages_compare_places_and_not_means():
    percent = table(B).assign(dice=lambda rows: 100 * rows["dice"])
    found = compare(*sides(table(A), percent))
    assert found.cells == ()
    assert found.notes[0].startswith("A is ranked by Dice and B by Dice (in %): these are")


def test_the_lower_distance_is_the_better_one():
    parts = [table(text).rename(columns={"dice": "hd95"}) for text in (A, B)]
    a, b = (side(name, name, Tables(trials=t, metric="hd95").checked())
            for name, t in zip("AB", parts, strict=True))  # fmt: skip
    found = compare(a, b)
    better = {entry.loss: (entry.num_better, entry.num_worse) for entry in found.losses}
    assert better == {"a": (2, 0), "b": (0, 1)}  # a: 0.9 to 0.6 and 0.8 to 0.2; b: 0.5 to 0.8
    assert to_json(found)["a"]["better"] == "lower"
    assert found.a.metric_text == "hd95 (lower is better, from 0 up)"


def test_two_metrics_of_one_store_compare_places_and_not_means():
    data = make_data(2, 2, 3, 2, num_epochs=2, predictions=False)
    other = dataclasses.replace(data, metric="recall")
    found = compare(side("A", "a", data.checked()), side("B", "a", other.checked()))
    assert found.cells == ()
    assert "different quantities" in found.notes[0]
    assert [fact.name for fact in found.settings.differing] == ["metric"]
    assert len(found.podiums) == 2


def test_sweeps_without_common_combinations_have_a_note():
    found = compare(*sides(table("dataset loss dice\nw a 1"), table("model loss dice\nu b 1")))
    assert answer_sentence(found) == "A and B have no axis in common."
    assert any("no combination" in note for note in found.notes)


def test_json_holds_everything_and_is_json():
    document = json.loads(json.dumps(to_json(compare(*sides(table(A), table(B)))), allow_nan=False))
    assert document["podiums"]["dataset"]["kendall_tau"] == -1
    assert document["coverage"] == {"common_cells": 4, "cells_only_in_a": 2, "cells_only_in_b": 2}
    assert document["cells"][0]["difference"]["low"] is None
    assert {row["loss"]: row["moved"] for row in document["podiums"]["dataset"]["losses"]} == {
        "a": -2, "b": 1, "c": None, "d": None,
    }  # fmt: skip
