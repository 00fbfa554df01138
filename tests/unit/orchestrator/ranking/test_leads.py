"""Leave one out: which loss leads without one dataset, model or loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from orchestrator.ranking.leads import leads
from orchestrator.ranking.podium import steps
from orchestrator.ranking.rank import rank
from tests.published import published_trials
from tests.unit.orchestrator.ranking.frames import frame, scored

SMALL = """
dataset model loss dice
w       u     a    0.9
w       u     b    0.8
w       u     c    0.7
w       v     a    0.9
w       v     b    0.8
w       v     c    0.7
x       u     a    0.5
x       u     b    0.6
x       u     c    0.1
x       v     a    0.5
x       v     b    0.6
x       v     c    0.7
y       u     a    0.4
y       u     b    0.5
y       u     c    0.1
y       v     a    0.4
y       v     b    0.5
y       v     c    0.1
"""


def test_leads_of_a_small_table_are_those_counted_by_hand():
    # By dataset: b has 2 + 3 + 3 = 8 points, a 3 + 2 + 2 = 7, c 3. Block means by model: b leads u
    # (0.633 before 0.6) and v (0.633 before 0.6).
    found = leads(scored(frame(SMALL)))
    assert found.leaders == {"dataset": ("b",), "model": ("b",), "both": ("b",)}
    without = {(lead.axis, lead.label): lead.leaders for lead in found.without}
    assert list(without) == [
        ("dataset", "w"), ("dataset", "x"), ("dataset", "y"), ("model", "u"), ("model", "v"),
        ("loss", "a"), ("loss", "b"), ("loss", "c"),
    ]  # fmt: skip
    # Without y: a and b have 3 + 2 points each. By model: means of w and x, a 0.7 and b 0.7: tied.
    assert without["dataset", "y"]["dataset"] == ("a", "b")
    assert without["dataset", "y"]["model"] == ("a", "b")
    # Without u: in x, c is first (0.7), b second, a third: b has 2 + 2 + 3, a 3 + 1 + 2.
    assert without["model", "u"]["dataset"] == ("b",)
    # Without b, which led, a leads; this is no change. Without c, nothing moves.
    assert without["loss", "b"]["dataset"] == ("a",)
    changed = {leaders: [lead.label for lead in entries] for leaders, entries in
               found.changes("dataset").items()}  # fmt: skip
    assert changed == {("a", "b"): ["x", "y"]}


@pytest.mark.parametrize("rule", ["split", "min", "max", "order"])
def test_leads_equal_the_ranking_of_the_smaller_table(rule):
    trials = published_trials(1)
    trials = trials[trials["loss"].isin(["IoUFocal", "BCE", "Dice", "IoU"])]
    trials = trials.assign(dice=np.round(trials["dice"], 2))  # many ties
    found = leads(scored(trials), ties=rule)
    for lead in [*found.without[::5], None]:
        rest = trials if lead is None else trials[trials[lead.axis] != lead.label]
        ranking = rank(scored(rest), ties=rule, agreement=False)
        for axis, leaders in (lead or found).leaders.items():
            podium = ranking.podium(axis)
            assert podium is not None
            assert set(leaders) == set(steps(podium.points)[0])


def test_a_joint_leader_left_out_leaves_the_same_lead():
    rows = [("w", "a", 0.9), ("w", "b", 0.8), ("w", "c", 0.1)]
    rows += [("x", "b", 0.9), ("x", "a", 0.8), ("x", "c", 0.1)]
    found = leads(scored(pd.DataFrame(rows, columns=["dataset", "loss", "dice"])))
    assert found.leaders == {"dataset": ("a", "b")}
    assert [lead.label for lead in found.without] == ["w", "x", "a", "b", "c"]
    labels = {lead.label for entries in found.changes("dataset").values() for lead in entries}
    assert labels == {"w", "x"}


def test_two_losses_of_one_dataset_cannot_be_left_out():
    rows = [("w", "a", 0.9), ("w", "b", 0.8)]
    found = leads(scored(pd.DataFrame(rows, columns=["dataset", "loss", "dice"])))
    assert found.without == ()
    assert found.to_json() == {"leaders": {"dataset": ("a",)}, "without": ()}
