"""FCBFormer against a second statement of it in plain functions, and the authors' numbers."""

from __future__ import annotations

import math

import pytest
import torch
from timm.layers.drop import DropPath
from torch.nn import functional

from tests.unit.workers.models.demands import count
from tests.unit.workers.models.filling import (
    by_reference_name,
    fill,
    noise,
    reference_shapes,
    relative_error,
)
from workers.models import build_model
from workers.models.fcbformer import FullSizeBranch, ResidualBlock

REFERENCE = reference_shapes("fcbformer")
IMAGE = 1.5 * noise((2, 3, 64, 96), stream=999)


@pytest.fixture(scope="module")
def filled():
    return fill(build_model("fcbformer"), gain=2.0)


class Functions:
    """Both decoders as MODELS.md, section 3.7, puts them; tensors under the authors' names."""

    def __init__(self, state):
        self.state = state

    def tensors(self, name):
        return self.state[f"{name}.weight"], self.state[f"{name}.bias"]

    def conv(self, name, x, **options):
        return functional.conv2d(x, *self.tensors(name), **options)

    def block(self, name, x):
        y = x
        for layers in ("in_layers", "out_layers"):
            weight, bias = self.tensors(f"{name}.{layers}.0")
            y = functional.group_norm(y, 32, weight, bias, eps=1e-5)
            y = self.conv(f"{name}.{layers}.2", y * y.sigmoid(), padding=1)
        return y + (self.conv(f"{name}.skip", x) if f"{name}.skip.weight" in self.state else x)

    def two_blocks(self, name, x):
        return self.block(f"{name}.1", self.block(f"{name}.0", x))

    def transformer_branch(self, maps):
        emphasised = []
        for i, x in enumerate(maps):
            x = self.two_blocks(f"TB.LE.{i}", x)
            emphasised.append(x.repeat_interleave(2**i, 2).repeat_interleave(2**i, 3))
        joined = emphasised[3]
        for i in (2, 1, 0):
            joined = self.two_blocks(f"TB.SFA.{i}", torch.cat((emphasised[i], joined), 1))
        return joined

    def full_size_branch(self, image):
        skips = [self.conv("FCB.enc_blocks.0", image, padding=1)]
        for i in range(1, 18):
            name = f"FCB.enc_blocks.{i}"
            if i % 3:
                skips.append(self.block(f"{name}.0", skips[-1]))
            else:
                skips.append(self.conv(f"{name}.0", skips[-1], stride=2, padding=1))
        x = self.two_blocks("FCB.middle_block", skips[-1])
        for i in range(18):
            name = f"FCB.dec_blocks.{i}"
            x = self.block(f"{name}.0", torch.cat((x, skips[17 - i]), 1))
            if i % 3 == 2 and i < 17:
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = self.conv(f"{name}.1.1", x, padding=1)
        return x

    def logits(self, maps, image):
        x = self.transformer_branch(maps).repeat_interleave(4, 2).repeat_interleave(4, 3)
        x = torch.cat((x, self.full_size_branch(image)), 1)
        return self.conv("PH.2", self.two_blocks("PH", x))


def test_the_state_dict_has_the_authors_order(filled):
    shapes = [tuple(tensor.shape) for tensor in filled.state_dict().values()]
    assert shapes == [shape for _, shape in REFERENCE]


def test_parameters_of_every_part(filled):
    parts = {
        "backbone": 44_725_696,
        "pyramid_decoder.emphasis": 1_098_432,
        "pyramid_decoder.aggregation": 580_416,
        "full_size_branch": 6_384_800,
        "head": 172_993,
    }
    assert {name: count(filled.get_submodule(name)) for name in parts} == parts
    assert count(filled) == sum(parts.values()) == 52_962_337


def test_logits_are_those_of_the_second_statement(filled):
    state = by_reference_name(filled, [name for name, _ in REFERENCE])
    with torch.no_grad():
        result = filled(IMAGE)
        expected = Functions(state).logits(filled.backbone(IMAGE), IMAGE)
    assert result.supervised() == ()
    assert relative_error(result.logits_BCHW, expected) < 1e-5


def test_logits_are_those_of_the_authors_code(filled):
    # From Models/models.py of ESandML/FCBFormer at c353199, run with this filling and this image;
    # its up-sampling to 88 and 352 pixels was set to 16x24 and 64x96.
    with torch.no_grad():
        logits = filled(IMAGE).logits_BCHW
    numbers = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
    expected = [3.592617, -5.249377, -3.678473, -11.095373]
    assert [number.item() for number in numbers] == pytest.approx(expected, abs=5e-4)


def test_a_residual_block_by_hand():
    # 32 groups of one channel and one pixel: the norm leaves its bias b; the second one too.
    block = ResidualBlock(32, 32)
    assert isinstance(block.shortcut, torch.nn.Identity)
    for key, value in (("0.bias", 1.0), ("3.bias", 1.0), ("2.bias", 0.5), ("5.bias", 0.5)):
        torch.nn.init.constant_(block.body.get_parameter(key), value)
    torch.nn.init.zeros_(block.body.get_parameter("2.weight"))
    torch.nn.init.dirac_(block.body.get_parameter("5.weight"))
    x = noise((2, 32, 1, 1), stream=1)
    silu_of_one = 1 / (1 + math.exp(-1))
    torch.testing.assert_close(block.eval()(x), x + silu_of_one + 0.5)


def test_nothing_is_dropped_in_training(filled):
    assert not any(isinstance(layer, DropPath) for layer in filled.modules())


def test_the_decoders_start_as_torch_leaves_them():
    torch.manual_seed(0)
    weight, bias = (
        FullSizeBranch().get_parameter(f"down.1.body.2.{key}") for key in ("weight", "bias")
    )
    bound = 1 / math.sqrt(32 * 3 * 3)
    assert 0.95 * bound < weight.abs().max() <= bound
    assert bias.abs().max() > 0
