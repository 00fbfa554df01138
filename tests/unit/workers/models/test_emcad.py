"""EMCADNet against a second statement of it in plain functions, and the authors' numbers."""

from __future__ import annotations

import pytest
import torch
from timm.layers.drop import DropPath
from torch import nn
from torch.nn import functional

from tests.unit.workers.models.demands import count
from tests.unit.workers.models.filling import fill, noise, reference_shapes, relative_error
from workers.models import SegmentationOutput, build_model
from workers.models.emcad import ChannelAttention, MultiScaleConvolution, SpatialAttention

REFERENCE = reference_shapes("emcad")
IMAGE = 1.5 * noise((2, 3, 64, 96), stream=999)

# PVTv2's names in the authors' code and in timm. All other tensors have the authors' order.
STAGES = {f"backbone.{kind}{number}.": f"backbone.stages_{number - 1}.{name}."
          for number in (1, 2, 3, 4)
          for kind, name in (("patch_embed", "downsample"), ("block", "blocks"), ("norm", "norm"))
          }  # fmt: skip
STAGES["backbone.patch_embed1."] = "backbone.patch_embed."


def own_name(name):
    """The model's name of a tensor of the authors' backbone."""
    stage = "backbone." + name.split(".")[1] + "."
    return name.replace(stage, STAGES[stage]).replace("mlp.dwconv.dwconv.", "mlp.dwconv.")


def by_authors_name(model):
    state = model.state_dict()
    others = iter([tensor for key, tensor in state.items() if not key.startswith("backbone.")])
    return {
        name: state[own_name(name)] if name.startswith("backbone.") else next(others)
        for name, _ in REFERENCE
    }


@pytest.fixture(scope="module")
def started():
    torch.manual_seed(0)
    return build_model("emcad", variant="B0")


@pytest.fixture(scope="module")
def filled():
    return fill(build_model("emcad"), gain=2.0)


class Functions:
    """The decoder as MODELS.md, section 3.13, puts it; tensors under the authors' names."""

    def __init__(self, state):
        self.state = state

    def conv(self, name, x, **options):
        weight = self.state[f"{name}.weight"]
        options |= {"padding": weight.shape[-1] // 2, "groups": x.shape[1] // weight.shape[1]}
        return functional.conv2d(x, weight, self.state.get(f"{name}.bias"), **options)

    def conv_norm(self, conv, norm, x):
        s = {
            key: self.state[f"{norm}.{key}"][:, None, None]
            for key in ("weight", "bias", "running_mean", "running_var")
        }
        x = (self.conv(conv, x) - s["running_mean"]) / (s["running_var"] + 1e-5).sqrt()
        return x * s["weight"] + s["bias"]

    def attend(self, level, x):
        def gate(pooled):
            hidden = self.conv(f"decoder.cab{level}.fc1", pooled).relu()
            return self.conv(f"decoder.cab{level}.fc2", hidden)

        x = x * (gate(x.mean((2, 3), True)) + gate(x.amax((2, 3), True))).sigmoid()
        pooled = torch.stack((x.mean(1), x.amax(1)), 1)
        return x * self.conv("decoder.sab.conv", pooled).sigmoid()

    def convolve(self, level, x):
        name = f"decoder.mscb{level}.0"
        wide = self.conv_norm(f"{name}.pconv1.0", f"{name}.pconv1.1", x).clamp(0, 6)
        wide = sum(
            self.conv_norm(f"{scale}.0", f"{scale}.1", wide).clamp(0, 6)
            for scale in (f"{name}.msdc.dwconvs.{i}" for i in range(3))
        )
        # Group g holds channels 2g and 2g + 1: first the first of every group, then the second.
        wide = torch.cat((wide[:, 0::2], wide[:, 1::2]), 1)
        return x + self.conv_norm(f"{name}.pconv2.0", f"{name}.pconv2.1", wide)

    def merge(self, level, below, skip):
        name = f"decoder.eucb{level}"
        up = below.repeat_interleave(2, 2).repeat_interleave(2, 3)
        up = self.conv_norm(f"{name}.up_dwc.1", f"{name}.up_dwc.2", up).relu()
        up = self.conv(f"{name}.pwc.0", up)
        name = f"decoder.lgag{level}"
        both = self.conv_norm(f"{name}.W_g.0", f"{name}.W_g.1", up)
        both = both + self.conv_norm(f"{name}.W_x.0", f"{name}.W_x.1", skip)
        gate = self.conv_norm(f"{name}.psi.0", f"{name}.psi.1", both.relu()).sigmoid()
        return up + skip * gate

    def logits(self, maps):
        """p4, p3, p2, p1."""
        decoded = maps[3]
        for level in (4, 3, 2, 1):
            if level < 4:
                decoded = self.merge(level, decoded, maps[level - 1])
            decoded = self.convolve(level, self.attend(level, decoded))
            scored = self.conv(f"out_head{level}", decoded)
            size = [2 ** (level + 1) * side for side in scored.shape[2:]]
            yield functional.interpolate(scored, size, mode="bilinear", align_corners=False)


def test_authors_tensors_map_by_the_table_and_by_position(filled):
    mapped = by_authors_name(filled)
    assert [(name, tuple(tensor.shape)) for name, tensor in mapped.items()] == REFERENCE
    # Every tensor of the model is used, and once.
    pointers = {id(tensor) for tensor in mapped.values()}
    assert len(pointers) == len(mapped) == len(filled.state_dict())


def test_parameters_of_every_part(filled):
    stages = {name: part for name, part in filled.decoder.stages.named_children()}  # noqa: C416
    deepest_first = [filled.decoder.deepest, *(stage.convolution for stage in stages.values())]
    found = {
        "mscb": [count(part) for part in deepest_first],
        "eucb": [count(stage.enlarge) for stage in stages.values()],
        "lgag": [count(stage.gate) for stage in stages.values()],
        "cab": [count(part) for part in filled.decoder.channel_attention],
        "sab": [count(filled.decoder.spatial_attention)],
        "heads": [count(head) for head in filled.heads],
        "backbone": [count(filled.backbone)],
    }
    assert found == {
        "mscb": [1_093_632, 437_760, 76_800, 22_016],
        "eucb": [169_792, 44_608, 9_664],
        "lgag": [6_883, 2_755, 1_379],
        "cab": [32_768, 12_800, 2_048, 512],
        "sab": [98],
        "heads": [513, 321, 129, 65],
        "backbone": [24_849_856],
    }
    assert count(filled) == sum(map(sum, found.values())) == 26_764_411 - 12


def test_logits_are_those_of_the_second_statement(filled):
    with torch.no_grad():
        output = filled(IMAGE)
        expected = list(Functions(by_authors_name(filled)).logits(filled.backbone(IMAGE)))
    found = (*output.auxiliary, output.logits_BCHW)
    for logits, other in zip(found, expected, strict=True):
        assert relative_error(logits, other) < 2e-5


def test_logits_are_those_of_the_authors_code(filled):
    # From lib/networks.py of SLDGroup/EMCAD at e48f54e with activation relu6, as its training
    # script sets it, run with this filling and this image: p1, p4, p3, p2.
    with torch.no_grad():
        output = filled(IMAGE)
    expected = [
        [0.94323, -2.000165, -0.205299, -1.995856],
        [0.114486, 0.107924, 0.08928, 0.368486],
        [0.196683, -1.989365, -2.075555, -2.110641],
        [0.642365, 1.162896, 1.847416, 1.401907],
    ]
    for logits, numbers in zip((output.logits_BCHW, *output.auxiliary), expected, strict=True):
        found = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
        assert [number.item() for number in found] == pytest.approx(numbers, abs=5e-5)


def test_channel_attention_by_hand():
    attention = ChannelAttention(16)  # one hidden channel
    nn.init.constant_(attention.gate.get_parameter("0.weight"), 1 / 16)
    nn.init.constant_(attention.gate.get_parameter("2.weight"), 1.0)
    x = torch.tensor([1.0, -3.0]).expand(1, 16, 1, 2)
    # The mean -1 gives ReLU 0, the maximum gives 1: sigmoid(0 + 1).
    torch.testing.assert_close(attention(x), x * 0.7310586)


def test_spatial_attention_by_hand():
    attention = SpatialAttention()
    nn.init.zeros_(attention.gate.weight)
    attention.gate.weight.data[0, :, 3, 3] = torch.tensor([2.0, 1.0])  # of mean, of maximum
    x = torch.tensor([1.0, -1.0, 3.0])[None, :, None, None]
    # sigmoid(2 * 1 + 3)
    torch.testing.assert_close(attention(x), x * 0.9933071)


def test_channel_shuffle_has_one_group_per_input_channel():
    shuffle = MultiScaleConvolution(3).shuffle
    assert shuffle(torch.arange(6.0)[None, :, None, None]).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_the_stages_share_one_spatial_attention(filled):
    assert sum(isinstance(layer, SpatialAttention) for layer in filled.modules()) == 1


def test_blocks_are_dropped_ever_more_up_to_one_tenth(filled):
    # Sixteen blocks of PVTv2-B2, of which the first is never dropped; two branches each.
    rates = [layer.drop_prob for layer in filled.modules() if isinstance(layer, DropPath)]
    assert rates == pytest.approx([0.1 * i / 15 for i in range(1, 16) for _ in range(2)])


def test_initial_weights_of_the_decoder_are_normal(started):
    kernels, biases = [], []
    for layer in started.decoder.modules():
        if isinstance(layer, nn.Conv2d):
            kernels.append(layer.weight.flatten())
            biases += [] if layer.bias is None else [layer.bias]
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
    assert torch.cat(kernels).std().item() == pytest.approx(0.02, rel=0.01)
    assert not torch.cat(biases).any()
    head = started.heads[0]  # from 256 channels
    assert 0.9 / 16 < head.weight.abs().max() <= 1 / 16


def test_mutation_supervises_all_subsets_except_prediction():
    # Powers of two: the sum names the subset.
    p4, p3, p2, p1 = (torch.full((1, 1, 2, 2), 2.0**i) for i in range(4))
    output = SegmentationOutput(p1, (p4, p3, p2), mutation=True)
    sums = [int(m[0, 0, 0, 0]) for m in output.supervised()]
    assert sums == [1, 2, 4, 3, 5, 9, 6, 10, 12, 7, 11, 13, 14, 15]
    assert {*sums, 8} == set(range(1, 16))
    assert all(m.shape == (1, 1, 2, 2) for m in output.supervised())
    # Sums are new tensors: the maps stay.
    assert (p4 == 1).all()


@pytest.mark.parametrize(("mutation", "num_maps"), [(True, 14), (False, 3)])
def test_option_mutation_sets_the_supervised_maps(mutation, num_maps):
    model = build_model("emcad", variant="B0", mutation=mutation).eval()
    with torch.no_grad():
        output = model(IMAGE[:1, :, :32, :32])
    assert output.mutation is mutation
    assert len(output.supervised()) == num_maps
    assert output.supervised()[:3] == output.auxiliary
