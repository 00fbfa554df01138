"""Losses against numbers worked out by hand, the formulas in float64, and smp."""

from __future__ import annotations

import math

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from workers.catalogue.losses import STUDY_LOSSES
from workers.losses import build_loss

LN2 = math.log(2)
LOGIT_08 = math.log(4)  # sigmoid(ln 4) = 0.8, sigmoid(-ln 4) = 0.2
EXACT = {"smooth": 0}


def image(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 2, 2)


# One lesion pixel of four.
TRUTH = image(1, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        # p = 0.5 everywhere: |A| = 2, |B| = 1, both = 0.5, union = 2.5.
        ("iou", EXACT, 1 - 0.5 / 2.5),
        ("dice", EXACT, 1 - 2 * 0.5 / 3),
        ("iou", {"smooth": 1}, 1 - 1.5 / 3.5),
        ("dice", {"smooth": 1}, 1 - (2 * 0.5 + 1) / (3 + 1)),
        ("bce", {}, LN2),
        ("focal", {}, 0.8 * 0.5**0.2 * LN2),
        ("focal", {"alpha": 0.25, "gamma": 2}, 0.25 * 0.25 * LN2),
        ("focal", {"alpha": 1, "gamma": 0}, LN2),
    ],
)
def test_undecided_prediction(name, parameters, expected):
    loss = build_loss(name, **parameters)(image(0, 0, 0, 0), TRUTH)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert loss.shape == ()
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # p = 0.8, 0.2, 0.2, 0.2: |A| = 1.4, both = 0.8, union = 1.6; p of the truth 0.8 always.
        ("iou", 0.5),
        ("dice", 1 - 1.6 / 2.4),
        ("bce", -math.log(0.8)),
        ("focal", -0.8 * 0.2**0.2 * math.log(0.8)),
        ("iou+dice", 0.5 + 1 / 3),
        ("iou+bce", 0.5 - math.log(0.8)),
        ("iou+focal", 0.5 - 0.8 * 0.2**0.2 * math.log(0.8)),
        ("dice+bce", 1 / 3 - math.log(0.8)),
        ("dice+focal", 1 / 3 - 0.8 * 0.2**0.2 * math.log(0.8)),
        ("bce+focal", -math.log(0.8) * (1 + 0.8 * 0.2**0.2)),
    ],
)
def test_the_ten_losses_of_the_study(name, expected):
    logits = image(LOGIT_08, -LOGIT_08, -LOGIT_08, -LOGIT_08)
    assert build_loss(name)(logits, TRUTH).item() == pytest.approx(expected, abs=2e-6)


def test_sums_over_the_batch_or_by_image():
    # Image 1 as above: both 0.8, union 1.6. Image 2, all lesion at p = 0.5: both 2, union 4.
    logits = torch.cat((image(LOGIT_08, -LOGIT_08, -LOGIT_08, -LOGIT_08), image(0, 0, 0, 0)))
    truth = torch.cat((TRUTH, image(1, 1, 1, 1)))
    by_batch = build_loss("iou", sums="batch", smooth=0)(logits, truth).item()
    by_image = build_loss("iou", sums="image", smooth=0)(logits, truth).item()
    assert by_batch == pytest.approx(1 - 2.8 / 5.6)
    assert by_image == pytest.approx((0.5 + 0.5) / 2)
    dice_by_image = build_loss("dice", sums="image", smooth=0)(logits, truth).item()
    assert dice_by_image == pytest.approx((1 / 3 + 1 - 4 / 6) / 2)


def test_weights_follow_their_parts_in_any_order():
    # iou 0.8, focal with gamma 0 and alpha 1: ln 2.
    options = {"iou": EXACT, "focal": {"alpha": 1, "gamma": 0}}
    logits = image(0, 0, 0, 0)
    forward = build_loss("iou+focal", weights=[1, 3], **options)(logits, TRUTH).item()
    backward = build_loss("focal+iou", weights=[3, 1], **options)(logits, TRUTH).item()
    assert forward == backward == pytest.approx(0.8 + 3 * LN2)


def test_three_classes_by_hand():
    # 2x2 pixels, classes 0 1 / 2 0. Uniform softmax: p = 1/3 for every class and pixel.
    logits = torch.zeros(1, 3, 2, 2)
    truth = torch.tensor([[[0, 1], [2, 0]]])
    # Class 0: both 2/3, |A| 4/3, |B| 2. Classes 1 and 2: both 1/3, |A| 4/3, |B| 1.
    iou = ((2 / 3) / (4 / 3 + 2 - 2 / 3) + 2 * (1 / 3) / (4 / 3 + 1 - 1 / 3)) / 3
    dice = ((4 / 3) / (4 / 3 + 2) + 2 * (2 / 3) / (4 / 3 + 1)) / 3
    expected = {
        "iou": 1 - iou,
        "dice": 1 - dice,
        "bce": math.log(3),
        "focal": 0.8 * (2 / 3) ** 0.2 * math.log(3),
    }
    for name, value in expected.items():
        assert build_loss(name)(logits, truth).item() == pytest.approx(value, abs=1e-6), name


def formula(name, logits, truth):
    """The study's formulas, literally, in numpy float64."""
    p = 1 / (1 + np.exp(-logits))
    both, union = (p * truth).sum(), p.sum() + truth.sum() - (p * truth).sum()
    values = {
        "iou": 1 - (both + 1e-6) / (union + 1e-6),
        "dice": 1 - (2 * both + 1e-6) / (p.sum() + truth.sum() + 1e-6),
        "bce": -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean(),
        "focal": -(
            0.8 * (1 - p) ** 0.2 * truth * np.log(p) + 0.8 * p**0.2 * (1 - truth) * np.log(1 - p)
        ).mean(),
    }
    return sum(values[part] for part in name.split("+"))


@pytest.mark.parametrize("name", STUDY_LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_published_formula(name, seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=4, size=(3, 1, 16, 16))
    truth = (generator.random((3, 1, 16, 16)) < 0.2).astype(np.float64)
    expected = formula(name, logits, truth)
    loss = build_loss(name)
    double = loss(torch.from_numpy(logits), torch.from_numpy(truth))
    assert double.dtype == torch.float64
    assert double.item() == pytest.approx(expected, rel=1e-12)
    single = loss(torch.from_numpy(logits).float(), torch.from_numpy(truth))
    assert single.item() == pytest.approx(expected, rel=1e-5)


def multiclass_formula(logits, truth):
    """Each loss over C classes, literally, in numpy float64."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p_true = np.take_along_axis(p, truth[:, None], 1)
    iou, dice = [], []
    for c in range(logits.shape[1]):
        both, a, b = (p[:, c] * (truth == c)).sum(), p[:, c].sum(), (truth == c).sum()
        iou.append((both + 1e-6) / (a + b - both + 1e-6))
        dice.append((2 * both + 1e-6) / (a + b + 1e-6))
    return {
        "iou": 1 - np.mean(iou),
        "dice": 1 - np.mean(dice),
        "bce": -np.log(p_true).mean(),
        "focal": -(0.8 * (1 - p_true) ** 0.2 * np.log(p_true)).mean(),
    }


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_equals_the_formula_over_classes(num_classes):
    generator = np.random.default_rng(num_classes)
    logits = generator.normal(scale=3, size=(2, num_classes, 8, 8))
    truth = generator.integers(num_classes, size=(2, 8, 8))
    for name, expected in multiclass_formula(logits, truth).items():
        loss = build_loss(name)(torch.from_numpy(logits), torch.from_numpy(truth))
        assert loss.item() == pytest.approx(expected, rel=1e-12), name


# smp writes Dice as tp / (tp + fp/2 + fn/2): its smoothing term is half of that of 2 tp / (...).
@pytest.mark.parametrize(
    ("name", "smooth", "theirs", "their_smooth"),
    [
        ("dice", 0.0, smp.losses.DiceLoss, 0.0),
        ("dice", 1.0, smp.losses.DiceLoss, 0.5),
        ("iou", 0.0, smp.losses.JaccardLoss, 0.0),
        ("iou", 1.0, smp.losses.JaccardLoss, 1.0),
    ],
)
def test_agrees_with_smp_where_no_class_is_absent(name, smooth, theirs, their_smooth):
    generator = torch.Generator().manual_seed(0)
    ours = build_loss(name, smooth=smooth)
    logits = torch.randn(2, 1, 8, 8, generator=generator)
    truth = (torch.rand(2, 1, 8, 8, generator=generator) > 0.5).long()
    expected = theirs(mode="binary", smooth=their_smooth)(logits, truth)
    torch.testing.assert_close(ours(logits, truth), expected)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    truth = torch.randint(3, (2, 8, 8), generator=generator)
    expected = theirs(mode="multiclass", smooth=their_smooth)(logits, truth)
    torch.testing.assert_close(ours(logits, truth), expected)


def test_an_absent_class_counts_unlike_in_smp():
    # Truth all class 0, prediction all class 1 (logit 20): class 1 is wrong, not left out.
    logits = torch.tensor([0.0, 20.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    truth = torch.zeros(1, 2, 2, dtype=torch.long)
    assert build_loss("dice")(logits, truth).item() == pytest.approx(1)
    assert smp.losses.DiceLoss(mode="multiclass")(logits, truth).item() == pytest.approx(0.5)


STACKED = (
    torch.tensor([[2.0, -1.0], [0.5, -3.0]], dtype=torch.float64).expand(2, 1, 2, 2),
    torch.tensor([[[1, 0], [1, 0]], [[0, 0], [0, 0]]]),
)
"""The case `column` and the case `empty` of the catalogue as one batch."""


@pytest.mark.parametrize(
    ("name", "by_batch", "by_image"),
    [
        # TP 1.503256, |A| 3.639246, |B| 2.
        ("iou", 1 - 1.503256 / (3.639246 + 2 - 1.503256), (0.351028 + 0.999999) / 2),
        ("dice", 1 - 2 * 1.503256 / (3.639246 + 2), (0.212877 + 0.999999) / 2),
        # Sorted errors 3, 1.5 (background), 0.5 (lesion); 1 - IoU grows to 1/3, 1/2 and 3/4.
        ("lovasz-hinge", 3 * 1 / 3 + 1.5 * 1 / 6 + 0.5 * 1 / 4, (0.25 + 3.0) / 2),
        # Background: TP 3.864010, |A| 4.360754, |B| 6, and weight (2 / 6)^2.
        (
            "generalised-dice",
            1 - 2 * (1.503256 + 3.864010 / 9) / (3.639246 + 2 + (4.360754 + 6) / 9),
            (0.203278 + 0.454906) / 2,
        ),
    ],
)
def test_sums_by_batch_and_by_image(name, by_batch, by_image):
    assert build_loss(name, sums="batch")(*STACKED).item() == pytest.approx(by_batch, abs=2e-6)
    assert build_loss(name, sums="image")(*STACKED).item() == pytest.approx(by_image, abs=2e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iou", (0.338348, 0.727453)),
        ("dice", (0.203692, 0.647209)),
        ("squared-dice", (0.067863, 0.610549)),
        ("tversky", (0.203915, 0.684379)),
        ("focal-tversky", (0.303069, 0.736606)),
        ("boundary", (0.101639, 0.0)),
        ("lovasz-softmax", (0.255306, 0.454906)),
        # These are as with one channel.
        ("generalised-dice", (0.203278, 0.454906)),
        ("focal-lin", (0.008605, 0.384423)),
        ("balanced-ce", (0.120357, 0.0)),
        ("poly-focal", (0.027372, 0.620438)),
        ("smoothed-ce", (0.321964, 0.884464)),
        ("distance-ce", (0.240714, 0.865714)),
        ("unified-focal", (0.259362, 0.541292)),
        ("asymmetric-focal", (0.217926, 0.480298)),
    ],
)
def test_two_channels_by_hand(name, expected):
    logits, masks = STACKED
    both = torch.cat((torch.zeros_like(logits), logits), dim=1)
    for image, value in enumerate(expected):
        one = slice(image, image + 1)
        assert build_loss(name)(both[one], masks[one]).item() == pytest.approx(value, abs=2e-6)


def test_hausdorff_erosion_by_hand():
    # Nine wrong pixels: a cross of ones has the mean 1 in the middle, 0.8 at an edge, 0.6 in a
    # corner. E_1 is 0.5, four times 0.3 and four times 0.1. E_2: (0.5 + 4 x 0.3) / 5 - 0.5 < 0.
    logits = torch.full((1, 1, 3, 3), 100.0)
    value = build_loss("hausdorff-erosion")(logits, torch.zeros(1, 3, 3))
    assert value.item() == pytest.approx((0.5 + 4 * 0.3 + 4 * 0.1) / 9)


def test_soft_truth_of_the_jaccard_metric():
    # |p| 1.819623, |y| 2, and |p - y| 0.618259 with y = 0.95 and 0.05.
    logits, masks = STACKED
    soft = 0.05 + 0.9 * masks[:1].double()
    given = build_loss("jaccard-metric", smooth=0)(logits[:1], soft).item()
    smoothed = build_loss("jaccard-metric", smooth=0, label_smoothing=0.1)(logits[:1], masks[:1])
    assert given == smoothed.item() == pytest.approx(1 - 3.201364 / 4.437882, abs=2e-6)
    # Its minimum is at p = y; that of IoU is not.
    exact = torch.logit(soft)[:, None]
    assert build_loss("jaccard-metric", smooth=0)(exact, soft).item() == pytest.approx(0, abs=1e-9)
    assert build_loss("iou", smooth=0)(exact, soft).item() == pytest.approx(0.173516, abs=2e-6)


def test_least_weight_of_balanced_ce_keeps_a_gradient_on_an_empty_mask():
    logits, masks = STACKED
    logits = logits[1:].clone().requires_grad_()
    value = build_loss("balanced-ce", least_weight=0.05)(logits, masks[1:])
    value.backward()
    assert value.item() == pytest.approx(0.05 * 0.865714, abs=1e-6)
    assert logits.grad is not None
    assert (logits.grad > 0).all()
