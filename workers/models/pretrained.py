"""Loads pretrained weights into a network: every key must fit, or the message names it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workers.catalogue import load
from workers.catalogue.weights import Weights
from workers.contract import UserError

State = Mapping[str, Tensor]

_WRAPPERS = ("state_dict", "model")
_COUNTER = "num_batches_tracked"  # of batch norm with a fixed momentum: nothing reads it
_MAX_NAMED = 3

_VGG16_CONVS = (2, 2, 3, 3, 3)
_VGG16_FULLY_CONNECTED = {
    "classifier.0": ("fully_connected.0", (4096, 512, 7, 7)),  # torchvision
    "classifier.3": ("fully_connected.3", (4096, 4096, 1, 1)),
    "pre_logits.fc1": ("fully_connected.0", (4096, 512, 7, 7)),  # timm
    "pre_logits.fc2": ("fully_connected.3", (4096, 4096, 1, 1)),
}


def load_weights(network: nn.Module, weights: Weights, file: Path) -> None:
    """Fills the parts of a network that weights belong to, and nothing else.

    Step counters of batch norm can be missing; head and classifier of the file are not used.

    Args:
        network: Built with random weights.
        weights: Which parts, and how the file names them.
        file: A state dict, of `torch.save` (read with `weights_only`) or safetensors.

    Raises:
        UserError: The file cannot be read, lacks a key, has one that fits nowhere, or has one of
            another shape; it names file and key.
    """
    state = read_state(file)
    if weights.adapt is not None:
        state = load(weights.adapt)(state)
    prefix = f"{weights.attributes[0]}." if len(weights.attributes) == 1 else ""
    own = network.state_dict()
    under = tuple(f"{attribute}." for attribute in weights.attributes)
    targets = {_spelling(key): tensor for key, tensor in own.items() if key.startswith(under)}
    given = {
        _spelling(prefix + key): (key, tensor)
        for key, tensor in state.items()
        if not key.startswith(weights.unused) or _spelling(prefix + key) in targets
    }
    _refuse_missing(file, weights, prefix, targets, given)
    extra = [key for spelling, (key, _) in given.items() if spelling not in targets]
    if extra:
        _refuse(file, weights, "has keys that the network does not have", extra)
    wrong = [
        f"{key} {tuple(tensor.shape)} for {tuple(targets[spelling].shape)}"
        for spelling, (key, tensor) in given.items()
        if tensor.shape != targets[spelling].shape
    ]
    if wrong:
        _refuse(file, weights, "has another shape", wrong)
    with torch.no_grad():
        for spelling, (_, tensor) in given.items():
            targets[spelling].copy_(tensor)


def read_state(file: Path) -> dict[str, Tensor]:
    """Reads a state dict, also one that is wrapped as `state_dict` or `model`.

    Raises:
        UserError: The file is not one.
    """
    try:
        content = _read(file)
    except Exception as error:  # a torn pickle fails in any way: KeyError, IndexError, struct.error
        msg = f"{file}: is not a state dict that can be read safely: {_first_line(error)}"
        raise UserError(msg) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        msg = f"{file}: holds a {type(content).__name__}, not a state dict (name to tensor)"
        raise UserError(msg)
    strange = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        msg = f"{file}: {', '.join(strange[:_MAX_NAMED])}: is not a tensor; save only a state dict"
        raise UserError(msg)
    return {str(key): value for key, value in content.items()}


def _read(file: Path) -> Any:  # noqa: ANN401 - a file can hold any object
    if file.suffix != ".safetensors":
        return torch.load(file, map_location="cpu", weights_only=True)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _spelling(key: str) -> str:
    """Makes timm's two spellings one: in feature networks `stages_0.norm` is `stages.0.norm`."""
    return re.sub(r"_(?=\d+(\.|$))", ".", key)


def _refuse_missing(
    file: Path,
    weights: Weights,
    prefix: str,
    targets: Mapping[str, Tensor],
    given: Mapping[str, tuple[str, Tensor]],
) -> None:
    if not targets:
        msg = f"the network has no part {' or '.join(weights.attributes)} for {weights.name}"
        raise ValueError(msg)
    missing = [
        spelling.removeprefix(prefix)
        for spelling in targets
        if spelling not in given and not spelling.endswith(_COUNTER)
    ]
    if missing:
        _refuse(file, weights, "lacks", missing)


def _refuse(file: Path, weights: Weights, what: str, keys: Iterable[str]) -> None:
    names = list(keys)
    shown = ", ".join(names[:_MAX_NAMED])
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    msg = f"{file}: {what}: {shown}{more}; expected the state dict of {weights.name}"
    raise UserError(msg)


def vgg16(state: State) -> dict[str, Tensor]:
    """Renames VGG-16 of torchvision or timm to `FCN8s`; its linear layers become convolutions."""
    starts = list(itertools.accumulate((2 * number + 1 for number in _VGG16_CONVS), initial=0))
    names = {
        f"features.{starts[stage] + 2 * layer}": f"stages.{stage}.{2 * layer}"
        for stage, number in enumerate(_VGG16_CONVS)
        for layer in range(number)
    }
    renamed = {}
    for key, tensor in state.items():
        layer, _, what = key.rpartition(".")
        if layer in _VGG16_FULLY_CONNECTED:
            name, shape = _VGG16_FULLY_CONNECTED[layer]
            fits = what == "weight" and tensor.numel() == torch.Size(shape).numel()
            renamed[f"{name}.{what}"] = tensor.reshape(shape) if fits else tensor
        else:
            renamed[f"{names.get(layer, layer)}.{what}"] = tensor
    return renamed


def pvt_v2(state: State) -> dict[str, Tensor]:
    """Renames the authors' PVTv2 to timm's; timm's own names stay."""
    rules = (
        (r"^patch_embed1\.", "patch_embed."),
        (r"^patch_embed(\d)\.", lambda m: f"stages.{int(m[1]) - 1}.downsample."),
        (r"^block(\d)\.", lambda m: f"stages.{int(m[1]) - 1}.blocks."),
        (r"^norm(\d)\.", lambda m: f"stages.{int(m[1]) - 1}.norm."),
        (r"\.dwconv\.dwconv\.", ".dwconv."),
    )
    return {_apply(rules, key): tensor for key, tensor in state.items()}


def densenet(state: State) -> dict[str, Tensor]:
    """Renames DenseNet's layers of old files: `denselayer1.norm.1` is `denselayer1.norm1`."""
    rules = ((r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2."),)
    return {_apply(rules, key): tensor for key, tensor in state.items()}


def _apply(rules: Iterable[tuple[str, Any]], key: str) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key
