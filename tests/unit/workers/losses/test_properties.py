"""What holds for every loss, whatever the images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.catalogue.losses import STUDY_LOSSES
from workers.losses import build_loss

REGION = ("iou", "dice")
PROPERTY = settings(deadline=None, max_examples=40)
SEEDS = st.integers(0, 2**32)


def example(seed, num_classes=1, num_images=3):
    """Random logits of a random scale, a truth of random density; float64."""
    generator = torch.Generator().manual_seed(seed)
    scale, density = torch.rand(2, generator=generator).tolist()
    shape = (num_images, num_classes, 4, 5)
    logits = 20 * scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    if num_classes > 1:
        return logits, torch.randint(num_classes, (num_images, 4, 5), generator=generator)
    return logits, torch.rand(num_images, 4, 5, generator=generator) < density


@PROPERTY
@given(SEEDS, st.sampled_from(REGION), st.sampled_from(["batch", "image"]), st.integers(1, 4))
def test_region_losses_lie_in_the_unit_interval(seed, name, sums, num_classes):
    logits, truth = example(seed, num_classes)
    value = build_loss(name, sums=sums)(logits, truth).item()
    assert -1e-12 <= value <= 1 + 1e-12


@PROPERTY
@given(SEEDS, st.sampled_from(["batch", "image"]), st.integers(1, 4))
def test_iou_loss_is_never_below_dice_loss(seed, sums, num_classes):
    logits, truth = example(seed, num_classes)
    iou, dice = (build_loss(name, sums=sums)(logits, truth) for name in REGION)
    assert iou >= dice - 1e-12


@PROPERTY
@given(SEEDS, st.sampled_from(STUDY_LOSSES), st.integers(1, 4))
def test_a_perfect_prediction_costs_nothing(seed, name, num_classes):
    _, truth = example(seed, num_classes)
    if num_classes == 1:
        logits = 200.0 * (2 * truth[:, None].double() - 1)
    else:
        logits = 200.0 * torch.nn.functional.one_hot(truth, num_classes).movedim(-1, 1).double()
    assert build_loss(name)(logits, truth).item() == pytest.approx(0, abs=1e-9)


@PROPERTY
@given(SEEDS, st.sampled_from(STUDY_LOSSES), st.integers(1, 4), st.permutations(range(3)))
def test_the_order_of_the_images_does_not_matter(seed, name, num_classes, order):
    logits, truth = example(seed, num_classes)
    loss = build_loss(name)
    torch.testing.assert_close(loss(logits[order], truth[order]), loss(logits, truth))


@PROPERTY
@given(SEEDS, st.sampled_from(STUDY_LOSSES))
def test_repeating_the_batch_changes_nothing(seed, name):
    logits, truth = example(seed)
    region = {part: {"smooth": 0} for part in name.split("+") if part in REGION}
    loss = build_loss(name, **(region if "+" in name else region.get(name, {})))
    twice = loss(logits.repeat(2, 1, 1, 1), truth.repeat(2, 1, 1))
    torch.testing.assert_close(twice, loss(logits, truth))


@PROPERTY
@given(SEEDS, st.sampled_from(["bce", "focal", "bce+focal"]))
def test_two_classes_equal_one_channel(seed, name):
    # softmax(0, x) is (1 - sigmoid(x), sigmoid(x)).
    logits, truth = example(seed)
    both = torch.cat((torch.zeros_like(logits), logits), dim=1)
    loss = build_loss(name)
    torch.testing.assert_close(loss(both, truth.long()), loss(logits, truth))


@PROPERTY
@given(SEEDS, st.sampled_from(REGION))
def test_two_classes_give_the_mean_of_lesion_and_background(seed, name):
    logits, truth = example(seed)
    both = torch.cat((torch.zeros_like(logits), logits), dim=1)
    loss = build_loss(name)
    expected = (loss(logits, truth) + loss(-logits, ~truth)) / 2
    torch.testing.assert_close(loss(both, truth.long()), expected)


@PROPERTY
@given(SEEDS, st.integers(2, 4), st.sampled_from(STUDY_LOSSES))
def test_a_constant_added_to_all_classes_changes_nothing(seed, num_classes, name):
    logits, truth = example(seed, num_classes)
    loss = build_loss(name)
    torch.testing.assert_close(loss(logits + 7, truth), loss(logits, truth))
