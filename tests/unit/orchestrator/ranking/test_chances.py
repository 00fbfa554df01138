"""Drawn sweeps: probabilities by hand, then their limits."""

from __future__ import annotations

import numpy as np
import pytest

from orchestrator.ranking.chances import (
    again_sweeps,
    chances,
    null_sweeps,
    peculiar,
)
from orchestrator.ranking.divergence import Divergence
from orchestrator.ranking.places import points_of
from orchestrator.ranking.podium_chances import chances_of_places, places_of


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return generator(seed).standard_normal(shape)


def points(blocks_KBL: np.ndarray) -> np.ndarray:
    listed = range(blocks_KBL.shape[2])
    return np.asarray(points_of(blocks_KBL, ties="split", listed=listed).sum(axis=1))


def test_chances_of_places_by_hand():
    # Sole leader; two joint leaders; three joint on places 2 to 4, of which 2 and 3 count.
    points_KL = np.array([[9, 5, 4, 1], [6, 6, 5, 1], [9, 3, 3, 3]])
    assert places_of(points_KL).tolist() == [[1, 2, 3, 4], [1, 1, 3, 4], [1, 2, 2, 2]]
    assert chances_of_places(points_KL, 1) == pytest.approx([2.5 / 3, 0.5 / 3, 0, 0])
    assert chances_of_places(points_KL, 3) == pytest.approx([1, 8 / 9, 8 / 9, 2 / 9])


def test_equal_losses_win_each_dataset_by_a_fair_coin():
    # Two losses, three datasets, one model: one of them wins all three with 2 / 2^3.
    drawn = null_sweeps(noise((3, 1, 2)), num_draws=20_000, random=generator())
    points_KL = points(drawn.dataset_KDL)
    assert (points_KL.max(axis=1) == 9).mean() == pytest.approx(1 / 4, abs=0.01)
    assert not drawn.true_KL.any()


def test_new_sweep_has_the_variance_of_its_components():
    # Interactions with 199 degrees of freedom and more are hardly uncertain: a^2 = 4 by dataset,
    # b^2 = 9 by model, c^2 = 1 by cell.
    x_DML = 2 * noise((200, 1, 2)) + 3 * noise((1, 200, 2), 1) + noise((200, 200, 2), 2)
    drawn = chances(x_DML, num_draws=300, random=generator())
    blocks = drawn.dataset_KDL - drawn.dataset_KDL.mean(axis=1, keepdims=True)
    assert (blocks**2).mean() == pytest.approx(4 + 1 / 200, rel=0.15)
    blocks = drawn.model_KML - drawn.model_KML.mean(axis=1, keepdims=True)
    assert (blocks**2).mean() == pytest.approx(9 + 1 / 200, rel=0.15)
    # The mean over all is the same in both.
    assert np.allclose(drawn.dataset_KDL.mean(axis=1), drawn.model_KML.mean(axis=1))


def test_losses_without_noise_keep_their_differences():
    effect_L = np.array([0.3, 0.1, 0.0])
    x_DML = effect_L + 1e-9 * noise((4, 3, 3))
    drawn = chances(x_DML, num_draws=100, random=generator())
    assert drawn.true_KL == pytest.approx(np.tile(effect_L - effect_L.mean(), (100, 1)), abs=1e-6)
    assert (drawn.dataset_KDL.argmax(axis=2) == 0).all()


def test_seen_differences_as_small_as_noise_are_shrunk_to_a_tie():
    # The means of the losses are equal: no difference is true in any draw.
    x_DML = noise((5, 4, 6))
    x_DML -= x_DML.mean(axis=(0, 1))
    drawn = chances(x_DML, num_draws=100, random=generator())
    assert not np.ptp(drawn.true_KL, axis=1).any()
    assert chances_of_places(drawn.true_KL, 1) == pytest.approx(np.full(6, 1 / 6))
    assert chances_of_places(drawn.true_KL, 3) == pytest.approx(np.full(6, 1 / 2))


def test_peculiar_finds_the_far_and_the_wild_loss():
    x_DML = noise((6, 6, 8))
    assert not np.any(peculiar(x_DML))
    x_DML[..., 0] -= 20
    x_DML[..., 1] *= 20
    x_DML[..., 1] -= x_DML[..., 1].mean()
    far_L, wild_L = peculiar(x_DML)
    assert np.flatnonzero(far_L).tolist() == [0]
    assert np.flatnonzero(wild_L).tolist() == [1]
    x_DML[..., 1] -= 50  # three standard errors or more from the others
    assert np.flatnonzero(peculiar(x_DML)[0]).tolist() == [0, 1]


def test_far_and_wild_losses_have_their_own_variance():
    # Without step 1, loss 0 would make the true differences of the other losses seem large.
    x_DML = 0.01 * noise((6, 6, 8))
    x_DML[..., 0] -= 5
    x_DML[..., 1] *= 30
    x_DML[..., 1] -= x_DML[..., 1].mean()
    drawn = chances(x_DML, num_draws=2000, random=generator())
    assert drawn.true_KL[:, 0].mean() == pytest.approx(-5, abs=0.01)
    spread_L = (drawn.dataset_KDL - drawn.dataset_KDL.mean(axis=1, keepdims=True)).std(axis=(0, 1))
    assert spread_L[1] > 10 * spread_L[2:].max()
    assert np.ptp(drawn.true_KL[:, 2:], axis=1).max() < 0.05


def test_new_repeats_without_noise_show_the_same_blocks():
    mean_DML = noise((3, 4, 5))
    values_DMLR = np.repeat(mean_DML[..., None], 3, axis=3) + 1e-12 * noise((3, 4, 5, 3), 1)
    drawn = again_sweeps(mean_DML, values_DMLR, num_draws=50, random=generator())
    seen_DL = mean_DML.mean(axis=1) - mean_DML.mean(axis=(1, 2))[:, None]
    assert np.allclose(drawn.dataset_KDL, seen_DL, atol=1e-6)


def test_new_repeats_differ_by_twice_the_noise_of_a_mean():
    # True effects far above the noise: a block of new repeats differs by the error of the seen mean
    # and by its own, (1 + 1) e^2 / (M R).
    values_DMLR = 100 * noise((4, 6, 5, 1)) + noise((4, 6, 5, 50), 1)
    drawn = again_sweeps(values_DMLR.mean(axis=3), values_DMLR, num_draws=500, random=generator())
    rest_KDL = drawn.dataset_KDL - drawn.dataset_KDL.mean(axis=0)
    assert (rest_KDL**2).mean() == pytest.approx(2 / (6 * 50), rel=0.2)


def test_missing_repeats_leave_the_drawn_noise_unchanged():
    values_DMLR = 100 * noise((6, 8, 5, 1)) + noise((6, 8, 5, 10), 1)
    values_DMLR[generator().random(values_DMLR.shape) < 0.3] = np.nan
    x_DML = np.nanmean(values_DMLR, axis=3)
    drawn = again_sweeps(x_DML, values_DMLR, num_draws=500, random=generator())
    rest_KDL = drawn.dataset_KDL - drawn.dataset_KDL.mean(axis=0)
    assert (rest_KDL**2).mean() == pytest.approx(2 / (8 * 7), rel=0.2)


def test_diverged_trials_cost_their_loss_the_expected_amount():
    x_DML = np.full((3, 4, 3), 0.8) + 1e-9 * noise((3, 4, 3))
    divergence = Divergence(
        num_diverged_DML=np.zeros((3, 4, 3), dtype=int) + np.array([0, 0, 50]),
        num_finished_DML=np.full((3, 4, 3), 100),
        cost_DM=np.full((3, 4), 0.8),
        num_repeats=100,
    )
    drawn = chances(x_DML, num_draws=500, random=generator(), divergence=divergence)
    lost = drawn.dataset_KDL[..., 0] - drawn.dataset_KDL[..., 2]
    assert lost.mean() == pytest.approx(0.4, abs=0.01)
    assert drawn.true_KL.mean(axis=0)[2] == pytest.approx(-0.4, abs=0.01)
    assert (drawn.model_KML.argmin(axis=2) == 2).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_trials_of_a_block_that_diverge_together_count_less(axis):
    # The same number of diverged trials: spread evenly, or all of one block of each loss.
    even = np.ones((5, 5, 5), dtype=int)
    together = np.zeros((5, 5, 5), dtype=int)
    for loss in range(5):
        np.moveaxis(together, axis, 0)[loss, :, loss] = 5
    spread = []
    for number_DML in (even, together):
        found = Divergence(
            num_diverged_DML=number_DML,
            num_finished_DML=np.full((5, 5, 5), 10),
            cost_DM=np.full((5, 5), 0.8),
            num_repeats=10,
        )
        lost = found.lost(2000, generator())
        assert lost.true_KL.mean() == pytest.approx(0.08, abs=0.01)
        assert lost.dataset_KDL.mean() == pytest.approx(0.08, abs=0.01)
        total_KL = lost.model_KML.mean(axis=1)
        assert total_KL == pytest.approx(lost.dataset_KDL.mean(axis=1))
        spread.append(total_KL.std())
    assert found.axis == axis
    # Of 50 trials in each of five blocks 25, 0, 0, 0, 0 where 5 are expected with variance 4.5:
    # (20^2 + 4 x 5^2) / 4.5 / 4.
    assert found.clustering == pytest.approx(500 / 18)
    assert spread[1] > 2 * spread[0]
