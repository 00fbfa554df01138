"""The blocks of CaraNet and ColonFormer against second statements of them in plain functions."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, prelu

from tests.unit.workers.models.demands import count
from tests.unit.workers.models.filling import fill, noise, relative_error
from workers.models.reverse_attention import (
    AxisAttention,
    FeaturePyramid,
    ReverseAttention,
    axial_attention,
)

SQUARE = noise((2, 16, 6, 6), stream=1)
WIDE = noise((2, 16, 4, 6), stream=1)
GAMMA = 0.7


def filled(module):
    fill(module, gain=2.0)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, AxisAttention):
                part.gamma.fill_(GAMMA)
    return module


def point(layer, x):
    """1x1 convolution without bias."""
    return torch.einsum("oi,bihw->bohw", layer.weight[..., 0, 0], x)


def along_the_width(attention, x):
    """MODELS.md, section 3.8: one map of columns by columns, shared by all rows."""
    q, k, v = (point(layer, x) for layer in (attention.query, attention.key, attention.value))
    weight = torch.einsum("bchi,bchj->bij", q, k).sigmoid()
    return GAMMA * torch.einsum("bchj,bij->bchi", v, weight) + x


def along_the_height(attention, x):
    """What attention over the height would be: rows by rows, shared by all columns."""
    q, k, v = (point(layer, x) for layer in (attention.query, attention.key, attention.value))
    weight = torch.einsum("bciw,bcjw->bij", q, k).sigmoid()
    return GAMMA * torch.einsum("bcjw,bij->bciw", v, weight) + x


@torch.no_grad()
@pytest.mark.parametrize("axis", [2, 3])
def test_both_attentions_act_along_the_width_of_a_square_map(axis):
    attention = filled(AxisAttention(16, axis))
    result = attention(SQUARE)
    assert relative_error(result, along_the_width(attention, SQUARE)) < 1e-5
    assert relative_error(result, along_the_height(attention, SQUARE)) > 0.01
    assert relative_error(attention(SQUARE.mT.contiguous()).mT, result) > 0.01


@torch.no_grad()
def test_axis_attention_over_height_uses_memory_order():
    # Position n of channel c is row n // W, column n % W; the view puts it in column n % H of its
    # own. So the map of H=4 by 4 joins pixels (h, w) with (6h + w) mod 4 alike.
    attention = filled(AxisAttention(16, axis=2))
    q, k, v = (point(layer, WIDE) for layer in (attention.query, attention.key, attention.value))
    expected = WIDE.clone()
    height, width = 4, 6
    for b in range(len(WIDE)):
        weight = torch.zeros(height, height)
        for i in range(height):
            for j in range(height):
                for n in range(height * width // height):
                    (hi, wi), (hj, wj) = (divmod(height * n + m, width) for m in (i, j))
                    weight[i, j] += q[b, :, hi, wi] @ k[b, :, hj, wj]
        weight = weight.sigmoid()
        for n in range(height * width // height):
            for i in range(height):
                hi, wi = divmod(height * n + i, width)
                for j in range(height):
                    hj, wj = divmod(height * n + j, width)
                    expected[b, :, hi, wi] += GAMMA * weight[i, j] * v[b, :, hj, wj]
    assert relative_error(attention(WIDE), expected) < 1e-5
    across = filled(AxisAttention(16, axis=3))
    assert relative_error(across(WIDE), along_the_width(across, WIDE)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("image", [SQUARE, WIDE])
def test_the_layout_changes_no_number(image):
    attention = filled(axial_attention(16))
    contiguous = attention(image)
    attention.to(memory_format=torch.channels_last)
    result = attention(image.to(memory_format=torch.channels_last))
    assert relative_error(result, contiguous) < 1e-5


def test_attention_by_hand():
    # One channel after projection to q = k = v = x, a map of 1x2 pixels 0 and 1; gamma 1.
    # Weights: sigmoid(0) = 1/2 but sigmoid(1) for the pair (1, 1). Out: 0 + 1/2, 1 + sigmoid(1).
    attention = AxisAttention(8, axis=3)
    for layer in (attention.query, attention.key, attention.value):
        nn.init.zeros_(layer.weight)
        layer.weight.data[0, 0] = 1
    image = torch.zeros(1, 8, 1, 2)
    image[0, 0, 0, 1] = 1
    assert torch.equal(attention(image), image)  # gamma starts at zero
    attention.gamma.data.fill_(1)
    assert attention(image)[0, 0, 0].tolist() == pytest.approx([0.5, 1.7310586])
    assert not attention(image)[0, 1:].any()


def activated(state, name, x):
    """Batch norm in eval mode with eps 1e-3, then PReLU; `name` is formatted with the layer."""
    norm, slope = (name.format(i) for i in ("norm", "slope"))
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-3).sqrt()
    shift = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    return prelu(x * scale[:, None, None] + shift[:, None, None], state[f"{slope}.weight"])


def expected_pyramid(state, x):
    """CFP as MODELS.md, section 3.8, puts it; tensors under the authors' names."""

    def cbp(name, x, dilation=1, groups=1):
        weight = state[f"{name}.conv.weight"]
        x = conv2d(x, weight, padding=dilation, dilation=dilation, groups=groups)
        return activated(state, name + ".bn_relu.{}", x)

    groups = x.shape[1] // 16
    inner = cbp("conv1x1_1", activated(state, "bn_relu_1.{}", x))
    outputs = []
    for branch, dilation in ((1, 1), (2, 3), (3, 5), (4, 9)):
        first = cbp(f"dconv_{branch}_1", inner, dilation, groups)
        second = cbp(f"dconv_{branch}_2", first, dilation, groups)
        third = cbp(f"dconv_{branch}_3", second, dilation, groups)
        outputs.append(torch.cat((first, second, third), 1))
    o1, o2, o3, o4 = outputs
    joined = torch.cat((o1, o1 + o2, o1 + o2 + o3, o1 + o2 + o3 + o4), 1)
    joined = activated(state, "bn_relu_2.{}", joined)
    return torch.einsum("oi,bihw->bohw", state["conv1x1.conv.weight"][..., 0, 0], joined) + x


def authors_names():
    """In the order of the authors' state dict, where the branch of dilation 9 comes first."""

    def after(name):
        parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [*(f"{name}.norm.{part}" for part in parts), f"{name}.slope.weight"]

    convolutions = [f"dconv_{branch}_{i}" for branch in (4, 1, 2, 3) for i in (1, 2, 3)]
    names = after("bn_relu_1") + after("bn_relu_2")
    for name in ("conv1x1_1", *convolutions):
        names += [f"{name}.conv.weight", *after(f"{name}.bn_relu")]
    return [*names, "conv1x1.conv.weight"]


@torch.no_grad()
def test_the_feature_pyramid_is_the_second_statement():
    pyramid = filled(FeaturePyramid(32))
    assert count(pyramid) == 4_144
    state = dict(zip(authors_names(), pyramid.state_dict().values(), strict=True))
    image = noise((2, 32, 12, 20), stream=2)
    assert relative_error(pyramid(image), expected_pyramid(state, image)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("residual", [False, True])
def test_each_level_refines_the_map_of_the_level_below(residual):
    model = filled(ReverseAttention((16, 32), 1, residual=residual))
    fine, deep, coarse = (
        noise(shape, stream)
        for stream, shape in enumerate(((2, 16, 8, 12), (2, 32, 4, 6), (2, 1, 16, 24)))
    )

    def refined(level, x, prior):
        prior = interpolate(prior, x.shape[2:], mode="bilinear", align_corners=False)
        x = model.contexts[level](x)
        x = model.attentions[level](x) + (x if residual else 0)
        return model.refinements[level](x * (1 - prior.sigmoid())) + prior

    second = refined(1, deep, coarse)
    first = refined(0, fine, second)
    results = model([fine, deep], coarse)
    assert len(results) == 2
    for result, expected in zip(results, (first, second), strict=True):
        assert relative_error(result, expected) < 1e-5
    # Batch norm and PReLU also follow the convolution to one channel.
    assert [type(layer) for layer in model.refinements[0][2]] == [
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.PReLU,
    ]


@torch.no_grad()
def test_most_certain_class_suppresses_attention():
    model = filled(ReverseAttention((16,), 2, residual=False))
    seen = []
    model.refinements[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    prior = torch.tensor([[[[-100.0, 0.0]], [[-100.0, 100.0]]]]).repeat(2, 1, 4, 3)
    model([WIDE], prior)
    attended = model.attentions[0](model.contexts[0](WIDE))
    # Background in every class: all of it; one class sure: nothing.
    assert torch.equal(seen[0][..., ::2], attended[..., ::2])
    assert not seen[0][..., 1::2].any()
