"""The numbers behind the pictures of challengeR, from one input that a person can check.

Four draws of the places of three losses; two datasets and two models with these means:

    dataset  model  a    b    c
    v        s      .9   .8   .1
    v        t      .5   .6   .1
    w        s      .7   .8   .1
    w        t      .2   .3   .4
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import scores_of
from orchestrator.ranking.stability import (
    drawn_places,
    kendall_taus,
    place_counts,
    place_shares,
    ranking_methods,
)
from orchestrator.ranking.table import check_trials

CELLS = {("v", "s"): (0.9, 0.8, 0.1), ("v", "t"): (0.5, 0.6, 0.1), ("w", "s"): (0.7, 0.8, 0.1),
         ("w", "t"): (0.2, 0.3, 0.4)}  # fmt: skip
DRAWS = np.array([[1, 2, 3], [1, 2, 3], [2, 1, 3], [1, 1, 3]])


@pytest.fixture(scope="module")
def scores():
    rows = [
        (dataset, model, loss, value)
        for (dataset, model), values in CELLS.items()
        for loss, value in zip("abc", values, strict=True)
    ]
    return scores_of(check_trials(pd.DataFrame(rows, columns=["dataset", "model", "loss", "dice"])))


def test_shares_of_places_by_hand():
    assert place_shares(DRAWS).tolist() == [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 0, 1]]


def test_kendall_taus_by_hand():
    """With a before b before c: equal order 1; one of three pairs turned 1/3; a tie 2 / sqrt(6)."""
    taus = kendall_taus(np.array([1, 2, 3]), DRAWS)
    assert taus.tolist() == pytest.approx([1, 1, 1 / 3, 2 / 6**0.5])
    assert kendall_taus(np.array([1, 2, 3]), np.array([[1, 1, 1], [3, 2, 1]])).tolist() == [-1]


@given(st.lists(st.lists(st.integers(1, 4), min_size=4, max_size=4), min_size=2, max_size=2))
def test_kendall_taus_equal_scipy(rankings):
    own, drawn = (np.array(ranking) for ranking in rankings)
    found = kendall_taus(own, drawn[None])
    wanted = stats.kendalltau(own, drawn).statistic
    assert found.tolist() == ([] if np.isnan(wanted) else pytest.approx([wanted]))


def test_drawn_places_follow_the_podium(scores):
    """By dataset: v has b .70, a .70 (tied) and c .10; w has b .55, a .45 and c .25."""
    podium = rank(scores).podiums[0]
    found = drawn_places(podium, ("a", "b", "c"), DRAWS)
    assert found.losses == ("b", "a", "c")
    assert found.places == (1, 2, 3)
    assert found.shares[0].tolist() == [0.5, 0.5, 0]
    assert found.medians == (1.5, 1, 3)
    assert (found.low[2], found.high[2]) == (3, 3)
    assert found.taus.tolist() == pytest.approx([1 / 3, 1 / 3, 1, 2 / 6**0.5])


def test_counts_of_blocks_by_hand(scores):
    by_dataset, by_model = (place_counts(podium) for podium in rank(scores).podiums)
    # Tied a and b share the 1st place of v; model s: a .80, b .80 tied; t: b .45, a .35, c .25.
    assert by_dataset == {"b": (2, 0, 0), "a": (1, 1, 0), "c": (0, 0, 2)}
    assert by_model == {"b": (2, 0, 0), "a": (1, 1, 0), "c": (0, 0, 2)}


def test_ranking_methods_by_hand(scores):
    """Means: a .575, b .625, c .175; medians .60, .70, .10.

    Ranks in the four cells: a 1 2 2 3, b 2 1 1 2, c 3 3 3 1: means 2, 1.5, 2.5; medians 2, 1.5, 3.
    """
    podiums = rank(scores).podiums
    found = {method.name: method.places for method in ranking_methods(scores, podiums, {"a": 1})}
    order = {"b": 1, "a": 2, "c": 3}
    assert found == {
        "points by dataset": order,
        "points by model": order,
        "mean, then rank": order,
        "median, then rank": order,
        "rank, then mean": order,
        "rank, then median": order,
        "test, then rank": {"a": 1, "b": 2, "c": 2},
    }


def test_ranking_methods_can_disagree():
    """Two cells of a high b and one of a higher a: the mean has a first, median and ranks b."""
    table = pd.DataFrame(
        {"dataset": list("uuvvww"), "loss": list("ababab"), "dice": [0.4, 0.5, 0.4, 0.5, 0.9, 0.1]}
    )
    scores = scores_of(check_trials(table))
    methods = ranking_methods(scores, rank(scores).podiums, None)
    first = {method.name: min(method.places, key=method.places.__getitem__) for method in methods}
    assert first == {
        "points by dataset": "b",
        "mean, then rank": "a",
        "median, then rank": "b",
        "rank, then mean": "b",
        "rank, then median": "b",
    }
