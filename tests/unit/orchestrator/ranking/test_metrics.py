"""Direction and range of a column by its name; lower-is-better mirrors higher-is-better."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ranking.certainty import certainty
from orchestrator.ranking.metrics import KNOWN, metric_of
from orchestrator.ranking.rank import rank
from tests.unit.orchestrator.ranking.frames import frame, scored
from workers.contract import UserError

NAMES = [
    ("dice", "higher is better, from 0 to 1"),
    ("iou_pooled", "higher is better, from 0 to 1"),
    ("meanIoU", "higher is better, from 0 to 1"),
    ("Dice (%)", "higher is better, from 0 to 1"),
    ("f1-score", "higher is better, from 0 to 1"),
    ("nsd_2mm", "higher is better, from 0 to 1"),
    ("surface_dice", "higher is better, from 0 to 1"),
    ("normalized surface distance", "higher is better, from 0 to 1"),
    ("dice_class_1", "higher is better, from 0 to 1"),
    ("MCC", "higher is better, from -1 to 1"),
    ("HD95", "lower is better, from 0 up"),
    ("test_hd_95", "lower is better, from 0 up"),
    ("hausdorff_distance_95", "lower is better, from 0 up"),
    ("mean surface distance", "lower is better, from 0 up"),
    ("assd_lesion", "lower is better, from 0 up"),
    ("valLoss", "lower is better"),
    ("bce", "lower is better"),
    ("ece", "lower is better, from 0 to 1"),
    ("brier_score", "lower is better, from 0 to 1"),
    ("mae", "lower is better, from 0 up"),
    ("seconds", "lower is better, from 0 up"),
    ("quality", "higher is better"),
]


@pytest.mark.parametrize(("column", "text"), NAMES)
def test_metric_name_sets_direction_and_range(column, text):
    found = metric_of(column)
    assert (found.name, found.text) == (column, text)
    assert found.told == (column != "quality")


@pytest.mark.parametrize("column", ["dice_loss", "loss_dice", "dice_std", "1-dice", "neg_dice"])
def test_ambiguous_metric_name_needs_the_option(column):
    with pytest.raises(UserError, match="add --higher-is-better or --lower-is-better"):
        metric_of(column)
    assert metric_of(column, lower_is_better=True).text == "lower is better"
    assert metric_of(column, lower_is_better=False).text == "higher is better"


def test_known_metric_refuses_another_direction():
    for name, metric in KNOWN.items():
        assert metric_of(name, lower_is_better=metric.lower_is_better) == metric
        with pytest.raises(UserError, match=f"--metric {name}: {metric.better} is better"):
            metric_of(name, lower_is_better=not metric.lower_is_better)


WORST = [
    ("dice", [0.5, 0.8], 0),
    ("dice", [50, 80], 0),
    ("mcc", [0.5, -0.2], -1),
    ("mcc", [50, -20], -100),
    ("ece", [0.5, 0.2], 1),
    ("ece", [50, 20], 100),
    ("hd95", [3, 12], 12),
    ("val_loss", [-0.5, -0.8], -0.5),
    ("quality", [3, 12], 0),
    ("quality", [-3, 12], -3),
    ("hd95", [], 0),
]


@pytest.mark.parametrize(("column", "finished", "worst"), WORST)
def test_diverged_trial_counts_as_the_worst_value(column, finished, worst):
    assert metric_of(column).worst(np.array(finished, dtype=float)) == worst


def test_distances_rank_by_hand():
    table = frame("""
        dataset loss  hd95 status
        k       bce   20   completed
        k       dice  12   completed
        k       focal 31   completed
        c       bce   4    completed
        c       dice  0    diverged
        c       focal 9    completed
    """)
    ranking = rank(scored(table, metric="hd95"))
    podium = ranking.by_dataset
    assert podium is not None
    assert podium.points == {"bce": 5, "dice": 3, "focal": 3}  # c: bce 3, focal 2; dice none
    assert podium.means == {"bce": 12, "dice": 21.5, "focal": 20}  # c dice counts as the worst, 31
    assert podium.blocks["k"].order == ("dice", "bce", "focal")
    assert podium.blocks["k"].means == {"dice": 12, "bce": 20, "focal": 31}
    assert ranking.to_json()["better"] == "lower"
    assert ranking.to_json()["range"] == [0, None]
    assert "hd95: lower is better, from 0 up. A higher value is a worse one;" in ranking.notes[0]


@st.composite
def tables(draw):
    cells = [(d, m, loss, r) for d in "uvw" for m in "xy" for loss in "abc" for r in (0, 1)]
    values = draw(st.lists(st.integers(0, 16), min_size=len(cells), max_size=len(cells)))
    lost = draw(st.lists(st.sampled_from([False] * 9 + [True]), min_size=36, max_size=36))
    table = pd.DataFrame(cells, columns=["dataset", "model", "loss", "repeat"])
    share = np.where(lost, 0, np.array(values) / 16)
    # An error rate of 1 - Dice, exact in binary, with the same diverged trials.
    return table.assign(
        dice=share, error_rate=1 - share, status=np.where(lost, "diverged", "completed")
    )


@settings(deadline=None, max_examples=15)
@given(tables())
def test_error_rate_gives_mirrored_results(table):
    score, error = (scored(table, metric=metric) for metric in ("dice", "error_rate"))
    higher, lower = rank(score), rank(error)
    for one, other in zip(higher.podiums, lower.podiums, strict=True):
        assert one.points == other.points
        assert one.rule_points == other.rule_points
        assert one.agreement == other.agreement
        for name, block in one.blocks.items():
            mirrored = other.blocks[name]
            assert (block.order, block.places) == (mirrored.order, mirrored.places)
            expected = {loss: 1 - mean for loss, mean in block.means.items()}
            assert mirrored.means == pytest.approx(expected)
    sure = [certainty(s, num_draws=0) for s in (score, error)]
    assert (sure[0].group, sure[0].refusal) == (sure[1].group, sure[1].refusal)
    for first, second in zip(sure[0].pairs, sure[1].pairs, strict=True):
        assert (first.first, first.equivalent) == (second.first, second.equivalent)
        assert first.difference == pytest.approx(-second.difference)
        if first.interval and second.interval:
            assert first.interval.low == pytest.approx(-second.interval.high)
