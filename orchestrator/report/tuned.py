"""Tuned losses beside the defaults they come from."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.report.data import Sweep
from orchestrator.report.evidence import Evidence, PairCell
from orchestrator.tune.studies import TUNED


@dataclass(frozen=True, kw_only=True)
class TunedPair:
    """A loss as `podium tune` left it, and as it was.

    Attributes:
        default: Label of the loss with its own parameters.
        tuned: Label of the tuned one.
        default_mean: Mean over the blocks of the main podium; None without any trial.
        tuned_mean: Likewise.
        compared: The tuned loss against the default; None where nothing can be said.
    """

    default: str
    tuned: str
    default_mean: float | None
    tuned_mean: float | None
    compared: PairCell | None


def tuned_pairs(sweep: Sweep, found: Evidence) -> tuple[TunedPair, ...]:
    """Returns every loss that stands in the sweep both ways, in the order of the grid."""
    labels = sweep.grid.losses
    means = sweep.main_podium.means
    return tuple(
        TunedPair(
            default=label,
            tuned=label + TUNED,
            default_mean=means.get(label),
            tuned_mean=means.get(label + TUNED),
            compared=found.pair(label + TUNED, label),
        )
        for label in labels
        if label + TUNED in labels
    )
