"""The shared building blocks: numbers by hand, and a fault of the CPU's library kept away."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from tests.unit.workers.models.filling import noise, relative_error
from workers.models.blocks import DilatedConv2d, SqueezeExcite, conv_norm_act


@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (3, 9), (5, 2), (7, 1)])
def test_the_default_padding_keeps_the_size(kernel_size, dilation):
    block = conv_norm_act(2, 3, kernel_size=kernel_size, dilation=dilation)
    assert block(torch.zeros(2, 2, 8, 5)).shape == (2, 3, 8, 5)


def types(layers):
    return [type(layer) for layer in layers]


def test_norm_and_activation_are_optional():
    assert types(conv_norm_act(2, 3)) == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert types(conv_norm_act(2, 3, norm=None)) == [nn.Conv2d, nn.ReLU]
    assert types(conv_norm_act(2, 3, activation=None)) == [nn.Conv2d, nn.BatchNorm2d]


def test_squeeze_excite_by_hand():
    # Means 1 and 3; hidden 1 + 3 = 4; gates sigmoid(4) and sigmoid(-4).
    block = SqueezeExcite(2, reduction=2)
    weights = {"gate.0.weight": [[1.0, 1.0]], "gate.2.weight": [[1.0], [-1.0]]}
    block.load_state_dict({name: torch.tensor(rows) for name, rows in weights.items()})
    with torch.no_grad():
        result = block(torch.tensor([[[[0.0, 2.0]], [[3.0, 3.0]]]]))
    high, low = 0.98201379, 0.01798621
    assert result.flatten().tolist() == pytest.approx([0, 2 * high, 3 * low, 3 * low], rel=1e-6)


def test_dilated_convolution_in_bfloat16_has_right_gradients():
    # torch's own convolution ends the process here, or writes beyond its memory.
    layer = DilatedConv2d(17, 17, 3, padding=3, dilation=3, bias=False)
    image = noise((2, 17, 32, 32), 1).requires_grad_()
    slope = noise((2, 17, 32, 32), 2)
    output = conv2d(image, layer.weight, padding=3, dilation=3)
    expected = torch.autograd.grad(output, (layer.weight, image), slope)
    layer.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(image.to(memory_format=torch.channels_last))
    result = torch.autograd.grad(output, (layer.weight, image), slope.bfloat16())
    for gradient, known in zip(result, expected, strict=True):
        assert relative_error(gradient, known) < 0.02
