"""Scores from counts: by hand, the empty rule, and against a plain loop over fractions."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.metrics import scores

SCORES = (scores.dice, scores.iou, scores.recall, scores.precision)
COUNTS = st.lists(st.tuples(*[st.integers(0, 70_000)] * 4), min_size=1, max_size=6)


def test_two_images_by_hand():
    # Image 1: Dice 2*3/(6+1+2) = 2/3, IoU 3/6, recall 3/5, precision 3/4.
    # Image 2: all right, all scores 1. Pooled: tp 4, fp 1, fn 2: Dice 8/11, IoU 4/7, ...
    counts = np.array([[3, 1, 2, 10], [1, 0, 0, 15]])
    assert scores.score_images(counts) == pytest.approx(
        {
            "dice": (2 / 3 + 1) / 2, "iou": 0.75, "recall": 0.8, "precision": 0.875,
            "dice_pooled": 8 / 11, "iou_pooled": 4 / 7, "recall_pooled": 4 / 6,
            "precision_pooled": 4 / 5,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0, 0, 0, 9), (1, 1, 1, 1)),  # nothing there, nothing found
        ((0, 1, 0, 8), (0, 0, 0, 0)),  # nothing there, one pixel found
        ((0, 0, 1, 8), (0, 0, 0, 0)),  # one pixel there, nothing found
        ((0, 1, 1, 7), (0, 0, 0, 0)),  # one there, another found
        ((9, 0, 0, 0), (1, 1, 1, 1)),  # all lesion
    ],
)
def test_the_empty_rule(counts, expected):
    assert tuple(score(np.array(counts)) for score in SCORES) == expected


def reference(row):
    tp, fp, fn, _ = row
    perfect = Fraction(int(fp == 0 and fn == 0))
    pairs = ((2 * tp, 2 * tp + fp + fn), (tp, tp + fp + fn), (tp, tp + fn), (tp, tp + fp))
    return [Fraction(top, bottom) if bottom else perfect for top, bottom in pairs]


@settings(deadline=None, max_examples=100)
@given(COUNTS)
def test_equals_exact_fractions_in_both_averages(rows):
    result = scores.score_images(np.array(rows))
    names = ("dice", "iou", "recall", "precision")
    per_image = [reference(row) for row in rows]
    pooled = reference([sum(column) for column in zip(*rows, strict=True)])
    for name, values, total in zip(names, zip(*per_image, strict=True), pooled, strict=True):
        assert result[name] == pytest.approx(float(sum(values) / len(rows)), abs=1e-12)
        assert result[f"{name}_pooled"] == pytest.approx(float(total), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(COUNTS)
def test_scores_are_in_unit_interval_and_dice_follows_iou(rows):
    counts = np.array(rows)
    iou = scores.iou(counts)
    np.testing.assert_allclose(scores.dice(counts), 2 * iou / (1 + iou), atol=1e-12)
    for score in SCORES:
        assert ((score(counts) >= 0) & (score(counts) <= 1)).all()


def test_narrow_integers_do_not_overflow():
    counts = np.array([[250, 250, 0, 0], [250, 250, 0, 0]], dtype=np.uint8)
    assert scores.score_images(counts)["iou_pooled"] == 0.5
    assert scores.score_images(counts)["dice"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros((0, 4), int), "at least one image"),
        (np.zeros((2, 3), int), r"expected \(N, 4\)"),
        (np.zeros((2, 4)), "expected integers"),
        (np.array([[1, -1, 0, 0]]), "go down to -1"),
    ],
)
def test_refusals(counts, message):
    with pytest.raises(ValueError, match=message):
        scores.score_images(counts)


def test_scores_need_no_torch():
    code = "import sys, workers.metrics.scores; print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
