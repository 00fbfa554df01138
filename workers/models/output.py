"""What every model takes and what it gives."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

STRIDE = 32
"""Height and width of an image are multiples of this, in every model."""


@dataclass(frozen=True)
class SegmentationOutput:
    """Raw outputs of one forward pass, all at the size of the input.

    Attributes:
        logits_BCHW: The prediction, before sigmoid or softmax.
        auxiliary: Further logits of the same shape for deep supervision, in the order that the
            model documents.
        mutation: Whether deep supervision also takes sums of the maps (see `supervised`).
    """

    logits_BCHW: Tensor
    auxiliary: tuple[Tensor, ...] = ()
    mutation: bool = False

    def supervised(self) -> tuple[Tensor, ...]:
        """Returns the logits that deep supervision applies the loss to beside the prediction.

        They are `auxiliary`, or with mutation (Rahman et al., arXiv:2405.06880) the
        sum of every non-empty subset of `auxiliary` and the prediction, the prediction alone left
        out: 14 maps for three auxiliary ones. Small subsets come first, `auxiliary` before the
        prediction.
        """
        if not self.mutation:
            return self.auxiliary
        maps = (*self.auxiliary, self.logits_BCHW)
        sums = (
            functools.reduce(torch.add, subset)
            for size in range(2, len(maps) + 1)
            for subset in itertools.combinations(maps, size)
        )
        return (*self.auxiliary, *sums)


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
