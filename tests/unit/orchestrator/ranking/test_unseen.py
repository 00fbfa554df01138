"""Trials without a result, drawn given the others: by hand, and against a plain normal model."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.ranking.racing import judge
from orchestrator.ranking.unseen import draw_unseen, stand_ins


def grid(shape=(3, 4, 5), *, noise=0.01, shared=0.0, seed=0) -> np.ndarray:
    random = np.random.default_rng(seed)
    split = 0.05 * random.standard_normal((shape[0], 1, shape[2]))
    common = np.sqrt(shared) * random.standard_normal((1, *shape[1:]))
    rest = np.sqrt(1 - shared) * random.standard_normal(shape)
    return np.asarray(0.8 - 0.02 * np.arange(shape[1])[:, None] + split + noise * (common + rest))


def seen_of(values: np.ndarray, first=2) -> np.ndarray:
    seen = values.copy()
    seen[..., first:] = np.nan
    return seen


def drawn(values: np.ndarray, num_draws=3000) -> np.ndarray:
    found = draw_unseen(values, num_draws, np.random.default_rng(1), first_repeats=2)
    assert found is not None
    return found


def test_values_that_are_there_are_in_every_draw():
    values = seen_of(grid())
    found = drawn(values, 50)
    there = ~np.isnan(values)
    assert (found[:, there] == values[there]).all()
    assert not np.isnan(found).any()
    assert (drawn(grid(), 7) == grid()).all()


def test_missing_combination_stands_in_by_model_and_loss():
    # Model 1 is 0.1 worse than model 0, loss 1 is 0.2 worse than loss 0.
    values = np.array([[[0.8, 0.8], [0.6, 0.6]], [[0.7, 0.7], [np.nan, np.nan]]])
    assert stand_ins(values)[1, 1].tolist() == pytest.approx([0.5, 0.5])
    # A trial that is missing has its loss and the split of its model: repeat 1 is 0.1 easier.
    values = np.array([[[0.8, 0.9], [0.6, np.nan]]])
    assert stand_ins(values)[0, 1].tolist() == pytest.approx([0.6, 0.7])


def test_unseen_repeats_of_a_loss_that_shares_its_split_are_known_better():
    values = seen_of(grid())
    values[:, 1:, 2] = grid()[:, 1:, 2]  # only loss 0 lacks repeat 2
    found = drawn(values)
    spread = found[:, :, 0].std(axis=0)
    assert spread[:, 2].max() < 0.03  # the noise of one trial and of two means
    assert spread[:, 3].min() > 0.05  # the split of repeat 3 is unknown
    error = found[:, :, 0, 2].mean(axis=0) - grid()[:, 0, 2]
    assert np.abs(error).max() < 3 * 0.03


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_draws_of_the_mean_of_a_loss_cover_its_value(shared):
    """Over many grids, the mean of the full grid is in the 90 % interval of the draws."""
    inside = []
    for seed in range(60):
        values = grid(noise=0.02, shared=shared, seed=seed)
        found = draw_unseen(seen_of(values), 300, np.random.default_rng(seed), first_repeats=2)
        assert found is not None
        gap = found[:, :, 0].mean(axis=(1, 2)) - found[:, :, 1].mean(axis=(1, 2))
        low, high = np.quantile(gap, [0.05, 0.95])
        inside.append(low <= values[:, 0].mean() - values[:, 1].mean() <= high)
    assert 0.8 <= np.mean(inside) <= 1.0


def test_one_model_uses_the_noise_of_its_trials():
    assert drawn(seen_of(grid((1, 4, 5))), 20).shape == (20, 1, 4, 5)


def test_no_noise_to_see_gives_no_draws():
    one_repeat = seen_of(grid(), first=1)
    assert draw_unseen(one_repeat, 10, np.random.default_rng(0), first_repeats=2) is None


def test_diverged_trials_count_0_and_raise_the_rate_of_their_loss():
    values = np.stack([seen_of(grid((4, 5, 5), seed=seed)) for seed in range(3)])
    finished = ~np.isnan(values)
    before = judge(values, finished, 300, seed=0)
    assert before.podium == (0, 1, 2)
    for model in range(4):  # half of the first repeats of the best loss
        values[:, model, 0, model % 2] = 0
        finished[:, model, 0, model % 2] = False
    after = judge(values, finished, 300, seed=0)
    assert 0 not in after.podium
    assert after.certainty is not None
