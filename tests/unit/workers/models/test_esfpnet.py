"""ESFPNet against a second statement of it in plain functions, and the authors' numbers."""

from __future__ import annotations

import math

import pytest
import torch
from timm.layers.drop import DropPath
from torch.nn import functional

from tests.unit.workers.models.demands import count, without_memory
from tests.unit.workers.models.filling import fill, noise, reference_shapes, relative_error
from workers.models import build_model
from workers.models.esfpnet import LinearPrediction

REFERENCE = reference_shapes("esfpnet")
IMAGE = 1.5 * noise((2, 3, 64, 96), stream=999)


@pytest.fixture(scope="module")
def started():
    torch.manual_seed(0)
    return build_model("esfpnet", variant="T")


@pytest.fixture(scope="module")
def filled():
    return fill(build_model("esfpnet", variant="T"), gain=2.0)


def resize(x, factor):
    size = [factor * side for side in x.shape[2:]]
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)


def expected_logits(state, maps):
    """The decoder as MODELS.md, section 3.11, puts it; tensors under the authors' names."""

    def predict(name, x):
        weight, bias = state[f"{name}.proj.weight"], state[f"{name}.proj.bias"]
        return torch.einsum("oi,bihw->bohw", weight, x) + bias[:, None, None]

    def fuse(levels, fine, coarse):
        name = f"linear_fuse{levels}"
        x = torch.cat((fine, resize(coarse, 2)), 1)
        x = torch.einsum("oi,bihw->bohw", state[f"{name}.conv.weight"][..., 0, 0], x)
        scale = state[f"{name}.bn.weight"] / (state[f"{name}.bn.running_var"] + 1e-5).sqrt()
        shift = state[f"{name}.bn.bias"] - state[f"{name}.bn.running_mean"] * scale
        x = (x * scale[:, None, None] + shift[:, None, None]).relu()
        return predict(f"LP_{levels}", x)

    l1, l2, l3, l4 = (predict(f"LP_{i}", x) for i, x in enumerate(maps, 1))
    f34 = fuse("34", l3, l4)
    f23 = fuse("23", l2, f34)
    f12 = fuse("12", l1, f23)
    joined = torch.cat((f12, resize(f23, 2), resize(f34, 4), resize(l4, 8)), 1)
    head = functional.conv2d(joined, state["linear_pred.weight"], state["linear_pred.bias"])
    return resize(head, 4)


def test_default_has_the_authors_order_and_parameters():
    model = without_memory("esfpnet")
    state = model.state_dict()
    assert [tuple(tensor.shape) for tensor in state.values()] == [shape for _, shape in REFERENCE]
    # The encoder's own names are the authors'.
    backbone = [key for key in state if key.startswith("backbone.")]
    assert backbone == [name for name, _ in REFERENCE if name.startswith("backbone.")]
    parts = {
        "backbone": [60_842_688],
        "predictions": [4_160, 16_512, 102_720, 262_656],
        "fusions": [266_880, 57_600, 12_416],
        "fused_predictions": [4_160, 16_512, 102_720],
        "head": [1_025],
    }
    for name, expected in parts.items():
        part = model.get_submodule(name)
        layers = part if isinstance(part, torch.nn.ModuleList) else [part]
        assert [count(layer) for layer in layers] == expected
    assert count(model) == sum(map(sum, parts.values())) == 61_690_049


def test_logits_are_those_of_the_second_statement(filled):
    # The variants have the same tensors in the decoder, so its names are those of the default.
    names = [name for name, _ in REFERENCE if not name.startswith("backbone.")]
    own = {key: x for key, x in filled.state_dict().items() if not key.startswith("backbone.")}
    state = dict(zip(names, own.values(), strict=True))
    with torch.no_grad():
        result = filled(IMAGE)
        expected = expected_logits(state, filled.backbone(IMAGE)[2:])
    assert result.supervised() == ()
    assert relative_error(result.logits_BCHW, expected) < 1e-5


def test_logits_are_those_of_the_authors_code(filled):
    # From the Learning_Ability notebook of dumyCq/ESFPNet at a6813ed with MiT-B0, run with this
    # filling and this image; logits enlarged by 4 as in its training loop. mmcv's ConvModule was
    # replaced by what it holds: convolution, batch norm with eps 1e-5, ReLU.
    with torch.no_grad():
        logits = filled(IMAGE).logits_BCHW
    numbers = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
    expected = [0.537974, 0.509888, 1.613907, 1.006864]
    assert [number.item() for number in numbers] == pytest.approx(expected, abs=5e-5)


def test_a_linear_prediction_by_hand():
    layer = LinearPrediction(2)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer.bias.data = torch.tensor([10.0, 20.0])
    # Channels (1, 5) in the first pixel and (0, 1) in the second.
    result = layer(torch.tensor([[[[1.0, 0.0]], [[5.0, 1.0]]]]))
    assert result.tolist() == [[[[21.0, 12.0]], [[43.0, 24.0]]]]


def test_blocks_are_dropped_ever_more_up_to_one_tenth(started):
    # Eight blocks of MiT-B0, of which the first is never dropped; one module for both branches.
    rates = [layer.drop_prob for layer in started.modules() if isinstance(layer, DropPath)]
    assert rates == pytest.approx([0.1 * i / 7 for i in range(1, 8)])


def test_initial_weights_of_fusions_are_normal_by_fan_out(started):
    kernel = started.fusions[0][0].weight  # 160 channels out, 1x1
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / 160), rel=0.03)
    bound = 1 / math.sqrt(256)
    assert 0.95 * bound < started.predictions[3].weight.abs().max() <= bound
