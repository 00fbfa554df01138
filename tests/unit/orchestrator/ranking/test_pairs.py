"""Errors, intervals and tests of pairs: numbers by hand, other programs, then properties."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

from orchestrator.ranking.lending import PairErrors
from orchestrator.ranking.pairs import (
    centred,
    effect_size,
    fill,
    half_widths,
    pair_se,
    strata,
    tie_group,
    tukey,
)
from orchestrator.ranking.tukey import studentized_range

EXAMPLE_DML = (
    np.array(
        [
            [[800, 806, 790], [700, 702, 698]],
            [[600, 609, 596], [500, 503, 499]],
            [[900, 901, 895], [850, 858, 849]],
        ]
    )
    / 1000
)
"""The worked example of docs/ranking.md: three datasets, two models, three losses."""


def differences(x_DML: np.ndarray) -> np.ndarray:
    mean_L = x_DML.mean(axis=(0, 1))
    return np.asarray(mean_L[:, None] - mean_L)


def test_worked_example_gives_the_documented_digits():
    found = strata(centred(EXAMPLE_DML))
    squares = [gram[0, 0] + gram[1, 1] - 2 * gram[0, 1] for gram in found.grams]
    assert np.array(squares) * 1e6 == pytest.approx([2.167, 1.5, 24.5], abs=5e-4)
    errors = pair_se(EXAMPLE_DML)
    assert errors.df_LL[0, 1] == 2  # d 1, d_0 2, g 2
    assert errors.se_LL[0, 1] ** 2 * 6e6 == pytest.approx(28.83, abs=5e-3)
    assert errors.se_LL[0, 1] == pytest.approx(0.002192, abs=5e-7)
    difference_LL = differences(EXAMPLE_DML)
    assert difference_LL[1, 0] == pytest.approx(0.0048, abs=5e-5)
    width = half_widths(errors, 0.95)[1, 0]
    assert difference_LL[1, 0] - width == pytest.approx(-0.0046, abs=5e-5)
    assert difference_LL[1, 0] + width == pytest.approx(0.0143, abs=5e-5)
    p_LL, simultaneous_LL = tukey(difference_LL, errors, 0.95)
    assert difference_LL[1, 0] - simultaneous_LL[1, 0] == pytest.approx(-0.0081, abs=5e-5)
    assert difference_LL[1, 0] + simultaneous_LL[1, 0] == pytest.approx(0.0177, abs=5e-5)
    assert p_LL[1, 0] == pytest.approx(0.273, abs=5e-4)
    assert tie_group(difference_LL, errors, 0.05).all()


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_two_losses_on_one_model_give_the_paired_t_test():
    x_DML = noise((7, 1, 2))
    errors = pair_se(x_DML)
    expected = stats.ttest_rel(x_DML[:, 0, 0], x_DML[:, 0, 1])
    low, high = expected.confidence_interval(0.95)
    assert errors.df_LL[0, 1] == 6
    assert 2 * half_widths(errors, 0.95)[0, 1] == pytest.approx(high - low)
    p_LL, _ = tukey(differences(x_DML), errors, 0.95)
    assert p_LL[0, 1] == pytest.approx(expected.pvalue)


def test_one_dataset_and_one_model_exchange_their_roles():
    x_DML = noise((5, 1, 4))
    turned = pair_se(np.moveaxis(x_DML, 0, 1))
    assert np.allclose(pair_se(x_DML).se_LL, turned.se_LL)


def test_mean_squares_equal_the_anova_of_statsmodels():
    x_DML = noise((4, 3, 5), seed=1) + 3 * noise((4, 1, 5), seed=2)
    index = np.indices(x_DML.shape).reshape(3, -1)
    table = pd.DataFrame(dict(zip("dml", index, strict=True)) | {"y": x_DML.ravel()})
    fitted = smf.ols("y ~ C(d) * C(m) + C(l) + C(d):C(l) + C(m):C(l)", table).fit()
    squares = anova_lm(fitted)["mean_sq"]
    found = strata(centred(x_DML))
    ours = [np.trace(gram) / 4 for gram in found.grams]  # L - 1 = 4 degrees of freedom each
    expected = [squares["C(d):C(l)"], squares["C(m):C(l)"], squares["Residual"]]
    assert ours == pytest.approx(expected)


@pytest.mark.parametrize(("number", "df"), [(2, 1), (3, 2), (10, 9), (40, 5000)])
def test_studentized_range_equals_scipy(number, df):
    own = studentized_range(number)
    q = np.array([0.0, 1.0, 3.5, 60.0])
    expected = stats.studentized_range.sf(q, number, df)
    assert own.sf(q, np.full(4, df)) == pytest.approx(expected, abs=1e-8)
    limit = own.isf(0.05, np.array([df]))
    assert stats.studentized_range.sf(limit, number, df) == pytest.approx(0.05)


def test_wild_loss_lends_no_variance_to_other_pairs():
    x_DML = noise((6, 4, 6))
    x_DML[..., 5] *= 30
    wild, alone = pair_se(x_DML), pair_se(x_DML[..., :5])
    assert np.allclose(wild.se_LL[:5, :5], alone.se_LL)
    assert np.allclose(wild.df_LL[:5, :5], alone.df_LL)
    assert set(wild.df_LL[5, :5]) == {3}  # min(6, 4) - 1: nothing is lent


def test_tie_group_excludes_by_the_one_sided_limit():
    limit = stats.t.isf(0.05 / 2, 10)
    errors = PairErrors(se_LL=np.ones((3, 3)), df_LL=np.full((3, 3), 10.0))
    mean_L = np.array([0.0, -0.99 * limit, -1.01 * limit])
    group_L = tie_group(mean_L[:, None] - mean_L, errors, 0.05)
    assert group_L.tolist() == [True, True, False]


def test_no_spread_gives_no_p_value():
    x_DML = np.zeros((3, 3, 3)) + np.array([0.1, 0.2, 0.3])
    errors = pair_se(x_DML)
    p_LL, widths_LL = tukey(differences(x_DML), errors, 0.95)
    assert np.isnan(p_LL).all()
    assert np.isnan(widths_LL).all()
    assert tie_group(differences(x_DML), errors, 0.05).all()


def test_fill_restores_an_additive_table():
    additive_DML = noise((4, 5, 1)) + noise((4, 1, 3), seed=1) + noise((1, 5, 3), seed=2)
    holes_DML = additive_DML.copy()
    holes_DML[0, 1, 2] = holes_DML[3, 3, 0] = np.nan
    assert np.allclose(fill(holes_DML), additive_DML, atol=1e-6)
    assert fill(additive_DML) is additive_DML


def test_fill_of_one_model_uses_cell_and_loss():
    x_DML = np.array([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, np.nan]]])
    assert fill(x_DML)[2, 0, 1] == pytest.approx(6, abs=1e-6)


def test_effect_size_by_hand():
    assert effect_size([0.1, 0.3]) == pytest.approx(0.2 / np.sqrt(0.02))
    assert effect_size([0.1, float("nan"), 0.3]) == effect_size([0.1, 0.3])
    assert effect_size([0.1]) is None
    assert effect_size([0.1, 0.1]) is None
