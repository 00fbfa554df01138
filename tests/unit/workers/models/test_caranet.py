"""CaraNet against a second statement of its decoder, and the authors' numbers."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from tests.unit.workers.models.demands import count
from tests.unit.workers.models.filling import fill, noise, reference_shapes, relative_error
from workers.models import build_model
from workers.models.caranet import PartialDecoder

REFERENCE = reference_shapes("caranet")
IMAGE = 1.5 * noise((2, 3, 64, 96), stream=999)


@pytest.fixture(scope="module")
def started():
    torch.manual_seed(0)
    return build_model("caranet")


@pytest.fixture(scope="module")
def filled(started):
    model = fill(copy.deepcopy(started), gain=1.5)
    for name, tensor in model.state_dict().items():
        if name.endswith("gamma"):
            tensor.fill_(0.7)
    return model


def test_state_dict_has_the_authors_order_and_parameters(started):
    state = started.state_dict()
    assert [tuple(tensor.shape) for tensor in state.values()] == [shape for _, shape in REFERENCE]
    # The backbone's own names are the authors'.
    backbone = [key.replace("backbone", "resnet") for key in state if key.startswith("backbone.")]
    assert backbone == [name for name, _ in REFERENCE if name.startswith("resnet.")]
    refinement = started.refinement
    assert count(started.backbone) == 43_176_920
    assert [count(layer) for layer in started.reductions] == [147_552, 295_008, 589_920]
    assert count(started.decoder) == 276_577
    assert [count(layer) for layer in refinement.contexts] == [4_144] * 3
    assert [count(layer) for layer in refinement.attentions] == [12_802] * 3
    for layers in refinement.refinements:
        assert [count(layer) for layer in layers] == [9_312, 9_312, 291]
    assert count(started) == 46_642_560 - 2_049_000


def expected_coarse(state, r2, r3, r4):
    """The partial decoder as MODELS.md, section 3.9, puts it; tensors under the authors' names."""

    def conv(name, x):
        return conv2d(x, state[f"{name}.conv.weight"], padding=1)

    def up2(x):
        size = [2 * side for side in x.shape[2:]]
        return interpolate(x, size, mode="bilinear", align_corners=True)

    a = conv("conv_upsample1", up2(r4)) * r3
    b = conv("conv_upsample2", up2(up2(r4))) * conv("conv_upsample3", up2(r3)) * r2
    c = conv("conv_concat2", torch.cat((a, conv("conv_upsample4", up2(r4))), 1))
    e = conv("conv_concat3", torch.cat((b, conv("conv_upsample5", up2(c))), 1))
    return conv2d(conv("conv4", e), state["conv5.weight"], state["conv5.bias"])


def test_the_partial_decoder_is_the_second_statement():
    decoder = fill(PartialDecoder(1), gain=2.0)
    names = [name for name, _ in REFERENCE if name.startswith("agg1.")]
    own = decoder.state_dict().values()
    state = {name[5:]: tensor for name, tensor in zip(names, own, strict=True)}
    maps = [noise((2, 32, 12 // 2**i, 8 // 2**i), stream=i) for i in range(3)]
    with torch.no_grad():
        assert relative_error(decoder(*maps), expected_coarse(state, *maps)) < 1e-5


# From AngeLouCN/CaraNet at 052ed72, run with this filling and this image, square and not: standard
# deviation and mean of every output in its order, and two pixels of the first. All agreed to the
# last bit, as they did at 224x224, 32x32, 160x64 and 352x352 with a normal filling.
@pytest.mark.parametrize(
    ("width", "spreads", "means", "pixels"),
    [
        (
            96,
            [0.2915694, 0.1436273, 0.1019622, 0.2090794],
            [0.3504236, 0.3963606, 0.4046067, 0.4638740],
            [-0.06462021, 0.1913856],
        ),
        (
            64,
            [0.2320784, 0.1410265, 0.04343117, 0.1092038],
            [0.1475690, 0.1900155, 0.1756592, 0.2977491],
            [-0.0221846, 0.1968116],
        ),
    ],
)
def test_logits_are_those_of_the_authors_code(filled, width, spreads, means, pixels):
    with torch.no_grad():
        output = filled(IMAGE[..., :width])
    maps = (output.logits_BCHW, *output.auxiliary)
    assert output.supervised() == output.auxiliary
    assert [m.std().item() for m in maps] == pytest.approx(spreads, abs=1e-5)
    assert [m.mean().item() for m in maps] == pytest.approx(means, abs=1e-5)
    logits = output.logits_BCHW
    found = [logits[0, 0, 0, 0].item(), logits[1, 0, 16, 20].item()]
    assert found == pytest.approx(pixels, abs=1e-5)


def test_initial_weights_are_as_in_the_authors_code(started):
    # 208 channels out of a 1x1 kernel; timm would zero the last norm of each block.
    kernel = started.backbone.layer2[1].conv1.weight
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / 208), rel=0.02)
    assert started.backbone.layer2[1].bn3.weight.eq(1).all()
    assert all(
        attention[i].gamma == 0 for attention in started.refinement.attentions for i in (2, 3)
    )
    bound = 1 / math.sqrt(32 * 9)  # torch's default: uniform within 1 / sqrt(fan-in)
    assert 0.95 * bound < started.decoder.enlarged[0].weight.abs().max() <= bound
