"""Points of one block, by hand, under each tie rule."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ranking.choices import TieRule
from orchestrator.ranking.places import (
    TIE_RULES,
    TIE_TOLERANCE,
    place_losses,
    points_of,
    shared_ranks,
    tie_rule,
)
from workers.contract import UserError


def points(
    means: dict[str, float], ties: TieRule, listed: list[str] | None = None
) -> dict[str, float]:
    placing = place_losses(means, ties=ties, listed=listed or list(means))
    return {loss: float(value) for loss, value in placing.points.items()}


def test_three_two_one_and_nothing_below():
    means = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    for ties in TIE_RULES:
        assert points(means, ties) == {"a": 3, "b": 2, "c": 1, "d": 0}


def test_two_joint_first():
    means = {"a": 0.5, "b": 0.9, "c": 0.9, "d": 0.1}
    assert points(means, "split") == {"b": 2.5, "c": 2.5, "a": 1, "d": 0}
    assert points(means, "min") == {"b": 3, "c": 3, "a": 1, "d": 0}
    assert points(means, "max") == {"b": 2, "c": 2, "a": 1, "d": 0}
    assert points(means, "order") == {"b": 3, "c": 2, "a": 1, "d": 0}
    assert points(means, "order", listed=["c", "b", "a", "d"]) == {"c": 3, "b": 2, "a": 1, "d": 0}


def test_a_tie_that_reaches_below_the_podium():
    means = {"a": 0.9, "b": 0.8, "c": 0.5, "d": 0.5, "e": 0.5}
    third = Fraction(1, 3)
    placing = place_losses(means, ties="split", listed=list(means))
    assert placing.points == {"a": 3, "b": 2, "c": third, "d": third, "e": third}
    assert placing.ties == (("c", "d", "e"),)
    assert points(means, "min") == {"a": 3, "b": 2, "c": 1, "d": 1, "e": 1}
    assert points(means, "max") == {"a": 3, "b": 2, "c": 0, "d": 0, "e": 0}


def test_places_under_each_rule():
    means = {"a": 0.9, "b": 0.9, "c": 0.1}
    expected: dict[TieRule, dict[str, int]] = {
        "split": {"a": 1, "b": 1, "c": 3},
        "min": {"a": 1, "b": 1, "c": 3},
        "max": {"a": 2, "b": 2, "c": 3},
        "order": {"a": 1, "b": 2, "c": 3},
    }
    for ties, places in expected.items():
        assert place_losses(means, ties=ties, listed=["a", "b", "c"]).places == places


def test_a_tie_off_the_podium_is_not_counted():
    placing = place_losses(
        {"a": 4, "b": 3, "c": 2, "d": 1, "e": 1}, ties="split", listed=list("abcde")
    )
    assert placing.ties == ()


def test_one_and_two_losses():
    assert points({"a": 0.1}, "split") == {"a": 3}
    assert points({"a": 0.1, "b": 0.2}, "split") == {"b": 3, "a": 2}
    assert points({"a": 0.2, "b": 0.2}, "split") == {"a": 2.5, "b": 2.5}
    assert points({}, "split") == {}


def test_means_equal_up_to_rounding_are_tied():
    nearly = 0.1 + 0.2
    assert nearly != 0.3
    assert points({"a": nearly, "b": 0.3}, "order", listed=["b", "a"]) == {"b": 3, "a": 2}
    assert points({"a": 0.3 + 1e-9, "b": 0.3}, "order", listed=["b", "a"]) == {"a": 3, "b": 2}


def test_an_unknown_rule_lists_the_known():
    names = {"competition": "min", "modified": "max", "first": "order", "split": "split"}
    assert {name: tie_rule(name) for name in names} == names
    with pytest.raises(UserError, match=r"--ties fair: .*split .*min .*max .*order .*competition"):
        tie_rule("fair")


def test_ranks_share_tied_places_under_every_rule():
    means = {"a": 0.9, "b": 0.8, "c": 0.8, "d": 0.1}
    for ties in TIE_RULES:
        assert place_losses(means, ties=ties, listed=list(means)).ranks == {
            "a": 1, "b": 2.5, "c": 2.5, "d": 4,
        }  # fmt: skip


def test_diverged_losses_are_last_without_points():
    means = {"a": 0.5, "b": 0.0, "c": 0.0, "d": 0.0}
    placing = place_losses(means, ties="split", listed=list(means), diverged={"c", "d"})
    assert placing.order == ("a", "b", "c", "d")
    assert placing.points == {"a": 3, "b": 2, "c": 0, "d": 0}
    assert placing.places == {"a": 1, "b": 2, "c": 3, "d": 3}
    assert placing.ranks["c"] == 3.5
    assert placing.ties == ()
    nothing = place_losses(means, ties="min", listed=list(means), diverged=set(means))
    assert set(nothing.points.values()) == {0}


def test_the_tolerance_grows_with_large_numbers():
    assert points({"a": 1e6 + 1e-8, "b": 1e6}, "split") == {"a": 2.5, "b": 2.5}
    assert points({"a": 1e6 + 1e-5, "b": 1e6}, "split") == {"a": 3, "b": 2}


VALUES = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=6)


@settings(deadline=None, max_examples=80)
@given(
    VALUES,
    st.sampled_from([1 / 8, 0.8 * TIE_TOLERANCE]),  # the second: neighbours equal, ends apart
    st.sampled_from(TIE_RULES),
    st.randoms(use_true_random=False),
)
def test_points_of_many_blocks_equal_those_of_each(values, step, ties, random):
    names = [f"loss {number}" for number in range(len(values))]
    listed = random.sample(range(len(values)), len(values))
    row = [np.nan if value is None else 0.5 + value * step for value in values]
    means = {name: mean for name, mean in zip(names, row, strict=True) if not np.isnan(mean)}
    single = place_losses(means, ties=ties, listed=[names[number] for number in listed])
    far = [1000 * value for value in row]  # another block never changes what counts as equal
    many = points_of(np.array([row, row, far]), ties=ties, listed=listed)
    expected = [float(single.points.get(name, 0)) for name in names]
    assert many[:2] == pytest.approx(np.array([expected, expected]))
    ranks = dict(zip(names, shared_ranks(np.array(row)), strict=True))
    assert {name: ranks[name] for name in means} == single.ranks


def test_chain_of_near_ties_is_one_tie():
    chain = {name: 0.5 + number * 0.8e-12 for number, name in enumerate("abcd")}
    placing = place_losses(chain, ties="split", listed=list("abcd"))
    assert placing.points == dict.fromkeys("abcd", Fraction(3, 2))  # (3 + 2 + 1 + 0) / 4
    assert placing.ties == (tuple("abcd"),)
    values = np.array(list(chain.values()))
    assert points_of(values, ties="split", listed=range(4)).tolist() == [1.5] * 4
    assert shared_ranks(values).tolist() == [2.5] * 4
    # Under `order` the first listed wins, not the highest by a hair.
    assert points_of(values, ties="order", listed=range(4)).tolist() == [3, 2, 1, 0]
