"""FAT-Net against a second statement of it in plain functions, and the authors' numbers."""

from __future__ import annotations

import pytest
import torch
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

REFERENCE = reference_shapes("fat-net")
IMAGE = 1.5 * noise((2, 3, 32, 64), stream=999)


@pytest.fixture(scope="module")
def filled():
    return fill(build_model("fat-net"), gain=2.0)


@pytest.fixture(scope="module")
def state(filled):
    return by_reference_name(filled, [name for name, _ in REFERENCE])


class Functions:
    """The network as MODELS.md, section 3.6, puts it; tensors under the authors' names."""

    def __init__(self, state):
        self.state = state

    def tensors(self, name):
        return self.state[f"{name}.weight"], self.state.get(f"{name}.bias")

    def conv(self, name, x, **options):
        return functional.conv2d(x, *self.tensors(name), **options)

    def norm(self, name, x):
        mean, var = (self.state[f"{name}.running_{kind}"] for kind in ("mean", "var"))
        weight, bias = self.tensors(name)
        return functional.batch_norm(x, mean, var, weight, bias, eps=1e-5)

    def layer_norm(self, name, x):
        weight, bias = self.tensors(name)
        return functional.layer_norm(x, (192,), weight, bias, eps=1e-6)

    def conv_transposed(self, name, x, **options):
        weight, bias = self.tensors(name)
        return functional.conv_transpose2d(x, weight, bias, stride=2, padding=1, **options)

    def basic_block(self, name, x, stride):
        y = self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, stride=stride, padding=1))
        y = self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", y.relu(), padding=1))
        if f"{name}.downsample.0.weight" in self.state:
            x = self.conv(f"{name}.downsample.0", x, stride=stride)
            x = self.norm(f"{name}.downsample.1", x)
        return (x + y).relu()

    def cnn(self, x):
        x = self.norm("firstbn", self.conv("firstconv", x, stride=2, padding=3)).relu()
        for stage, num_blocks in enumerate((3, 4, 6, 3), 1):
            for i in range(num_blocks):
                stride = 2 if stage > 1 and i == 0 else 1
                x = self.basic_block(f"encoder{stage}.{i}", x, stride)
            yield x

    def attention(self, name, x):
        query, key, value = (
            part.unflatten(-1, (3, 64)).transpose(1, 2)
            for part in functional.linear(x, *self.tensors(f"{name}.qkv")).chunk(3, dim=-1)
        )
        mixed = (query @ key.mT / 8).softmax(-1) @ value
        return functional.linear(mixed.transpose(1, 2).flatten(2), *self.tensors(f"{name}.proj"))

    def transformer(self, x):
        patches = self.conv("patch_embed.proj", x, stride=16)
        x = patches.flatten(2).mT
        for name in (f"transformers.{i}" for i in range(12)):
            y = self.layer_norm(f"{name}.norm1", x)
            x = x + self.attention(f"{name}.attn", y)
            y = self.layer_norm(f"{name}.norm2", x)
            y = functional.gelu(functional.linear(y, *self.tensors(f"{name}.mlp.fc1")))
            x = x + functional.linear(y, *self.tensors(f"{name}.mlp.fc2"))
        return x.mT.unflatten(-1, patches.shape[2:])

    def adapt(self, level, x):
        for _ in range({1: 6, 2: 4, 3: 2}[level]):
            name = f"FAMBlock{level}"
            wide, narrow = self.conv(f"{name}.conv3", x, padding=1), self.conv(f"{name}.conv1", x)
            x = wide.relu() + narrow.relu()
        return x

    def decode(self, level, x):
        name = f"decoder{level}"
        x = self.norm(f"{name}.norm1", self.conv(f"{name}.conv1", x)).relu()
        x = self.conv_transposed(f"{name}.up.0", x, output_padding=1)
        x = self.norm(f"{name}.up.1", x).relu()
        return self.norm(f"{name}.norm3", self.conv(f"{name}.conv3", x)).relu()

    def logits(self, image):
        e1, e2, e3, local = self.cnn(image)
        both = torch.cat((local, self.conv("conv_seq_img", self.transformer(image))), 1)
        hidden = functional.linear(both.mean((2, 3)), self.state["se.fc.0.weight"]).relu()
        gate = functional.linear(hidden, self.state["se.fc.2.weight"]).sigmoid()
        x = self.conv("conv2d", both * gate[..., None, None])
        for level, skip in ((4, e3), (3, e2), (2, e1)):
            x = self.decode(level, x) + self.adapt(level - 1, skip)
        x = self.conv_transposed("final_conv1", x).relu()
        x = self.conv("final_conv2", x, padding=1).relu()
        return self.conv("final_conv3", x, padding=1)


def test_state_dict_has_the_authors_order_without_unused_layer():
    state = without_memory("fat-net").state_dict()
    assert [tuple(t.shape) for t in state.values()] == [shape for _, shape in REFERENCE]


def test_parameters_of_every_part():
    model = without_memory("fat-net")
    expected = {
        "cnn": 21_284_672, "transformer": 5_486_016, "widen": 98_816, "attention": 131_072,
        "fuse": 524_800, "adaptation": 41_088 + 164_096 + 655_872,
        "adapt": 41_088 + 164_096 + 655_872, "decode": 247_296 + 62_208 + 15_744,
        "head": 32_800 + 9_248 + 289,
    }  # fmt: skip
    found = {
        name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()
    }
    assert found == expected
    # `adapt` applies the modules of `adaptation`: its parameters are theirs.
    assert sum(p.numel() for p in model.parameters()) == sum(found.values()) - found["adapt"]


def test_adaptation_module_is_shared_between_its_uses():
    model = without_memory("fat-net")
    assert [len(stack) for stack in model.adapt] == [6, 4, 2]
    for module, stack in zip(model.adaptation, model.adapt, strict=True):
        assert all(applied is module for applied in stack)


def test_logits_are_those_of_the_second_statement(filled, state):
    with torch.no_grad():
        result = filled(IMAGE)
        assert result.auxiliary == ()
        assert relative_error(result.logits_BCHW, Functions(state).logits(IMAGE)) < 1e-5


def test_logits_are_those_of_the_authors_code(filled):
    # From FAT_Net.py of SZUcsh/FAT-Net at 732db6e, run with this filling and this image; its
    # reshape to 14x14 tokens was changed to the tokens of this image.
    with torch.no_grad():
        logits = filled(IMAGE).logits_BCHW
    numbers = [*torch.std_mean(logits), logits[0, 0, 0, 0], logits[1, 0, 16, 20]]
    expected = [5.590985, -13.149446, -6.120899, -14.16667]
    assert [number.item() for number in numbers] == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("attribute", "library"), [("cnn", "resnet34"), ("transformer", "deit_tiny_distilled")]
)
def test_backbones_have_the_names_of_their_library(attribute, library):
    import timm
    from torchvision.models import resnet34

    with torch.device("meta"):
        if library == "resnet34":
            theirs = resnet34()
        else:
            theirs = timm.create_model(f"{library}_patch16_224", pretrained=False)
    ours = getattr(without_memory("fat-net"), attribute)
    shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert all(shapes[name] == tensor.shape for name, tensor in ours.state_dict().items())
