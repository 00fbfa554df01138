"""What every model takes and what it gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

STRIDE = 32
"""Height and width of an image are multiples of this, in every model."""


@dataclass(frozen=True)
class SegmentationOutput:
    """Raw outputs of one forward pass, all at the size of the input.

    Attributes:
        logits_BCHW: The prediction, before sigmoid or softmax.
        auxiliary: Further logits of the same shape for deep supervision, shallowest first.
    """

    logits_BCHW: Tensor
    auxiliary: tuple[Tensor, ...] = ()


def check_image(image_BCHW: Tensor) -> None:
    """Raises ValueError unless the shape is (B, 3, H, W) with H and W multiples of 32."""
    shape = tuple(image_BCHW.shape)
    if len(shape) != 4 or shape[1] != 3:
        msg = f"image has shape {shape}; expected (B, 3, H, W)"
        raise ValueError(msg)
    height, width = shape[2:]
    if height % STRIDE or width % STRIDE or not height or not width:
        msg = f"image is {height}x{width} pixels; height and width must be multiples of {STRIDE}"
        raise ValueError(msg)
