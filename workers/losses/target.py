"""From a target mask to the membership of every pixel in every channel."""

from __future__ import annotations

import torch
from torch import Tensor


def membership(logits_BCHW: Tensor, target: Tensor) -> Tensor:
    """Returns truth_BCHW in the shape of the logits: 1 if a pixel belongs to a channel, or 0.

    One channel: the target itself. Several: one channel per class (also class 0, the background).
    The type is float64 for float64 logits and float32 for all others.

    Args:
        logits_BCHW: Raw outputs, only their shape and type are used.
        target: (B, H, W) or (B, 1, H, W); see `SegmentationLoss.forward`.

    Raises:
        ValueError: Shapes or types do not fit, or, on a CPU, values are out of range.
    """
    target_BHW = _check_shapes(logits_BCHW, target)
    num_channels = logits_BCHW.shape[1]
    if num_channels > 1 and target.dtype.is_floating_point:
        msg = f"class indices have type {target.dtype}; convert them with target.long()"
        raise ValueError(msg)
    if target.device.type == "cpu":
        _check_range(target_BHW, max(1, num_channels - 1))
    dtype = torch.float64 if logits_BCHW.dtype == torch.float64 else torch.float32
    target_B1HW = target_BHW.unsqueeze(1)
    if num_channels == 1:
        return target_B1HW.to(dtype)
    # Compared, not scattered or indexed: those have no deterministic backward pass on CUDA.
    classes_C11 = torch.arange(num_channels, device=target.device).view(-1, 1, 1)
    return (target_B1HW == classes_C11).to(dtype)


def _check_shapes(logits_BCHW: Tensor, target: Tensor) -> Tensor:
    """Returns the target as (B, H, W)."""
    shapes = f"logits have shape {tuple(logits_BCHW.shape)}, target {tuple(target.shape)}"
    if logits_BCHW.ndim != 4 or not logits_BCHW.numel():
        msg = f"{shapes}; expected logits (B, C, H, W) with at least one pixel"
        raise ValueError(msg)
    if not logits_BCHW.dtype.is_floating_point:
        msg = f"logits have type {logits_BCHW.dtype}; expected a floating type"
        raise ValueError(msg)
    num_images, _, height, width = logits_BCHW.shape
    if target.shape not in {(num_images, height, width), (num_images, 1, height, width)}:
        expected = f"{(num_images, height, width)} or {(num_images, 1, height, width)}"
        msg = f"{shapes}; expected target {expected}"
        raise ValueError(msg)
    return target.reshape(num_images, height, width)


def _check_range(target_BHW: Tensor, largest: int) -> None:
    lowest, highest = (value.item() for value in torch.aminmax(target_BHW))
    # Written so that NaN fails too.
    if not (lowest >= 0 and highest <= largest):
        msg = f"target has values from {lowest} to {highest}; expected 0 to {largest}"
        raise ValueError(msg)
