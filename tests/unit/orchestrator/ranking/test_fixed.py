"""Errors for these datasets and networks: numbers by hand, SciPy's t test, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from orchestrator.ranking.fixed import corrected_se, fixed_se, image_se
from orchestrator.ranking.lending import find_wild, lend

ALONE_3 = [np.arange(3)]


def test_fixed_se_of_two_repeats_by_hand():
    # Differences of the two losses in the repeats: 1 and 3, so s^2 = 2 and V = 2 / 2.
    values = np.array([[[[5.0, 7.0], [4.0, 4.0]]]])
    errors = fixed_se(values)
    assert errors.se_LL[0, 1] == pytest.approx(1)
    assert errors.df_LL[0, 1] == 1


def test_fixed_se_of_three_losses_lends_by_hand():
    # Two repeats; half differences of the losses 1, 0, -1: s^2 of pairs 2, 8, 2; V = 1, 4, 1.
    values = np.array([[[[0.0, 2.0], [0.0, 0.0], [2.0, 0.0]]]])
    errors = fixed_se(values)
    # V_0 = 2 with d_0 = 2, g = 2: (2 x 2 + V) / 3, df = min(2 + 1, 2).
    assert errors.se_LL[0, [1, 2]] ** 2 == pytest.approx([5 / 3, 8 / 3])
    assert errors.df_LL[0, 1] == 2


def test_fixed_se_takes_the_mean_over_models_as_the_unit():
    random = np.random.default_rng(0)
    values = random.normal(size=(2, 3, 4, 5))
    errors = fixed_se(values)
    assert fixed_se(values.mean(axis=1, keepdims=True)).se_LL == pytest.approx(errors.se_LL)
    level = random.normal(size=(2, 3, 1, 5))  # common to all losses
    assert fixed_se(values + level).se_LL == pytest.approx(errors.se_LL)


def test_fixed_se_grows_with_missing_trials():
    values = np.random.default_rng(1).normal(size=(3, 2, 5, 4))
    lacking = values.copy()
    lacking[:, :, 0, 1:] = np.nan  # a race that spared three repeats of one loss
    whole, fewer = fixed_se(values).se_LL, fixed_se(lacking).se_LL
    others = np.triu_indices(5, 1, 5)
    assert (fewer[0, 1:] > whole[1:, 1:][np.triu_indices(4, 1)].mean()).all()
    assert np.isfinite(fewer[others]).all()


def test_image_se_of_one_repeat_is_that_of_a_paired_t_test():
    random = np.random.default_rng(2)
    scores = random.uniform(size=(2, 1, 30))
    test = ttest_1samp(scores[0, 0] - scores[1, 0], 0)
    errors = image_se([scores], [np.arange(30)])
    assert (scores[0] - scores[1]).mean() / errors.se_LL[0, 1] == pytest.approx(test.statistic)
    assert errors.df_LL[0, 1] == pytest.approx(test.df)


def test_image_se_of_two_repeats_by_hand():
    # Differences: repeat 0 tests images 0, 1 (1 and 3), repeat 1 images 1, 2 (5 and 7); mean 4.
    # z = (u - 4) / 4: images -3/4, -1/4 + 1/4, 3/4; repeats -1, 1; both 9/16 + 1/16 + 1/16 + 9/16.
    tested = np.array([[1.0, 3.0, np.nan], [np.nan, 5.0, 7.0]])
    scores = np.stack([tested, np.zeros((2, 3)) + 0 * tested])
    errors = image_se([scores], ALONE_3)
    images, repeats, both = 3 / 2 * 9 / 8, 2 * 2, 5 / 4
    total = images + repeats - both
    assert errors.se_LL[0, 1] ** 2 == pytest.approx(total)
    assert errors.df_LL[0, 1] == pytest.approx(total**2 / (images**2 / 2 + repeats**2 / 1))


def test_images_of_one_unit_count_once():
    scores = np.random.default_rng(3).uniform(size=(2, 1, 8))
    twice = image_se([np.repeat(scores, 2, axis=2)], [np.repeat(np.arange(8), 2)])
    once = image_se([scores], [np.arange(8)])
    assert twice.se_LL[0, 1] == pytest.approx(once.se_LL[0, 1])
    assert twice.df_LL[0, 1] == once.df_LL[0, 1]


def test_image_se_of_two_equal_datasets_is_smaller_by_the_root_of_two():
    scores = np.random.default_rng(4).uniform(size=(3, 2, 12))
    units = np.arange(12)
    one, two = image_se([scores], [units]), image_se([scores] * 2, [units] * 2)
    assert two.se_LL == pytest.approx(one.se_LL / np.sqrt(2))


def test_corrected_se_by_hand():
    # Differences of the repeats' means 1 and 3: s^2 = 2, times 1/2 + 1/8.
    scores = np.array([[[1.0, 1.0], [2.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])
    errors = corrected_se([scores], np.array([1 / 8]))
    assert errors.se_LL[0, 1] ** 2 == pytest.approx(2 * (1 / 2 + 1 / 8))
    assert errors.df_LL[0, 1] == 1


def test_equal_scores_have_an_error_of_zero():
    assert not fixed_se(np.ones((2, 2, 3, 2))).se_LL.any()
    assert not image_se([np.ones((3, 2, 4))], [np.arange(4)]).se_LL.any()


def test_a_wild_loss_neither_lends_nor_borrows():
    variance = np.full((5, 5), 2.0)
    variance[0] = variance[:, 0] = 40.0
    freedom = np.full((5, 5), 3.0)
    wild = find_wild(np.array([40.0, 1, 1, 1, 1]), np.full(5, 10.0))
    assert wild.tolist() == [True, False, False, False, False]
    errors = lend(variance, freedom, lent=1.0, lent_freedom=9.0, wild_L=wild)
    assert errors.se_LL[0, 1:] ** 2 == pytest.approx([40.0] * 4)
    assert errors.se_LL[1, 2] ** 2 == pytest.approx((4 * 1.0 + 3 * 2.0) / 7)
    assert (errors.df_LL[0, 1], errors.df_LL[1, 2]) == (3, 7)
