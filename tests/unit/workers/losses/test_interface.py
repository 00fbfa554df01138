"""Which targets a loss takes, and what it says of those it does not."""

from __future__ import annotations

import pytest
import torch

from workers.catalogue import CatalogueError
from workers.losses import build_loss

LOGITS = torch.tensor([[[[1.0, -2.0], [0.5, 3.0]]], [[[-1.0, 2.0], [0.0, 1.0]]]])
MASK = torch.tensor([[[1, 0], [0, 1]], [[0, 1], [1, 1]]])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 1, 2, 2)])
def test_binary_targets_of_any_type_and_shape_are_equal(dtype, shape):
    loss = build_loss("iou+focal")
    assert torch.equal(loss(LOGITS, MASK.to(dtype).view(shape)), loss(LOGITS, MASK))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 1, 2, 2)])
def test_class_targets_of_any_type_and_shape_are_equal(dtype, shape):
    loss = build_loss("iou+focal")
    logits = torch.cat((LOGITS, -LOGITS), dim=1)
    assert torch.equal(loss(logits, MASK.to(dtype).view(shape)), loss(logits, MASK))


def test_soft_labels_are_allowed_for_one_channel():
    value = build_loss("bce")(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1), 0.25))
    assert value.item() == pytest.approx(0.6931472)


def test_memory_layout_does_not_matter():
    loss = build_loss("dice+bce")
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.randint(3, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    strided = loss(logits.to(memory_format=torch.channels_last), truth)
    torch.testing.assert_close(strided, loss(logits, truth))


def test_a_loss_has_neither_parameters_nor_state():
    loss = build_loss("iou+focal")
    assert not list(loss.parameters())
    assert not loss.state_dict()


@pytest.mark.parametrize(
    ("logits", "target", "message"),
    [
        ((2, 1, 4, 4), (2, 4, 5), r"logits .*\(2, 1, 4, 4\), target \(2, 4, 5\); expected target"),
        ((2, 1, 4, 4), (2, 2, 4, 4), r"expected target \(2, 4, 4\) or \(2, 1, 4, 4\)"),
        ((2, 3, 4, 4), (2, 3, 4, 4), r"expected target \(2, 4, 4\) or \(2, 1, 4, 4\)"),
        ((2, 1, 4, 4), (1, 4, 4), "expected target"),
        ((4, 4), (4, 4), r"expected logits \(B, C, H, W\)"),
        ((0, 1, 4, 4), (0, 4, 4), "at least one pixel"),
    ],
)
def test_wrong_shapes_are_named(logits, target, message):
    with pytest.raises(ValueError, match=message):
        build_loss("iou")(torch.zeros(logits), torch.zeros(target, dtype=torch.long))


@pytest.mark.parametrize(
    ("num_classes", "value", "message"),
    [
        (1, 255, "from 255 to 255; expected 0 to 1"),
        (1, -1, "from -1 to -1"),
        (1, float("nan"), "from nan to nan"),
        (3, 3, "from 3 to 3; expected 0 to 2"),
        (3, 1.0, r"convert them with target.long\(\)"),
    ],
)
def test_wrong_values_are_named(num_classes, value, message):
    with pytest.raises(ValueError, match=message):
        build_loss("bce")(torch.zeros(1, num_classes, 2, 2), torch.full((1, 2, 2), value))


def test_integer_logits_are_refused():
    with pytest.raises(ValueError, match="expected a floating type"):
        build_loss("bce")(torch.zeros(1, 1, 2, 2, dtype=torch.long), torch.zeros(1, 2, 2))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("iou+iou", {}),
        ("iou+nothing", {}),
        ("iou+focal", {"weights": [1]}),
        ("iou+focal", {"weights": [-1, 1]}),
        ("iou+focal", {"weights": [0, 0]}),
        ("focal", {"gama": 2}),
    ],
)
def test_the_catalogue_checks_before_anything_is_built(name, parameters):
    with pytest.raises(CatalogueError):
        build_loss(name, **parameters)
