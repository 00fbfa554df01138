"""Properties of the podiums of any table."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ranking.rank import rank
from tests.unit.orchestrator.ranking.frames import scored

LOSSES = ["a", "b", "c", "d", "e"]


@st.composite
def tables(draw, min_losses=3):
    losses = LOSSES[: draw(st.integers(min_losses, 5))]
    cells = [(d, m, loss) for d in "uvw" for m in "xy" for loss in losses]
    values = draw(
        st.lists(st.integers(0, 12), min_size=len(cells), max_size=len(cells))
    )  # few values, so that ties are common
    rows = [(*cell, value / 16) for cell, value in zip(cells, values, strict=True)]
    return pd.DataFrame(rows, columns=["dataset", "model", "loss", "dice"])


@settings(deadline=None, max_examples=15)
@given(tables())
def test_split_points_of_a_block_sum_to_six(table):
    for podium in rank(scored(table)).podiums:
        for block in podium.blocks.values():
            assert sum(block.points.values()) == pytest.approx(6)
        assert sum(podium.points.values()) == pytest.approx(6 * len(podium.blocks))


@settings(deadline=None, max_examples=15)
@given(tables(), st.randoms(use_true_random=False), st.sampled_from(["split", "min", "max"]))
def test_ranking_is_equal_in_any_order_of_rows(table, random, ties):
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = table.iloc[order].reset_index(drop=True)
    assert rank(scored(shuffled), ties=ties) == rank(scored(table), ties=ties)


@settings(deadline=None, max_examples=12)
@given(tables(), st.sampled_from([-0.25, 0.5, 3]))
def test_adding_a_constant_changes_no_points(table, constant):
    table = table.rename(columns={"dice": "score"})  # a score of any range
    before = rank(scored(table, metric="score"))
    after = rank(scored(table.assign(score=table["score"] + constant), metric="score"))
    for old, new in zip(before.podiums, after.podiums, strict=True):
        assert old.points == new.points
        assert old.rule_points == new.rule_points
        assert old.agreement is not None
        assert new.agreement is not None
        assert old.agreement.points == new.agreement.points


@settings(deadline=None, max_examples=15)
@given(tables())
def test_a_monotone_change_of_dice_leaves_the_points(table):
    single = table[table["model"] == "x"]
    before = rank(scored(single)).by_dataset
    after = rank(
        scored(single.assign(dice=(single["dice"] ** 3 + 2 * single["dice"]) / 3))
    ).by_dataset
    assert before is not None
    assert after is not None
    assert after.points == before.points


@settings(deadline=None, max_examples=15)
@given(tables(), st.permutations(LOSSES))
def test_ranking_follows_renamed_losses(table, names):
    new = dict(zip(LOSSES, names, strict=True))
    before = rank(scored(table))
    after = rank(scored(table.assign(loss=table["loss"].map(new))))
    for old, renamed in zip(before.podiums, after.podiums, strict=True):
        assert {new[loss]: points for loss, points in old.points.items()} == renamed.points
