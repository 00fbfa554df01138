"""The losses: pure functions of logits and truth, built and added up by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.catalogue import load
from workers.catalogue.losses import LEARNING_RATE, LOSSES, complete_loss
from workers.losses.target import membership
from workers.losses.value import one_number

__all__ = ["SegmentationLoss", "build_loss"]

Term = Callable[[Tensor, Tensor], Tensor]


class SegmentationLoss(nn.Module):
    """A weighted sum of losses, from logits.

    Args:
        terms: Functions of (logits_BCHW, truth_BCHW).
        weights: One per term.
        names: Names of the terms in messages.
    """

    def __init__(
        self, terms: Sequence[Term], weights: Sequence[float], names: Sequence[str]
    ) -> None:
        super().__init__()
        self._weighted_terms = tuple(zip(weights, terms, names, strict=True))

    def forward(self, logits_BCHW: Tensor, target: Tensor) -> Tensor:
        """Returns the loss as a scalar: float64 for float64 logits, float32 for all others.

        Args:
            logits_BCHW: Raw outputs of any floating type; with one channel of a sigmoid, with
                several of a softmax. Autocast is off inside, so the type of the result holds.
            target: (B, H, W) or (B, 1, H, W). One channel: 0 or 1 (bool, integer or floating; soft
                values between are allowed). Several: class indices, bool or integer.

        Raises:
            ValueError: Shapes or types do not fit; on a CPU also values out of range (on a device
                that check would make the host wait, so such values give a wrong loss there).
            SpecificationError: A term did not return one number that depends on the logits.
        """
        with torch.autocast(logits_BCHW.device.type, enabled=False):
            truth_BCHW = membership(logits_BCHW, target)
            logits_BCHW = logits_BCHW.to(truth_BCHW.dtype)
            parts = [
                weight * one_number(term(logits_BCHW, truth_BCHW), logits_BCHW, name)
                for weight, term, name in self._weighted_terms
            ]
            return torch.stack(parts).sum()


def build_loss(name: str, **parameters: Any) -> SegmentationLoss:  # noqa: ANN401 - checked by the catalogue
    """Builds a loss, or a sum such as `iou+focal` with `weights` and the options of each component.

    A `learning_rate` among the parameters belongs to the training and is ignored here.

    Example:
        `build_loss("iou+focal", weights=[1, 0.5], focal={"gamma": 2})`

    Raises:
        CatalogueError: The name or a parameter is unknown or refused.
    """
    name, complete = complete_loss(name, parameters)
    complete.pop(LEARNING_RATE, None)
    parts = name.split("+")
    if len(parts) == 1:
        return SegmentationLoss([_term(name, complete)], [1.0], parts)
    terms = [_term(part, complete[part]) for part in parts]  # type: ignore[arg-type]
    return SegmentationLoss(terms, complete["weights"], parts)  # type: ignore[arg-type]


def _term(part: str, options: Mapping[str, object]) -> Term:
    return functools.partial(load(LOSSES[part].compute), **options)
