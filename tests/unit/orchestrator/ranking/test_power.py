"""Repeats needed: published sample sizes, the t-test of scipy, and reasons without a number."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.ranking.power import (
    Power,
    RepeatNoise,
    power_of,
    repeat_noise,
    repeats_needed,
    repeats_to_separate,
)
from orchestrator.ranking.rank import rank
from tests.unit.orchestrator.ranking.frames import scored
from workers.contract import UserError


def cells(values: np.ndarray) -> pd.DataFrame:
    """Makes a table of (datasets, models, losses, repeats); NaN is a hole."""
    rows = [
        (f"d{d}", f"m{m}", "abc"[loss], r, values[d, m, loss, r])
        for d, m, loss, r in np.ndindex(values.shape)
        if not np.isnan(values[d, m, loss, r])
    ]
    return pd.DataFrame(rows, columns=["dataset", "model", "loss", "repeat", "dice"])


def unit_noise(num_datasets: int = 1) -> RepeatNoise:
    return RepeatNoise(
        difference=0.0, deviation=1.0, num_datasets=num_datasets, num_degrees=4, num_repeats=5
    )


def answer(values: np.ndarray, axis: str = "dataset") -> Power:
    scores = scored(cells(values))
    podium = rank(scores).podium(axis)
    assert podium is not None
    found = repeats_to_separate(scores, podium)
    assert found is not None
    return found


def pair(differences: list[float]) -> np.ndarray:
    """One dataset and model: a is above b by these."""
    b = np.full(len(differences), 0.5)
    return np.stack([b + differences, b])[None, None]


@pytest.mark.parametrize(
    ("effect", "number"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)]
)
def test_sample_sizes_of_the_paired_t_test_are_published(effect, number):
    # Two-sided, alpha 0.05, power 0.8 (Cohen 1988; as G*Power gives them).
    noise = unit_noise()
    assert repeats_needed(noise, effect, 0.05, 0.8) == number
    assert power_of(noise, effect, number, 0.05) >= 0.8 > power_of(noise, effect, number - 1, 0.05)


def test_power_goes_from_alpha_to_one():
    noise = unit_noise(3)
    assert power_of(noise, 0.0, 7, 0.05) == pytest.approx(0.05)
    for difference in (5, 20, 100, 1e6):
        assert power_of(noise, difference, 7, 0.05) == pytest.approx(1)


def test_power_by_simulation():
    random = np.random.default_rng(0)
    draws = random.normal(0.8, 1, (4000, 12))
    share = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert power_of(unit_noise(), 0.8, 12, 0.05) == pytest.approx(share, abs=0.03)


def test_the_p_value_now_is_that_of_the_paired_t_test():
    values = np.random.default_rng(1).normal(0.5, 0.1, (1, 1, 2, 6))
    found = answer(values)
    expected = stats.ttest_rel(values[0, 0, 0], values[0, 0, 1])
    assert found.p_now == pytest.approx(expected.pvalue)
    assert found.num_degrees == 5
    assert found.difference == pytest.approx(abs(values[0, 0, 0].mean() - values[0, 0, 1].mean()))


def test_the_noise_of_a_grid_by_hand():
    # d0: differences 0.1, 0.3 in both models; d1: 0.2, 0.2. Variances 0.02 and 0; D = 2.
    both = [pair([0.1, 0.3]), pair([0.2, 0.2])]
    values = np.repeat(np.concatenate(both), 2, axis=1)
    noise = repeat_noise(scored(cells(values)), "a", "b")
    assert noise is not None
    assert noise.difference == pytest.approx(0.2)
    assert noise.deviation == pytest.approx(np.sqrt(0.02 + 0) / 2)
    assert (noise.num_datasets, noise.num_degrees, noise.num_repeats) == (2, 2, 2)


def test_missing_trial_adds_no_noise():
    values = np.repeat(pair([0.2, 0.2, 0.2]), 2, axis=1)
    values[0, 1, 0] += 0.2  # the other model differs by more, as much in each repeat
    values[0, 1, 0, 2] = np.nan
    noise = repeat_noise(scored(cells(values)), "a", "b")
    assert noise is not None
    assert noise.deviation == pytest.approx(0, abs=1e-12)
    assert noise.num_repeats == 2


def test_one_repeat_per_combination_shows_no_noise():
    values = np.full((1, 3, 2, 3), np.nan)
    for model in range(3):  # each model has another repeat
        values[0, model, :, model] = [0.7 + 0.1 * model, 0.5]
    found = answer(values)
    assert (found.num_degrees, found.deviation) == (0, None)
    assert "share only one repeat of each combination" in found.sentence


def test_the_noise_of_models_that_share_no_repeat_by_hand():
    # Four models with two repeats each, none in common: each shows one degree of freedom, 4 and
    # not 8 - 1. Differences 0.1 and 0.3 lie 0.1 from their mean: variance 8 x 0.1^2 / 4 = 0.02.
    values = np.full((1, 4, 2, 8), np.nan)
    for model in range(4):
        values[0, model, :, 2 * model : 2 * model + 2] = [[0.6, 0.8], [0.5, 0.5]]
    noise = repeat_noise(scored(cells(values)), "a", "b")
    assert noise is not None
    assert noise.num_degrees == 4
    assert noise.deviation == pytest.approx(np.sqrt(0.02))


def test_missing_trials_leave_the_noise_unbiased():
    # Noise of the splits alone, of variance 0.05^2; half of the cells at random.
    random = np.random.default_rng(3)
    present = random.random((4, 6)) < 0.5
    scores = scored(cells(np.full((1, 4, 2, 6), 0.5)))
    variances = []
    for noise in random.normal(0, 0.05, (1000, 6)):
        values = np.stack([np.where(present, noise, np.nan), np.zeros((4, 6))], axis=1)[None]
        found = repeat_noise(dataclasses.replace(scores, values_DMLR=values), "a", "b")
        assert found is not None
        variances.append((found.deviation / 0.05) ** 2)
    assert np.mean(variances) == pytest.approx(1, abs=0.06)


def test_sentence_requests_more_repeats_or_none():
    close = answer(pair([0.01, -0.005, 0.004, 0.001, 0.002]))
    assert close.repeats_needed is not None
    assert close.more_repeats == close.repeats_needed - 5 > 0
    assert f"{close.more_repeats} more repeats ({close.repeats_needed} instead of 5)" in (
        close.sentence
    )
    far = answer(pair([0.10, 0.11, 0.09, 0.10, 0.12]))
    assert far.more_repeats == 0
    assert "The 5 repeats so far are enough to separate a and b" in far.sentence
    assert json.loads(json.dumps(far.to_json(), allow_nan=False))["more_repeats"] == 0


def test_the_leader_may_have_the_lower_mean():
    # a wins two datasets of three by little, b the third by much.
    values = np.concatenate([pair([0.01, 0.02]), pair([0.01, 0.02]), pair([-0.3, -0.2])])
    found = answer(values)
    assert (found.first, found.second) == ("a", "b")
    assert "b having the higher mean" in found.sentence


CANNOT = [
    (pair([0.1]), "share only one repeat of each combination"),
    (pair([0.1, 0.1]), "there is no noise"),
    (pair([0.1, -0.1]), r"No number of repeats up to 100,000 separates a and b"),
]


@pytest.mark.parametrize(("values", "message"), CANNOT)
def test_sentence_gives_the_reason_without_a_number(values, message):
    found = answer(values)
    assert found.repeats_needed is None
    assert found.more_repeats is None
    assert message in found.sentence


def test_losses_that_share_nothing_and_a_single_loss():
    values = pair([0.1, 0.2])
    values[0, 0, 0, 0] = values[0, 0, 1, 1] = np.nan
    assert "share no dataset x model x repeat" in answer(values).sentence
    scores = scored(cells(pair([0.1, 0.2])[:, :, :1]))
    podium = rank(scores).by_dataset
    assert podium is not None
    assert repeats_to_separate(scores, podium) is None


def test_alpha_and_power_are_shares():
    scores = scored(cells(pair([0.1, 0.2])))
    podium = rank(scores).by_dataset
    assert podium is not None
    with pytest.raises(UserError, match="power 1: give a fraction"):
        repeats_to_separate(scores, podium, power=1)
