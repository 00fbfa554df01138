"""Input and output of every model."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workers.contract import SpecificationError

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
        weights: The authors' weight of each map of `supervised` in the loss, where the prediction
            has 1; empty if they are all 1.
    """

    logits_BCHW: Tensor
    auxiliary: tuple[Tensor, ...] = ()
    mutation: bool = False
    weights: tuple[float, ...] = ()

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


def output_of(model: nn.Module, image_BCHW: Tensor) -> SegmentationOutput:
    """Runs a model and checks that it returned one channel of logits at the size of the image.

    Raises:
        SpecificationError: It returned something else.
    """
    output = model(image_BCHW)
    expected = (len(image_BCHW), 1, *image_BCHW.shape[2:])
    if not isinstance(output, SegmentationOutput):
        problem = f"returned {_described(output)}"
    else:
        maps = {"logits_BCHW": output.logits_BCHW}
        maps |= {f"auxiliary[{i}]": item for i, item in enumerate(output.auxiliary)}
        wrong = [f"{k} is {_described(v)}" for k, v in maps.items() if _shape(v) != expected]
        if not wrong:
            return output
        problem = f"returned a SegmentationOutput whose {wrong[0]}"
    mode = "training" if model.training else "evaluation"
    msg = (
        f"in {mode} mode the model {problem}; return SegmentationOutput(logits_BCHW) of "
        f"workers.models, with logits of shape {expected} before any sigmoid, and the further maps "
        "of deep supervision, of the same shape, as its second argument"
    )
    raise SpecificationError(msg)


def _shape(value: object) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(repr, value))}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
