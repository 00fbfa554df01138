"""Parameters, multiply-adds and tensor shapes against the measured facts.

Networks are built on torch's meta device: shapes without memory.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch

from tests.unit.workers.models.demands import count, gmacs_224, without_memory
from tests.unit.workers.models.filling import LEFT_OUT, STATISTICS, reference_shapes
from workers.catalogue.models import MODELS

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
    ("colonformer", {"variant": "S"}, 33_068_688, 6.63),
    ("esfpnet", {"variant": "T"}, 3_532_129, 0.514),
    ("esfpnet", {"variant": "S"}, 25_043_649, 3.51),
    ("duck-net", {"filters": 34}, 155_303_507, 73.66),
    ("emcad", {"variant": "B0"}, 3_916_795 - 12, 0.668),
    ("nnunet", {"stages": 4}, 1_928_482, 7.06),
    ("nnunet", {"stages": 5}, 7_766_179, 9.24),
    ("nnunet-resenc", {"stages": 4}, 8_728_674, 15.46),
    ("nnunet-resenc", {"stages": 5}, 37_716_195, 21.83),
]
DEFAULTS: list[tuple[str, dict[str, Any], int, float]] = [
    (entry.name, {}, entry.parameters, entry.gmacs_224) for entry in MODELS.values()
]


STUDIED = [name for name in MODELS if name != "smp"]


def test_the_catalogue_names_every_variant():
    listed = [
        (entry.name, variant.options, variant.parameters, variant.gmacs_224)
        for entry in MODELS.values()
        for variant in entry.variants
    ]
    assert sorted(listed, key=str) == sorted(VARIANTS, key=str)


@pytest.mark.parametrize(("name", "parameters", "num_parameters", "gmacs"), DEFAULTS + VARIANTS)
def test_parameters_are_exact_and_gmacs_within_half_a_percent(
    name, parameters, num_parameters, gmacs
):
    model = without_memory(name, **parameters)
    assert count(model) == num_parameters
    with torch.device("meta"):
        assert gmacs_224(model) == pytest.approx(gmacs, rel=0.005)


@pytest.mark.parametrize("name", STUDIED)
def test_tensor_shapes_equal_the_reference_without_unused(name):
    left_out, num_parameters = LEFT_OUT.get(name, ((), 0))
    expected = Counter(shape for _, shape in reference_shapes(name))
    state = without_memory(name).state_dict()
    assert Counter(tuple(tensor.shape) for tensor in state.values()) == expected
    never_run = [
        row for row in reference_shapes(name, complete=True) if row[0].startswith(left_out)
    ]
    learned = [math.prod(shape) for key, shape in never_run if not STATISTICS.search(key)]
    assert sum(learned) == num_parameters


@pytest.mark.parametrize(("name", "head"), [("fcn", 4096 + 512 + 256 + 3), ("unet", 64 + 1)])
def test_more_classes_widen_only_the_head(name, head):
    one, four = (count(without_memory(name, num_classes=classes)) for classes in (1, 4))
    # FCN's three transposed convolutions map all classes to all classes.
    square = 4 * 4 + 4 * 4 + 16 * 16 if name == "fcn" else 0
    assert four - one == 3 * head + 15 * square
