"""Losses and their gradients stay finite, exact and in float32 whatever arrives."""

from __future__ import annotations

import itertools

import pytest
import torch

from workers.catalogue.losses import STUDY_LOSSES
from workers.losses import build_loss

FILLS = list(itertools.product([-1e4, -100.0, 0.0, 100.0, 1e4], [0, 1]))


def gradient(loss, logits, truth):
    logits = logits.clone().requires_grad_()
    value = loss(logits, truth)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize("name", STUDY_LOSSES)
@pytest.mark.parametrize("sums", ["batch", "image"])
@pytest.mark.parametrize("smooth", [0.0, 1e-6])
def test_extreme_logits_and_uniform_targets(name, sums, smooth):
    region = {p: {"sums": sums, "smooth": smooth} for p in name.split("+") if p in ("iou", "dice")}
    loss = build_loss(name, **(region if "+" in name else region.get(name, {})))
    for fill, lesion in FILLS:
        truth = torch.full((2, 1, 4, 4), lesion)
        value, slope = gradient(loss, torch.full((2, 1, 4, 4), fill), truth)
        assert value.isfinite(), (fill, lesion)
        assert slope.isfinite().all(), (fill, lesion)
        # Right with certainty costs nothing, in every loss.
        if fill == (1e4 if lesion else -1e4):
            assert value.item() == 0, (fill, lesion)


@pytest.mark.parametrize("name", STUDY_LOSSES)
def test_extreme_logits_over_classes(name):
    loss = build_loss(name)
    for scale in (1e4, -1e4, 100.0):
        logits = scale * torch.eye(3).view(1, 3, 1, 3).expand(2, 3, 3, 3)
        for true_class in range(3):
            truth = torch.full((2, 3, 3), true_class)
            value, slope = gradient(loss, logits, truth)
            assert value.isfinite()
            assert slope.isfinite().all()


@pytest.mark.parametrize("name", STUDY_LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_autocast_and_half_precision_logits_change_nothing(name, dtype, num_classes):
    generator = torch.Generator().manual_seed(0)
    loss = build_loss(name)
    logits = (10 * torch.randn(2, num_classes, 64, 64, generator=generator)).to(dtype)
    truth = torch.randint(max(2, num_classes), (2, 64, 64), generator=generator)
    expected, _ = gradient(loss, logits.float(), truth)
    with torch.autocast("cpu", dtype=dtype):
        value, slope = gradient(loss, logits, truth)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert slope.dtype == dtype
    assert slope.isfinite().all()


@pytest.mark.parametrize("name", STUDY_LOSSES)
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("sums", ["batch", "image"])
def test_gradients_equal_finite_differences(name, num_classes, sums):
    generator = torch.Generator().manual_seed(1)
    region = {p: {"sums": sums} for p in name.split("+") if p in ("iou", "dice")}
    loss = build_loss(name, **(region if "+" in name else region.get(name, {})))
    shape = (2, num_classes, 2, 3)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    truth = torch.randint(max(2, num_classes), (2, 2, 3), generator=generator)
    assert torch.autograd.gradcheck(lambda x: loss(x, truth), logits)


@pytest.mark.parametrize("gamma", [0.0, 0.2, 2.0])
def test_focal_slope_is_that_of_float64_at_both_ends(gamma):
    # Naive p**0.2 has an infinite slope at p = 0 and gives NaN there.
    logits = torch.tensor([-80.0, -20.0, -1.0, 1.0, 20.0, 80.0]).view(1, 1, 2, 3)
    loss = build_loss("focal", gamma=gamma)
    for lesion in (0, 1):
        truth = torch.full((1, 2, 3), lesion)
        _, single = gradient(loss, logits, truth)
        _, double = gradient(loss, logits.double(), truth)
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", ["iou", "dice"])
def test_an_empty_truth_gives_no_rounding_noise_as_gradient(name):
    # 1 - smooth / (|A| + smooth): slope smooth p (1 - p) / |A|^2, about 4e-15 here. Rounded
    # differences of 1/|A| would be 1e-12, and Adam would follow them.
    logits = torch.zeros(1, 1, 64, 64)
    value, slope = gradient(build_loss(name), logits, torch.zeros(1, 64, 64))
    assert value.item() == pytest.approx(1)
    assert slope.flatten()[0].item() == pytest.approx(1e-6 * 0.25 / 2048**2, rel=1e-3)
