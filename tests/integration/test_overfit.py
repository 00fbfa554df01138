"""Every model overfits eight real images, at 32 or 64 pixels with IoU-Focal and Adam.

The whole networks at 64 pixels: `tests/benchmarks/overfit.py`, table in docs/models.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.benchmarks.overfit import ENOUGH, FULL, Setting, eight_images, overfit
from workers.catalogue.models import MODELS
from workers.models import build_model
from workers.models.fcn import FCN8s

# Learning rate of Adam and the largest number of steps; smaller forms of slow models.
QUICK: dict[str, Setting] = {
    "fcn": Setting(learning_rate=1e-3, max_steps=80),
    "deeplabv3plus": Setting(learning_rate=1e-3, max_steps=60, parameters={"encoder": "resnet18"}),
    "unet": Setting(learning_rate=1e-3, max_steps=60, parameters={"width": 16}),
    "unetpp": Setting(learning_rate=1e-3, max_steps=60, parameters={"width": 16}),
    "colonsegnet": Setting(learning_rate=1e-3, max_steps=60),
    "fat-net": Setting(learning_rate=3e-4, max_steps=60),
    "fcbformer": Setting(learning_rate=3e-4, max_steps=60),
    "colonformer": Setting(
        learning_rate=3e-3, max_steps=80, deep_supervision=False, parameters={"variant": "S"}
    ),
    "caranet": Setting(learning_rate=3e-3, max_steps=80, deep_supervision=False),
    "esfpnet": Setting(learning_rate=1e-3, max_steps=100, parameters={"variant": "T"}),
    "duck-net": Setting(learning_rate=1e-3, max_steps=60),
    "emcad": Setting(learning_rate=1e-3, max_steps=80, parameters={"variant": "B0"}),
    "fanet": Setting(learning_rate=1e-3, max_steps=60),
    "nnunet": Setting(learning_rate=1e-3, max_steps=60, parameters={"stages": 4}),
    "nnunet-resenc": Setting(learning_rate=1e-3, max_steps=60, parameters={"stages": 4}),
    "frozen-vit": Setting(
        learning_rate=1e-3, max_steps=80, parameters={"encoder": "tu-vit_tiny_patch16_224"}
    ),
}
SIDES = {"colonformer": 64, "caranet": 64}
"""Models with maps of stride 8: at 32 pixels 4x4, too coarse for these lesions."""

Images = Callable[[int], tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def eight(sample_data, tmp_path_factory) -> Images:
    """Four images of each of two datasets, with their masks, by side."""
    return functools.cache(
        lambda side: eight_images(sample_data, side, tmp_path_factory.mktemp("c"))
    )


def build(name: str, **parameters: Any) -> nn.Module:
    """Builds a model; FCN with narrow last layers, whose 120 million weights are slow to train."""
    return FCN8s(1, fc_width=256) if name == "fcn" else build_model(name, **parameters)


def test_every_model_except_smp_has_settings():
    assert list(QUICK) == list(FULL) == [name for name in MODELS if name != "smp"]


@pytest.mark.slow
@pytest.mark.sample
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", list(QUICK))
def test_a_model_learns_eight_real_images(eight, name):
    images_BCHW, target_BHW = eight(SIDES.get(name, 32))
    found = overfit(name, QUICK[name], images_BCHW, target_BHW, build=build)
    assert found.train_dice > ENOUGH, found
