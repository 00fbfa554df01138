"""Each test against a published example, scipy or scikit-posthocs; then the refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from orchestrator.ranking.significance import (
    critical_difference,
    exact_signed_rank,
    holm,
    holm_impossible,
    significance,
    wilcoxon_holm,
)
from tests.unit.orchestrator.ranking.frames import scored
from workers.contract import UserError

DEMSAR = """
0.763 0.768 0.771 0.798
0.599 0.591 0.590 0.569
0.954 0.971 0.968 0.967
0.628 0.661 0.654 0.657
0.882 0.888 0.886 0.898
0.936 0.931 0.916 0.931
0.661 0.668 0.609 0.685
0.583 0.583 0.563 0.625
0.775 0.838 0.866 0.875
1.000 1.000 1.000 1.000
0.940 0.962 0.965 0.962
0.619 0.666 0.614 0.669
0.972 0.981 0.9751 0.975
0.957 0.978 0.946 0.970
"""
"""AUC of four variants of C4.5 on 14 data sets (Demsar 2006, table 6).

The 13th row prints 0.975 twice but ranks the third column before the fourth.
"""


def blocks(values: np.ndarray) -> pd.DataFrame:
    """Makes a table of (blocks, losses), one dataset a block."""
    rows = [
        (f"d{block:02}", f"loss{loss}", values[block, loss])
        for block, loss in np.ndindex(values.shape)
    ]
    return pd.DataFrame(rows, columns=["dataset", "loss", "dice"])


def demsar() -> np.ndarray:
    return np.array([[float(x) for x in line.split()] for line in DEMSAR.split("\n") if line])


def noise(num_blocks: int, num_losses: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((num_blocks, num_losses))


def test_the_example_of_demsar():
    found = significance(scored(blocks(demsar())))
    assert found.critical_difference is not None
    assert found.friedman is not None
    ranks = found.critical_difference.mean_ranks
    published = {"loss0": 3.143, "loss1": 2.000, "loss2": 2.893, "loss3": 1.964}
    assert ranks == pytest.approx(published, abs=0.0005)
    assert list(ranks) == ["loss3", "loss1", "loss2", "loss0"]
    # Printed 1.25 with q rounded to 2.569.
    assert found.critical_difference.difference == pytest.approx(1.25, abs=0.005)
    # He prints 9.28 and F = 3.69, without the correction for ties: here three pairs and a four.
    ties = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * (4**3 - 4))
    plain = found.friedman.statistic * ties
    assert plain == pytest.approx(9.28, abs=0.005)
    assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=0.005)


def test_the_critical_differences_of_ten_losses():
    assert critical_difference(10, 6, 0.05) == pytest.approx(5.53, abs=0.005)
    assert critical_difference(10, 72, 0.05) == pytest.approx(1.60, abs=0.005)
    # q of Demsar 2006, table 5 (a): two, five and ten classifiers at 0.05 and 0.10.
    for num, alpha, q in ((2, 0.05, 1.960), (5, 0.05, 2.728), (10, 0.05, 3.164), (5, 0.1, 2.459)):
        scale = np.sqrt(num * (num + 1) / 6)
        assert critical_difference(num, 1, alpha) == pytest.approx(q * scale, abs=0.001 * scale)


def test_friedman_equals_scipy():
    values = np.round(noise(12, 4), 1)  # with ties
    found = significance(scored(blocks(values))).friedman
    assert found is not None
    expected = stats.friedmanchisquare(*values.T)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.concordance == pytest.approx(expected.statistic / (12 * 3))
    f = 11 * expected.statistic / (12 * 3 - expected.statistic)
    assert found.iman_davenport_statistic == pytest.approx(f)
    assert found.iman_davenport_p == pytest.approx(stats.f.sf(f, 3, 33))


def test_groups_equal_nemenyi_of_scikit_posthocs():
    values = (noise(15, 5) + np.array([0, 0.1, 0.4, 0.6, 0.9])) / 2
    diagram = significance(scored(blocks(values))).critical_difference
    assert diagram is not None
    table = scikit_posthocs.posthoc_nemenyi_friedman(values)
    for one in range(5):
        for other in range(one):
            names = {f"loss{one}", f"loss{other}"}
            together = any(names <= set(group) for group in diagram.groups)
            assert together == (table.loc[one, other] >= 0.05)
    assert len(diagram.groups) > 1


def test_wilcoxon_with_holm_equals_scikit_posthocs():
    values = (noise(15, 4) + np.array([0, 0.1, 0.4, 0.6])) / 2
    found = significance(scored(blocks(values)))
    table = scikit_posthocs.posthoc_wilcoxon(list(values.T), p_adjust="holm")
    assert len(found.wilcoxon) == 6
    for pair in found.wilcoxon:
        one, other = int(pair.first[-1]) + 1, int(pair.second[-1]) + 1
        assert pair.p_holm == pytest.approx(table.loc[one, other])
        assert pair.significant == (pair.p_holm <= 0.05)
    assert {pair.significant for pair in found.wilcoxon} == {True, False}


@pytest.mark.parametrize(
    ("number", "digits"), [(1, 12), (4, 1), (4, 12), (7, 1), (7, 12), (50, 12)]
)  # with ties, scipy has no exact p-value for 50 blocks
def test_exact_signed_rank_equals_scipy(number, digits):
    differences = np.round(np.random.default_rng(number).normal(0.3, 1, number), digits)
    differences = differences[differences != 0]
    assert exact_signed_rank(differences) == pytest.approx(stats.wilcoxon(differences).pvalue)


def test_the_exact_signed_rank_by_hand():
    # All five positive: 2 of 32 sign patterns are as extreme.
    assert exact_signed_rank(np.array([1.0, 2, 3, 4, 5])) == pytest.approx(2 / 32)
    assert exact_signed_rank(np.array([1.0, 1, 1])) == pytest.approx(2 / 8)
    assert exact_signed_rank(np.array([])) == 1
    assert exact_signed_rank(np.array([1.0, -1])) == 1


def test_the_signed_rank_of_many_blocks_by_hand():
    # 60 blocks in two decimals: 30 differ by +0.01, 20 by -0.01, 10 by +0.02. The mean ranks of the
    # sizes are 25.5 and 55.5: W+ = 30 x 25.5 + 10 x 55.5 = 1320, of 1830. Its variance is
    # 60 x 61 x 121 / 24 - (50^3 - 50 + 10^3 - 10) / 48 = 15828.75.
    expected = 2 * stats.norm.sf((1320 - 915) / np.sqrt(15828.75))
    hundredths = np.repeat([1, -1, 2], [30, 20, 10])
    base = np.random.default_rng(0).integers(50, 90, 60)
    for scale in (1, 100, 0.1):  # integers have no rounding; 0.82 - 0.81 is not 0.52 - 0.51
        values = np.stack([base + hundredths, base], axis=1) / scale
        assert wilcoxon_holm(values, "ab", 0.05)[0].p == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(0.001286, abs=1e-6)


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1, 1])


def test_repeats_are_averaged_and_never_blocks():
    values = noise(8, 3)
    table = blocks(values)
    twice = pd.concat([table.assign(repeat=0), table.assign(repeat=1)])
    assert significance(scored(twice)) == significance(scored(table))


def test_blocks_are_datasets_by_models():
    values = noise(12, 3)
    table = blocks(values)
    number = table["dataset"].str[1:].astype(int)
    product = table.assign(dataset=(number % 3).astype(str), model=(number // 3).astype(str))
    found, expected = significance(scored(product)), significance(scored(table))
    assert found.num_blocks == 12
    assert found.friedman == expected.friedman
    assert found.critical_difference == expected.critical_difference


def test_too_few_blocks_for_wilcoxon_are_refused():
    found = significance(scored(blocks(noise(6, 10))))
    assert found.wilcoxon == ()
    assert found.refusals == (
        "Wilcoxon with Holm can never be significant here: 6 blocks give a p-value of 0.031 at "
        "best, and the first threshold for 45 pairs of 10 losses is 0.0011.",
    )
    assert found.friedman is not None
    assert "rough" in found.notes[0]
    assert holm_impossible(10, 10, 0.05) is not None  # 0.00195
    assert holm_impossible(11, 10, 0.05) is None  # 0.00098


def test_incomplete_block_is_not_used_and_diverged_is_worst():
    table = blocks(noise(8, 3))
    hole = significance(scored(table.iloc[1:]))
    assert (hole.num_blocks, hole.num_blocks_left_out) == (7, 1)
    assert "1 dataset x model blocks lack a loss" in " ".join(hole.notes)
    lost = significance(
        scored(table.assign(status=np.where(table["loss"] == "loss0", "diverged", "ok")))
    )
    assert lost.critical_difference is not None
    assert lost.critical_difference.mean_ranks["loss0"] == 3
    assert lost.losses[-1] == "loss0"


def test_losses_that_are_always_equal():
    found = significance(scored(blocks(np.full((8, 3), 0.5))))
    assert found.friedman is not None
    assert (found.friedman.statistic, found.friedman.p) == (0, 1)
    assert found.critical_difference is not None
    assert found.critical_difference.groups == (("loss0", "loss1", "loss2"),)
    assert all(pair.p == 1 for pair in significance(scored(blocks(np.full((12, 3), 0.5)))).wilcoxon)


def test_the_same_order_in_every_block():
    found = significance(scored(blocks((noise(9, 1) + np.array([[0, 1, 2]])) / 3)))
    assert found.friedman is not None
    assert found.friedman.concordance == pytest.approx(1)
    assert found.friedman.iman_davenport_statistic is None
    assert found.friedman.iman_davenport_p == 0


@pytest.mark.parametrize(
    ("num_blocks", "num_losses", "message"),
    [
        (12, 1, "there is only one loss"),
        (4, 3, "4 blocks of dataset x model with every loss, and a test needs"),
        (1, 3, "1 block of dataset"),
    ],
)
def test_too_little_data_gives_a_refusal(num_blocks, num_losses, message):
    found = significance(scored(blocks(noise(num_blocks, num_losses))))
    assert (found.friedman, found.critical_difference, found.wilcoxon) == (None, None, ())
    assert message in found.refusals[0]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["refusals"]


def test_two_losses_have_no_friedman_but_a_pair():
    found = significance(scored(blocks(noise(8, 2))))
    assert found.friedman is None
    assert len(found.wilcoxon) == 1
    assert found.refusals == ("Friedman's test needs three losses; there are two.",)


def test_nothing_finished():
    found = significance(scored(blocks(noise(8, 3)).assign(status="diverged")))
    assert found.refusals == ("No test is possible: no trial finished.",)


def test_alpha_is_a_share():
    with pytest.raises(UserError, match="--alpha 2"):
        significance(scored(blocks(noise(8, 3))), alpha=2)
