"""Fills networks with fixed numbers, and states them in plain functions as the reference does."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

SHAPES = Path(__file__).parents[3] / "data" / "shapes"
LEFT_OUT: dict[str, tuple[tuple[str, ...], int]] = {
    "fat-net": (("decoder1.",), 4_640),  # a fourth decoder layer
    "caranet": (("resnet.fc.",), 2_049_000),  # the backbone's classifier
    "emcad": (("conv.",), 12),  # a stem for grey images
    "nnunet": (("decoder.seg_layers.0.",), 513),  # the coarsest head, of weight 0 in the loss
    "nnunet-resenc": (("decoder.seg_layers.0.",), 513),
}
"""What the authors' state dict holds but never runs or trains, and the parameters in it."""
STATISTICS = re.compile("running_mean|running_var|num_batches_tracked")
_PRIME = 1_000_003

State = Mapping[str, Tensor]


@functools.cache
def _hashes() -> Tensor:
    index = torch.arange(_PRIME)
    return (index * index * 7919 + index * 104_729) % _PRIME


def noise(shape: Sequence[int], stream: int) -> Tensor:
    """Returns numbers in [-1, 1) from integer arithmetic: the same on every machine."""
    count = math.prod(shape)
    repeated = _hashes()[:count].repeat(math.ceil(count / _PRIME))[:count]
    hashes = (repeated + stream * 15_485_863 + 1) % _PRIME
    return (hashes.double() * 2 / _PRIME - 1).float().reshape(shape)


def fill(model: nn.Module, *, gain: float) -> nn.Module:
    """Gives every parameter and statistic a value that shows when it is left out or misplaced.

    Kernels and matrices are uniform within `gain` / sqrt(fan-in): choose it so that activations
    neither grow nor vanish, or biases and far layers do not show.
    """
    for stream, (name, tensor) in enumerate(model.state_dict().items()):
        if not tensor.ndim:  # batches seen
            continue
        values = noise(tensor.shape, stream)
        if name.endswith("running_var"):
            values = 1 + 0.5 * values
        elif tensor.ndim == 1 and name.endswith("weight"):  # gain of a norm
            values = 1 + 0.3 * values
        elif tensor.ndim == 1:
            values = 0.2 * values
        else:
            values = values * gain / math.sqrt(tensor[0].numel())
        tensor.copy_(values)
    return model.eval()


def reference_shapes(model: str, *, complete: bool = False) -> list[tuple[str, tuple[int, ...]]]:
    """Returns names and shapes of the authors' state dict, by default without what never runs."""
    left_out, _ = ((), 0) if complete else LEFT_OUT.get(model, ((), 0))
    rows = json.loads((SHAPES / f"{model}.json").read_text(encoding="utf-8"))
    return [(name, tuple(shape)) for name, shape in rows if not name.startswith(left_out)]


def by_reference_name(model: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """Returns the tensors under the authors' names: the order is the same."""
    return dict(zip(names, model.state_dict().values(), strict=True))


def relative_error(result: Tensor, expected: Tensor) -> float:
    """Returns the greatest difference, relative to the greatest expected magnitude."""
    return ((result - expected).abs().max() / expected.abs().max()).item()


def block(state: State, name: str) -> dict[str, Tensor]:
    """Returns the tensors below a name, under what is left of theirs."""
    return {k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")}


def conv_norm(state: State, conv: str, norm: str, x: Tensor, **options: int) -> Tensor:
    """Returns a convolution and batch norm in evaluation mode, in plain functions."""
    x = functional.conv2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], **options)
    s = block(state, norm)
    scale = s["weight"] / (s["running_var"] + 1e-5).sqrt()
    return x * scale[:, None, None] + (s["bias"] - s["running_mean"] * scale)[:, None, None]


def residual(state: State, x: Tensor) -> Tensor:
    """Returns the block of ColonSegNet and FANet, under the authors' names."""
    main = conv_norm(state, "conv1", "bn1", x, padding=1).relu()
    main = conv_norm(state, "conv2", "bn2", main, padding=1)
    shortcut = conv_norm(state, "conv3", "bn3", x)
    hidden = (shortcut.mean((2, 3)) @ state["se.fc.0.weight"].T).relu()
    gate = (hidden @ state["se.fc.2.weight"].T).sigmoid()
    return (main + shortcut * gate[..., None, None]).relu()
