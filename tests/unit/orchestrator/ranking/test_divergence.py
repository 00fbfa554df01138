"""Plausible rates of divergence: cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.ranking.divergence import draw_rates


def rates(diverged: list[int], seen: list[int]) -> np.ndarray:
    """The mean rate of each group over 4,000 draws."""
    random = np.random.default_rng(0)
    drawn = draw_rates(np.array(diverged), np.array(seen), 4_000, random)
    return np.asarray(drawn.mean(axis=0))


def test_rates_without_a_divergence_are_zero():
    assert not draw_rates(np.zeros(3), np.full(3, 10), 5, np.random.default_rng(0)).any()


def test_rates_of_alike_groups_are_pooled():
    # 16 of 1,600 trials, 1 in each group: all rates are near 1 %.
    assert rates([1] * 16, [100] * 16) == pytest.approx(np.full(16, 0.01), abs=0.002)


def test_rates_of_unlike_groups_stay_apart():
    found = rates([0, 0, 0, 50], [100, 100, 100, 100])
    assert found[3] == pytest.approx(0.5, abs=0.03)
    assert found[:3].max() < 0.01


def test_rate_of_an_unseen_group_is_that_of_the_others():
    assert rates([5, 5, 5, 0], [50, 50, 50, 0])[3] == pytest.approx(0.1, abs=0.03)
