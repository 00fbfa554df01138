"""The losses: pure functions of logits and truth, built and added up by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from workers.catalogue import load
from workers.catalogue.code_files import short_name
from workers.catalogue.losses import LEARNING_RATE, LOSSES, complete_loss, weight_in_epoch
from workers.catalogue.losses.entry import LossEntry, MapName
from workers.losses.maps import map_of_batch
from workers.losses.target import membership
from workers.losses.value import one_number

__all__ = ["SegmentationLoss", "Term", "build_loss", "term_of"]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One component of a sum of losses.

    Attributes:
        name: Its name in messages.
        compute: Function of (logits_BCHW, truth_BCHW), and of the keywords of its maps.
        weight: A number, or a schedule (`workers.catalogue.losses.weight_in_epoch`).
        needs: Maps of the truth that it takes (`LossEntry.needs`).
        one_channel: Why it refuses several channels; empty if it takes any number.
    """

    name: str
    compute: Callable[..., Tensor]
    weight: float | Mapping[str, Any] = 1.0
    needs: Sequence[MapName] = ()
    one_channel: str = ""


class SegmentationLoss(nn.Module):
    """A weighted sum of losses, from logits.

    Attributes:
        terms: The components.

    Args:
        terms: The components.
        epoch: Number of the epoch whose weights it has, from 1.
    """

    def __init__(self, terms: Sequence[Term], epoch: int = 1) -> None:
        super().__init__()
        self.terms = tuple(terms)
        self._weights = [weight_in_epoch(term.weight, epoch) for term in terms]

    def at(self, epoch: int) -> SegmentationLoss:
        """Returns the loss with the weights of an epoch, counted from 1."""
        return SegmentationLoss(self.terms, epoch)

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
            ValueError: Shapes or types do not fit, or a term takes one channel only; on a CPU
                also values out of range (on a device that check would make the host wait, so such
                values give a wrong loss there).
            SpecificationError: A term did not return one number that depends on the logits.
        """
        with torch.autocast(logits_BCHW.device.type, enabled=False):
            truth_BCHW = membership(logits_BCHW, target)
            logits_BCHW = logits_BCHW.to(truth_BCHW.dtype)
            found = {} if maps is None else dict(maps)
            parts = []
            for weight, term in zip(self._weights, self.terms, strict=True):
                _check_channels(term, logits_BCHW)
                for need in term.needs:
                    if need not in found:
                        found[need] = map_of_batch(need, truth_BCHW)
                keywords = {f"{need}_BCHW": found[need].to(truth_BCHW) for need in term.needs}
                value = term.compute(logits_BCHW, truth_BCHW, **keywords)
                parts.append(weight * one_number(value, logits_BCHW, term.name))
            return torch.stack(parts).sum()


def _check_channels(term: Term, logits_BCHW: Tensor) -> None:
    num_channels = logits_BCHW.shape[1]
    if term.one_channel and num_channels > 1:
        msg = (
            f"loss {term.name!r} takes logits with one channel, not {num_channels}: "
            f"{term.one_channel}"
        )
        raise ValueError(msg)


def build_loss(name: str, **parameters: Any) -> SegmentationLoss:  # noqa: ANN401 - checked by the catalogue
    """Builds a loss, or a sum such as `iou+focal` with `weights` and the options of each component.

    The loss has the weights of epoch 1; `loss.at(epoch)` has those of another epoch.

    A `learning_rate` among the parameters belongs to the training and is ignored here.

    Example:
        `build_loss("iou+focal", weights=[1, 0.5], focal={"gamma": 2})`

    Raises:
        CatalogueError: The name or a parameter is unknown or refused.
    """
    name, complete = complete_loss(name, parameters)
    complete.pop(LEARNING_RATE, None)
    parts = name.split("+")
    weights: Any = complete.get("weights", [1.0])
    options: Any = [complete[short_name(part)] for part in parts] if len(parts) > 1 else [complete]
    return SegmentationLoss(
        [
            replace(term_of(LOSSES[part], chosen, weight), name=_described(part))
            for part, chosen, weight in zip(parts, options, weights, strict=True)
        ]
    )


def _described(name: str) -> str:
    """Returns the name of a component for messages, with file and line if it is from a file."""
    place = LOSSES.place(name)
    return name if place is None else f"{short_name(name)} ({place})"


def term_of(
    entry: LossEntry, options: Mapping[str, object], weight: float | Mapping[str, Any] = 1.0
) -> Term:
    """Returns a loss as a component of a sum.

    Args:
        entry: The loss.
        options: Its complete parameters.
        weight: A number or a schedule.
    """
    return Term(
        name=entry.name,
        compute=functools.partial(load(entry.compute), **options),
        weight=weight,
        needs=entry.needs,
        one_channel=entry.one_channel,
    )
