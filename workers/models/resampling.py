"""Bilinear resizing and pooling whose gradients are deterministic on a GPU.

On CUDA torch has no deterministic gradient for adaptive pools, and for bilinear resizing only a
decomposition into many small operations (U-Net++: 1,075 operations per step in place of 585).
Each replacement has the value of torch's operation, and a gradient from matrix products or from one
selection. On the CPU, or if `training.deterministic` is off, torch's own operations run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, interpolate

REPLACED_ON = frozenset({"cuda"})
"""Types of devices on which the replacements run."""


def resize_bilinear(features_BCHW: Tensor, size: tuple[int, int], *, align_corners: bool) -> Tensor:
    """Returns the map at another size.

    Args:
        features_BCHW: The map.
        size: Height and width.
        align_corners: Whether the corners of both maps coincide.
    """
    if not _replaced(features_BCHW):
        return interpolate(features_BCHW, size, mode="bilinear", align_corners=align_corners)
    resized: Tensor = _Bilinear.apply(features_BCHW, size, align_corners)
    return resized


def enlarge_bilinear(features_BCHW: Tensor, factor: int, *, align_corners: bool) -> Tensor:
    """Returns the map enlarged by a whole factor."""
    if not _replaced(features_BCHW):
        return interpolate(
            features_BCHW, scale_factor=factor, mode="bilinear", align_corners=align_corners
        )
    height, width = features_BCHW.shape[-2:]
    return resize_bilinear(
        features_BCHW, (height * factor, width * factor), align_corners=align_corners
    )


def average_pool(features_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the means (B, C, *size) of equal bins, as torch's adaptive_avg_pool2d."""
    if size == (1, 1) or not _replaced(features_BCHW):  # one bin is a plain mean in torch
        return adaptive_avg_pool2d(features_BCHW, size)
    height, width = features_BCHW.shape[-2:]
    kind, device = features_BCHW.dtype, features_BCHW.device
    rows = _matrix("average", height, size[0], False, kind, device)
    columns = _matrix("average", width, size[1], False, kind, device)
    return rows @ features_BCHW @ columns.mT


def global_maximum(features_BCHW: Tensor) -> Tensor:
    """Returns the maximum (B, C, 1, 1) of each channel, as torch's adaptive_max_pool2d."""
    if not _replaced(features_BCHW):
        return adaptive_max_pool2d(features_BCHW, 1)
    return features_BCHW.flatten(2).max(2).values[..., None, None]


class BilinearUpsample(nn.Module):
    """nn.Upsample of mode bilinear by a whole factor."""

    def __init__(self, factor: int, *, align_corners: bool) -> None:
        super().__init__()
        self.factor, self.align_corners = factor, align_corners

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns the enlarged map."""
        return enlarge_bilinear(features_BCHW, self.factor, align_corners=self.align_corners)


class AveragePool(nn.Module):
    """nn.AdaptiveAvgPool2d of a fixed size."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns the means of the bins."""
        return average_pool(features_BCHW, self.size)


def replace_layers(network: nn.Module) -> None:
    """Replaces torch's layers by the classes of this module, also inside libraries.

    The classes have no parameters, so that weights and their names stay.
    """
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            replacement = _replacement(layer)
            if replacement is not None:
                setattr(parent, name, replacement)


def _replacement(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, nn.Upsample) and layer.mode == "bilinear":
        factor = layer.scale_factor
        if isinstance(factor, int | float) and float(factor).is_integer():
            return BilinearUpsample(int(factor), align_corners=bool(layer.align_corners))
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        size: Any = layer.output_size
        size = size if isinstance(size, tuple) else (size, size)
        if None not in size:
            return AveragePool(size)
    return None


def _replaced(features: Tensor) -> bool:
    return features.device.type in REPLACED_ON and torch.are_deterministic_algorithms_enabled()


class _Bilinear(torch.autograd.Function):
    """torch's kernel forward; backward the transposed interpolation as two matrix products."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:  # noqa: ANN401 - torch's
        ctx.sides, ctx.align_corners = tuple(features.shape[-2:]), align_corners
        # Not F.interpolate, which would take the decomposition.
        resized: Tensor = torch.ops.aten.upsample_bilinear2d(features, size, align_corners)
        return resized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 - torch's
        (gradient,) = gradients
        # Weights of interpolation have too few digits in 16 bits.
        kind = torch.float64 if gradient.dtype == torch.float64 else torch.float32
        rows, columns = (
            _matrix("bilinear", side, out, ctx.align_corners, kind, gradient.device)
            for side, out in zip(ctx.sides, gradient.shape[-2:], strict=True)
        )
        found = rows.mT @ gradient.to(kind) @ columns
        return found.to(gradient.dtype), None, None


@functools.lru_cache(maxsize=256)
def _matrix(
    kind: str, side: int, out: int, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Returns (out, side): weights of the input pixels in each output pixel along one axis.

    Made by torch's own operation on the CPU from the columns of the identity.
    """
    make: dict[str, Callable[[Tensor], Tensor]] = {
        "bilinear": lambda eye: interpolate(eye, out, mode="linear", align_corners=align_corners),
        "average": lambda eye: nn.functional.adaptive_avg_pool1d(eye, out),
    }
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        weights = make[kind](torch.eye(side, dtype=torch.float64, device="cpu")[None])[0]
    return weights.mT.contiguous().to(dtype).to(device)
