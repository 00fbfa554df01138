"""The losses: pure functions of logits and truth, built and added up by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workers.catalogue import load
from workers.catalogue.code_files import short_name
from workers.catalogue.losses import LEARNING_RATE, LOSSES, MapName, complete_loss
from workers.losses.maps import maps_of_truth
from workers.losses.target import membership
from workers.losses.value import one_number

__all__ = ["SegmentationLoss", "build_loss"]

Term = Callable[..., Tensor]


class SegmentationLoss(nn.Module):
    """A weighted sum of losses, from logits.

    Args:
        terms: Functions of (logits_BCHW, truth_BCHW), and of the keywords of their maps.
        weights: One per term.
        names: Names of the terms in messages.
        needs: Maps of the truth for each term (`LossEntry.needs`); None if no term needs one.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        weights: Sequence[float],
        names: Sequence[str],
        needs: Sequence[Sequence[MapName]] | None = None,
    ) -> None:
        super().__init__()
        needs = [()] * len(terms) if needs is None else needs
        self._weighted_terms = tuple(zip(weights, terms, names, needs, strict=True))

    def forward(
        self, logits_BCHW: Tensor, target: Tensor, maps: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Returns the loss as a scalar: float64 for float64 logits, float32 for all others.

        Args:
            logits_BCHW: Raw outputs of any floating type; with one channel of a sigmoid, with
                several of a softmax. Autocast is off inside, so the type of the result holds.
            target: (B, H, W) or (B, 1, H, W). One channel: 0 or 1 (bool, integer or floating; soft
                values between are allowed). Several: class indices, bool or integer.
            maps: Maps of the truth by name, (B, C, H, W); a map that a term needs and that is not
                given is computed from the truth.

        Raises:
            ValueError: Shapes or types do not fit; on a CPU also values out of range (on a device
                that check would make the host wait, so such values give a wrong loss there).
            SpecificationError: A term did not return one number that depends on the logits.
        """
        with torch.autocast(logits_BCHW.device.type, enabled=False):
            truth_BCHW = membership(logits_BCHW, target)
            logits_BCHW = logits_BCHW.to(truth_BCHW.dtype)
            found = {} if maps is None else dict(maps)
            parts = []
            for weight, term, name, needs in self._weighted_terms:
                for need in needs:
                    if need not in found:
                        found[need] = maps_of_truth(need, truth_BCHW)
                keywords = {f"{need}_BCHW": found[need].to(truth_BCHW) for need in needs}
                value = term(logits_BCHW, truth_BCHW, **keywords)
                parts.append(weight * one_number(value, logits_BCHW, name))
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
    needs = [LOSSES[part].needs for part in parts]
    names = [_described(part) for part in parts]
    if len(parts) == 1:
        return SegmentationLoss([_term(name, complete)], [1.0], names, needs)
    terms = [_term(part, complete[short_name(part)]) for part in parts]  # type: ignore[arg-type]
    return SegmentationLoss(terms, complete["weights"], names, needs)  # type: ignore[arg-type]


def _described(part: str) -> str:
    """Returns the name of a component for messages, with file and line if it is from a file."""
    place = LOSSES.place(part)
    return part if place is None else f"{short_name(part)} ({place})"


def _term(part: str, options: Mapping[str, object]) -> Term:
    return functools.partial(load(LOSSES[part].compute), **options)
