"""Parameters, multiply-adds and tensor shapes against the measured facts.

Networks are built on torch's meta device: shapes without memory.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from workers.catalogue.models import MODELS
from workers.models import build_model

SHAPES = Path(__file__).parents[3] / "data" / "shapes"

# Measured from the public implementations: parameters and GMAC of one 1x3x224x224 forward pass.
VARIANTS: list[tuple[str, dict[str, Any], int, float]] = [
    ("unet", {"encoder": "resnet34"}, 24_436_369, 5.98),
    ("unet", {"encoder": "resnet50"}, 32_521_105, 8.14),
    ("unet", {"encoder": "vgg16_bn"}, 23_756_689, 18.94),
    ("unetpp", {"deep_supervision": False}, 9_163_329, 26.40),
    ("unetpp", {"encoder": "resnet34"}, 26_078_609, 14.08),
    ("unetpp", {"encoder": "resnet50"}, 48_985_745, 43.98),
    ("deeplabv3plus", {"encoder": "resnet34"}, 22_437_457, 6.04),
    ("deeplabv3plus", {"encoder": "resnet50"}, 26_677_585, 7.00),
    ("deeplabv3plus", {"encoder": "resnet101"}, 45_669_713, 10.71),
]
DEFAULTS: list[tuple[str, dict[str, Any], int, float]] = [
    (entry.name, {}, entry.parameters, entry.gmacs_224) for entry in MODELS.values()
]


def build_without_memory(name, **parameters):
    with torch.device("meta"):
        return build_model(name, **parameters)


def count_parameters(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("name", "parameters", "num_parameters", "gmacs"), DEFAULTS + VARIANTS)
def test_parameters_to_the_unit_and_gmacs_within_half_a_percent(
    name, parameters, num_parameters, gmacs
):
    model = build_without_memory(name, **parameters).eval()
    assert count_parameters(model) == num_parameters
    with FlopCounterMode(display=False) as flops:
        model(torch.zeros(1, 3, 224, 224, device="meta"))
    assert flops.get_total_flops() / 2e9 == pytest.approx(gmacs, rel=0.005)


@pytest.mark.parametrize("name", list(MODELS))
def test_tensor_shapes_are_those_of_the_reference(name):
    reference = json.loads((SHAPES / f"{name}.json").read_text())
    expected = Counter(tuple(shape) for _, shape in reference)
    state = build_without_memory(name).state_dict()
    assert Counter(tuple(tensor.shape) for tensor in state.values()) == expected


@pytest.mark.parametrize(("name", "head"), [("fcn", 4096 + 512 + 256 + 3), ("unet", 64 + 1)])
def test_more_classes_widen_only_the_head(name, head):
    one, four = (
        count_parameters(build_without_memory(name, num_classes=classes)) for classes in (1, 4)
    )
    # FCN's three transposed convolutions map all classes to all classes.
    square = 4 * 4 + 4 * 4 + 16 * 16 if name == "fcn" else 0
    assert four - one == 3 * head + 15 * square
