"""DUCK-Net against a second statement of it in plain functions, and the authors' numbers."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.unit.workers.models.demands import without_memory
from tests.unit.workers.models.filling import (
    by_reference_name,
    fill,
    noise,
    reference_shapes,
    relative_error,
)
from workers.models import build_model

REFERENCE = reference_shapes("duck-net")
IMAGE = 1.5 * noise((2, 3, 32, 64), stream=999)


def build(**options):
    return build_model("duck-net", **options)


@pytest.fixture(scope="module")
def filled():
    return fill(build(filters=4), gain=1.1)


class Functions:
    """The network as MODELS.md, section 3.12, puts it; tensors under the names of its list."""

    def __init__(self, state):
        self.state = state

    def conv(self, name, x, stride=1, dilation=1):
        """Convolves with the padding of Keras: the odd zero of an even kernel goes behind."""
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        if stride == 1:
            total = [dilation * (edge - 1) for edge in weight.shape[2:]]
            top, left = (zeros // 2 for zeros in total)
            x = functional.pad(x, (left, total[1] - left, top, total[0] - top))
        return functional.conv2d(x, weight, bias, stride=stride, dilation=dilation)

    def norm(self, name, x):
        mean, var, gain, bias = (
            self.state[f"{name}.{key}"][:, None, None]
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * gain + bias

    def crb(self, name, x, dilation=1):
        return self.norm(f"{name}.bn", self.conv(f"{name}.conv", x, dilation=dilation).relu())

    def residual(self, name, x):
        main = self.crb(f"{name}.c2", self.crb(f"{name}.c1", x))
        return self.norm(f"{name}.bn", main + self.conv(f"{name}.short", x).relu())

    def residuals(self, name, x, count):
        for i in range(count):
            x = self.residual(f"{name}.{i}", x)
        return x

    def duck(self, name, x):
        x = self.norm(f"{name}.bn_in", x)
        wide = middle = x
        for i in range(3):
            wide = self.crb(f"{name}.wide.{i}", wide, dilation=i + 1)
        for i in range(2):
            middle = self.crb(f"{name}.mid.{i}", middle, dilation=i + 1)
        deep = [self.residual(f"{name}.res1", x)]
        deep += [self.residuals(f"{name}.res{count}", x, count) for count in (2, 3)]
        separated = self.crb(f"{name}.sep.1", self.crb(f"{name}.sep.0", x))
        return self.norm(f"{name}.bn_out", sum([wide, middle, *deep, separated]))

    def logits(self, image):
        features = [self.duck("t0", image)]
        for k in range(1, 6):
            image = self.conv(f"p.{k - 1}", image, stride=2)
            x = self.conv(f"l{k}", features[-1], stride=2) + image
            features.append(self.duck(f"t{k}", x) if k < 5 else x)
        x = self.residuals("t53", self.residuals("t51", features.pop(), 2), 2)
        for name in ("q4", "q3", "q6", "q1", "z1"):
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = self.duck(name, x + features.pop())
        return self.conv("out", x)


def test_the_state_dict_has_the_reference_order():
    state = without_memory("duck-net").state_dict()
    assert [tuple(t.shape) for t in state.values()] == [shape for _, shape in REFERENCE]


def test_parameters_of_every_block():
    model = without_memory("duck-net")
    counts: Counter[str] = Counter()
    for (name, _), tensor in zip(REFERENCE, model.state_dict(keep_vars=True).values(), strict=True):
        counts[name.split(".")[0]] += tensor.numel() * tensor.requires_grad
    assert counts == {
        "p": 787_542, "t0": 37_882, "l1": 2_346, "t1": 200_362, "l2": 9_316, "t2": 796_076,
        "l3": 37_128, "t3": 3_173_560, "l4": 148_240, "t4": 12_672_752, "l5": 592_416,
        "t51": 11_255_360, "t53": 3_556_128, "q4": 4_172_616, "q3": 1_045_908, "q6": 262_854,
        "q1": 66_402, "z1": 50_762, "out": 18,
    }  # fmt: skip
    assert sum(isinstance(module, nn.Conv2d) for module in model.modules()) == 273
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == 282


def test_logits_are_those_of_the_second_statement(filled):
    state = by_reference_name(filled, [name for name, _ in REFERENCE])
    with torch.no_grad():
        result = filled(IMAGE)
        assert result.auxiliary == ()
        assert relative_error(result.logits_BCHW, Functions(state).logits(IMAGE)) < 1e-5


def test_logits_are_those_of_the_authors_code(filled):
    # From DUCK_Net.py of RazvanDu/DUCK-Net at 7cc6517 with 4 filters, run with tensorflow 2.21,
    # this filling and this image; the sigmoid at its end taken off.
    with torch.no_grad():
        logits = filled(IMAGE).logits_BCHW
    numbers = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
    expected = [0.363441, -0.98804, -0.57406, -0.974409]
    assert [number.item() for number in numbers] == pytest.approx(expected, abs=5e-5)


def test_separated_convolution_reaches_2_before_3_behind():
    torch.manual_seed(0)
    separated = build(filters=4).stem.branches[-1].eval()
    point = torch.zeros(1, 3, 16, 16)
    point[..., 8, 8] = 1
    with torch.no_grad():
        changed = (separated(point) - separated(torch.zeros_like(point))).abs().sum(1)[0] > 0
    rows, columns = changed.nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 10, 5, 10)


def test_batch_norm_has_the_constants_of_keras():
    norms = [m for m in build(filters=1).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_initial_weights_are_he_or_glorot_uniform():
    torch.manual_seed(0)
    model = build(filters=8)
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        assert layer.bias is not None, name
        assert not layer.bias.any(), name
        fan_in = layer.weight[0].numel()
        fan_out = layer.weight[:, 0].numel()
        glorot = layer.stride == (2, 2) or name == "head"
        bound = math.sqrt(6 / (fan_in + fan_out * glorot))
        assert layer.weight.abs().max() <= bound, name
        if layer.weight.numel() > 500:
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
