"""nnU-Net's networks have the numbers of the authors' library, and its initial weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.unit.workers.models.demands import without_memory
from tests.unit.workers.models.filling import fill, noise, reference_shapes
from workers.models import build_model
from workers.models.nnunet import ResidualBlock

IMAGE = 1.5 * noise((2, 3, 64, 96), stream=999)

# From MIC-DKFZ/dynamic-network-architectures at d35f85c, with 5 stages, this filling and this
# image; the maps of strides 2 and 4 were enlarged bilinearly. No bit differed.
NUMBERS: dict[str, list[list[float]]] = {
    "nnunet": [
        [0.657719, 0.080057, 0.318385, 1.415163],
        [0.411265, 0.987999, 0.509251, 1.675639],
        [0.498728, 0.937506, 0.663623, 0.794253],
    ],
    "nnunet-resenc": [
        [0.680904, -0.198608, -0.327682, -0.757786],
        [0.455847, 0.412979, -0.075967, 0.813299],
        [0.461321, -0.031395, -0.067931, 0.126136],
    ],
}


@pytest.mark.parametrize("name", list(NUMBERS))
def test_order_and_numbers_equal_the_reference(name):
    whole = without_memory(name).state_dict()
    assert [tuple(t.shape) for t in whole.values()] == [s for _, s in reference_shapes(name)]
    model = fill(build_model(name, stages=5), gain=2.2)
    with torch.no_grad():
        output = model(IMAGE)
    assert output.weights == (0.5, 0.25)
    for logits, expected in zip(
        (output.logits_BCHW, *output.auxiliary), NUMBERS[name], strict=True
    ):
        pixels = (logits[0, 0, 0, 0], logits[1, 0, 40, 20])
        numbers = [number.item() for number in (*torch.std_mean(logits), *pixels)]
        assert numbers == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("stages", "weights"), [(4, (0.5,)), (5, (0.5, 0.25))])
def test_fewer_stages_have_fewer_maps_and_take_small_images(stages, weights):
    model = build_model("nnunet", stages=stages)
    side = 2**stages
    with torch.no_grad():
        output = model(torch.zeros(1, 3, max(side, 32), 32))
    assert output.weights == weights
    assert len(output.auxiliary) == len(weights)


def test_initial_weights_are_those_of_the_authors():
    torch.manual_seed(0)
    model = build_model("nnunet-resenc", stages=4)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 50_000:
            fan_in = layer.weight[0].numel()
            expected = math.sqrt(2 / (1 + 0.01**2) / fan_in)
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.02)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
            assert not layer.bias.any()
        if isinstance(layer, ResidualBlock):
            assert not layer.last_norm.weight.any()


def test_residual_block_starts_as_its_shortcut():
    torch.manual_seed(0)
    block = ResidualBlock(3, 8, stride=2)
    nn.init.zeros_(block.last_norm.weight)
    pooled = functional.avg_pool2d(IMAGE, 2)
    kernel = block.get_parameter("shortcut.1.0.weight")
    expected = functional.instance_norm(functional.conv2d(pooled, kernel))
    with torch.no_grad():
        torch.testing.assert_close(block(IMAGE), functional.leaky_relu(expected, 0.01))


def test_shortcut_of_equal_widths_only_pools():
    shortcuts = [stage[0].shortcut for stage in without_memory("nnunet-resenc").down]
    layers = [[type(layer) for layer in shortcut] for shortcut in shortcuts]
    projected = [nn.AvgPool2d, nn.Sequential]
    assert layers == [[], projected, projected, projected, projected, [nn.AvgPool2d]]
