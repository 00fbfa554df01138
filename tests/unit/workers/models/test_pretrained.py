"""Weights into networks: every key of the backbone arrives, and what does not fit is named."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

from workers.catalogue.models import complete_model, weights_of
from workers.catalogue.weights import Weights
from workers.contract import UserError
from workers.models import build_model
from workers.models.pretrained import densenet, load_weights, pvt_v2, read_state, vgg16


def own_state(network: nn.Module, weights: Weights) -> dict[str, torch.Tensor]:
    under = tuple(f"{attribute}." for attribute in weights.attributes)
    return {k: v for k, v in network.state_dict().items() if k.startswith(under)}


def library_state(name: str) -> dict[str, torch.Tensor]:
    """The whole network of the library that a file of this name holds, with its head."""
    smp_encoder = name.startswith(("smp:", "mit_"))
    network: nn.Module = (
        get_encoder(name.removeprefix("smp:"), weights=None)
        if smp_encoder
        else timm.create_model(name)
    )
    head = ("head.weight", "head.bias") if name.startswith("mit_") else ()
    return network.state_dict() | {key: torch.zeros(1) for key in head}


CASES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("fat-net", {}, ("resnet34", "deit_tiny_distilled_patch16_224")),
    ("emcad", {"variant": "B0"}, ("pvt_v2_b0",)),
    ("esfpnet", {"variant": "T"}, ("mit_b0",)),
    ("colonformer", {"variant": "S"}, ("mit_b2",)),
    ("unet", {"encoder": "resnet18"}, ("resnet18",)),
    ("unet", {"encoder": "tu-efficientnet_b0"}, ("efficientnet_b0",)),
    ("unetpp", {"encoder": "densenet121"}, ("smp:densenet121",)),
    ("deeplabv3plus", {"encoder": "mobilenet_v2"}, ("smp:mobilenet_v2",)),
    ("frozen-vit", {}, ("vit_small_patch16_dinov3",)),
]
LARGE: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("fcn", {}, ("vgg16",)),
    ("deeplabv3plus", {}, ("xception65",)),
    ("fcbformer", {}, ("pvt_v2_b3",)),
    ("caranet", {}, ("res2net101d",)),
]
MARKS = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("name", "parameters", "networks"),
    [*CASES, *(pytest.param(*case, marks=MARKS) for case in LARGE)],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_librarys_weights_fill_the_whole_backbone(tmp_path, name, parameters, networks):
    complete = complete_model(name, parameters)[1]
    network = build_model(name, **parameters)
    for weights, library in zip(weights_of(name, complete), networks, strict=True):
        state = library_state(library)
        torch.save(state, tmp_path / "w.pth")
        with torch.no_grad():
            for tensor in own_state(network, weights).values():
                tensor.fill_(77)
        load_weights(network, weights, tmp_path / "w.pth")
        filled = own_state(network, weights)
        assert not any((tensor == 77).all() for tensor in filled.values())
        # The largest tensor is one of the file, whatever its name there.
        largest = max(filled.values(), key=lambda tensor: tensor.numel()).flatten()
        assert any(torch.equal(largest, tensor.flatten()) for tensor in state.values())


@pytest.fixture(scope="module")
def resnet18() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return library_state("smp:resnet18")


def unet(pretrained: Path | bool) -> nn.Module:
    given = pretrained if isinstance(pretrained, bool) else str(pretrained)
    return build_model("unet", encoder="resnet18", pretrained=given)


@pytest.mark.parametrize("form", ["x.pth", "x.safetensors", "wrapped.pt", "resnet18.imagenet.bin"])
def test_every_form_of_file_gives_the_same_network(tmp_path, resnet18, form):
    file = tmp_path / form
    if form.endswith("safetensors"):
        save_file(resnet18, file)
    else:
        torch.save({"state_dict": resnet18, "epoch": 3} if "wrapped" in form else resnet18, file)
    network = unet(tmp_path if form.startswith("resnet") else file)
    for key, tensor in resnet18.items():
        assert torch.equal(network.state_dict()[f"network.encoder.{key}"], tensor)


def test_the_decoder_stays_as_the_seed_drew_it(tmp_path, resnet18):
    torch.save(resnet18, tmp_path / "w.pth")
    states = []
    for file in (None, tmp_path / "w.pth"):
        torch.manual_seed(1)
        states.append(unet(file or False).state_dict())
    for key in states[0]:
        same = torch.equal(states[0][key], states[1][key])
        assert same == (not key.startswith("network.encoder.") or states[0][key].ndim < 2), key


def without(state: dict[str, torch.Tensor], *keys: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "bn1.weight"), "lacks: bn1.weight; expected the state dict of res"),
        (
            lambda s: s | {"conv1.weight": torch.zeros(64, 1, 7, 7)},
            r"has another shape: conv1.weight \(64, 1, 7, 7\) for \(64, 3, 7, 7\)",
        ),
        (
            lambda s: s | {"layer9.w": torch.zeros(1)},
            "keys that the network does not have: layer9.w",
        ),
        (
            lambda s: {f"encoder.{k}": v for k, v in s.items()},
            r"lacks: conv1.weight, bn1.weight, bn1.bias and \d+ more",
        ),
        (lambda _: [1, 2], "holds a list, not a state dict"),
        (lambda _: {}, "holds a dict, not a state dict"),
        (lambda s: s | {"epoch": 3}, "epoch: is not a tensor"),
    ],
)
def test_a_file_that_does_not_fit_is_named_with_the_key(tmp_path, resnet18, change, message):
    file = tmp_path / "w.pth"
    torch.save(change(resnet18), file)
    with pytest.raises(UserError, match=message) as caught:
        unet(file)
    assert str(file) in str(caught.value)


def test_head_and_step_counters_are_optional(tmp_path, resnet18):
    counters = [key for key in resnet18 if key.endswith("num_batches_tracked")]
    state = without(resnet18, *counters) | {"fc.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}
    torch.save(state, tmp_path / "w.pth")
    unet(tmp_path / "w.pth")


class Evil:
    """What a pickle could run when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("ran",))


@pytest.mark.parametrize("content", [b"", b"no weights", None])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_file_without_state_dict_is_refused_and_not_run(tmp_path, capsys, name, content):
    if content is None:
        torch.save({"a": Evil()}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="is not a state dict that can be read safely"):
        read_state(tmp_path / name)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_file_is_refused_wherever_the_damage_is(tmp_path, zipped):
    file = tmp_path / "w.pth"
    state = {"conv1.weight": torch.ones(2, 3), "bn1.bias": torch.ones(2)}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    refused = 0
    for place in range(0, len(whole), 19):
        for content in (whole[:place], whole[:place] + b"\x85" + whole[place + 1 :]):
            file.write_bytes(content)
            with contextlib.suppress(UserError):
                read_state(file)
                refused -= 1
            refused += 1
    assert refused > len(whole) // 19


def test_the_names_of_other_sources_by_hand():
    assert list(pvt_v2({k: torch.zeros(1) for k in (
        "patch_embed1.proj.weight", "patch_embed3.norm.bias", "block2.1.mlp.dwconv.dwconv.bias",
        "norm4.weight", "stages.0.norm.bias",
    )})) == [
        "patch_embed.proj.weight", "stages.2.downsample.norm.bias",
        "stages.1.blocks.1.mlp.dwconv.bias", "stages.3.norm.weight", "stages.0.norm.bias",
    ]  # fmt: skip
    key = "features.denseblock1.denselayer1.norm.1.weight"
    assert list(densenet({key: torch.zeros(1)})) == [key.replace("norm.1", "norm1")]
    # VGG-16 of torchvision: 13 convolutions at these places of `features`, as (64, 64, M, ...).
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    renamed = list(vgg16({f"features.{place}.bias": torch.zeros(1) for place in places}))
    assert renamed[2] == "stages.1.0.bias"
    assert renamed[-1] == "stages.4.4.bias"
    assert all(re.fullmatch(r"stages\.[0-4]\.[024]\.bias", key) for key in renamed)
    linear = vgg16({"classifier.3.weight": torch.zeros(4096, 4096)})
    assert linear["fully_connected.3.weight"].shape == (4096, 4096, 1, 1)
