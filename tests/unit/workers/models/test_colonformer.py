"""ColonFormer against a second statement of its head, and the authors' numbers."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from timm.layers.drop import DropPath
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate

from tests.unit.workers.models.demands import count, without_memory
from tests.unit.workers.models.filling import fill, noise, reference_shapes, relative_error
from workers.models import build_model
from workers.models.colonformer import ColonFormer, PyramidHead

REFERENCE = reference_shapes("colonformer")
IMAGE = 1.5 * noise((2, 3, 64, 96), stream=999)


@pytest.fixture(scope="module")
def started():
    torch.manual_seed(0)
    return build_model("colonformer", variant="S")


@pytest.fixture(scope="module")
def filled(started):
    model = fill(copy.deepcopy(started), gain=2.0)
    for name, tensor in model.state_dict().items():
        if name.endswith("gamma"):
            tensor.fill_(0.7)
    return model


def test_default_has_the_authors_order_and_parameters():
    model = without_memory("colonformer")
    assert isinstance(model, ColonFormer)
    state = model.state_dict()
    assert [tuple(tensor.shape) for tensor in state.values()] == [shape for _, shape in REFERENCE]
    # The encoder's own names are the authors'.
    backbone = [key for key in state if key.startswith("backbone.")]
    assert backbone == [name for name, _ in REFERENCE if name.startswith("backbone.")]
    head, refinement = model.head, model.refinement
    assert count(model.backbone) == 44_072_128
    assert [count(*head.laterals), count(*head.smooth)] == [66_304, 443_136]
    assert [count(head.pools), count(head.join_pools)] == [263_168, 1_179_904]
    assert [count(head.join_levels), count(head.head)] == [590_080, 129]
    assert [count(layer) for layer in refinement.contexts] == [56_512, 340_960, 865_024]
    assert [count(layer) for layer in refinement.attentions] == [204_802, 1_280_002, 3_276_802]
    assert [count(layer) for layer in refinement.refinements] == [46_563, 101_859, 157_155]
    assert count(model) == 52_944_528


def expected_coarse(state, maps):
    """UPerNet as MODELS.md, section 3.10, puts it; tensors under the authors' names."""

    def layer(name, x):
        weight = state[f"{name}.conv.weight"]
        x = conv2d(x, weight, padding=weight.shape[-1] // 2)
        scale = state[f"{name}.bn.weight"] / (state[f"{name}.bn.running_var"] + 1e-5).sqrt()
        shift = state[f"{name}.bn.bias"] - state[f"{name}.bn.running_mean"] * scale
        return (x * scale[:, None, None] + shift[:, None, None]).relu()

    def like(x, other):
        return interpolate(x, other.shape[2:], mode="bilinear", align_corners=False)

    x1, x2, x3, x4 = maps
    pooled = [
        like(layer(f"psp_modules.{i}.1", adaptive_avg_pool2d(x4, bins)), x4)
        for i, bins in enumerate((1, 2, 3, 6))
    ]
    l4 = layer("bottleneck", torch.cat((x4, *pooled), 1))
    l3 = layer("lateral_convs.2", x3) + like(l4, x3)
    l2 = layer("lateral_convs.1", x2) + like(l3, x2)
    l1 = layer("lateral_convs.0", x1) + like(l2, x1)
    smooth = [layer(f"fpn_convs.{i}", x) for i, x in enumerate((l1, l2, l3))]
    joined = layer("fpn_bottleneck", torch.cat([like(x, x1) for x in (*smooth, l4)], 1))
    return conv2d(joined, state["conv_seg.weight"], state["conv_seg.bias"])


def test_the_head_is_the_second_statement():
    widths = (64, 128, 320, 512)
    head = fill(PyramidHead(widths, 1), gain=2.0)
    prefix = "decode_head."
    names = [name.removeprefix(prefix) for name, _ in REFERENCE if name.startswith(prefix)]
    state = dict(zip(names, head.state_dict().values(), strict=True))
    maps = [noise((2, width, 24 // 2**i, 16 // 2**i), i) for i, width in enumerate(widths)]
    with torch.no_grad():
        assert relative_error(head(maps), expected_coarse(state, maps)) < 1e-5


# From ducnt9907/ColonFormer at 4ee57d9 with MiT-B2, run with this filling and this image, square
# and not: standard deviation and mean of every output in its order, and two pixels of the first.
# All agreed to the last bit, as they did with MiT-B3 and at 224x224, 32x32, 160x64 and 352x352 with
# a normal filling. mmcv's ConvModule was replaced by what it holds: convolution, batch norm with
# eps 1e-5, ReLU.
@pytest.mark.parametrize(
    ("width", "spreads", "means", "pixels"),
    [
        (
            96,
            [1.215892, 1.127654, 0.7641026, 0.5861824],
            [1.181718, 0.4698416, 0.1363300, 0.1488071],
            [0.6923868, 0.6701134],
        ),
        (
            64,
            [2.902356, 1.041082, 0.5432073, 0.5935505],
            [-0.3585185, -0.6051927, -0.6251875, -0.1381144],
            [-5.837001, 1.259324],
        ),
    ],
)
def test_logits_are_those_of_the_authors_code(filled, width, spreads, means, pixels):
    with torch.no_grad():
        output = filled(IMAGE[..., :width])
    maps = (output.logits_BCHW, *output.auxiliary)
    assert output.supervised() == output.auxiliary
    assert [m.std().item() for m in maps] == pytest.approx(spreads, abs=1e-4)
    assert [m.mean().item() for m in maps] == pytest.approx(means, abs=1e-4)
    logits = output.logits_BCHW
    found = [logits[0, 0, 0, 0].item(), logits[1, 0, 16, 20].item()]
    assert found == pytest.approx(pixels, abs=1e-4)


def test_blocks_are_dropped_ever_more_up_to_one_tenth(started):
    # Sixteen blocks of MiT-B2, of which the first is never dropped; one module for both branches.
    rates = [layer.drop_prob for layer in started.modules() if isinstance(layer, DropPath)]
    assert rates == pytest.approx([0.1 * i / 15 for i in range(1, 16)])
    assert started.head.dropout.p == 0.1


def test_initial_weights_are_as_in_the_authors_code(started):
    head = started.head
    kernel = head.join_pools[0].weight  # 128 channels of 3x3
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.01)
    assert head.head.weight.std().item() == pytest.approx(0.01, rel=0.3)
    assert not head.head.bias.any()
    assert all(
        attention[i].gamma == 0 for attention in started.refinement.attentions for i in (2, 3)
    )
    bound = 1 / math.sqrt(512)  # torch's default: uniform within 1 / sqrt(fan-in)
    assert 0.95 * bound < started.refinement.contexts[2].mix.weight.abs().max() <= bound
