"""Decides what follows an attempt without a result; pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from workers.contract import FailureClass

MAX_LOST_NODES = 20
"""A lost node does not count as a failure of its trial. A trial that loses more nodes than this is
given up, because it may be the cause."""

_NODE_WORDS = ("its node has died", "node was terminated")
_NODE_KINDS = frozenset(
    {"ActorUnavailableError", "ActorUnschedulableError", "LocalRayletDiedError", "NodeDiedError"}
)
_MEMORY_WORDS = ("running low on memory", "due to memory pressure")


class Loss(Enum):
    """Why a trial lost its process."""

    NODE = "its node was lost"
    PROCESS = "its process ended"
    MEMORY = "its process was ended because the machine ran out of memory"
    STALLED = "stalled"
    ERROR = "its process could not work"

    @property
    def failure_class(self) -> FailureClass:
        """The class of the failure row."""
        memory = self is Loss.MEMORY
        return FailureClass.OUT_OF_MEMORY if memory else FailureClass.INFRASTRUCTURE


@dataclass(frozen=True, kw_only=True)
class Tries:
    """Attempts of a trial in this run so far.

    Attributes:
        gpus: GPU share of the next attempt.
        num_losses: Attempts that lost their process but not their node.
        num_lost_nodes: Attempts that lost their node.
    """

    gpus: float
    num_losses: int = 0
    num_lost_nodes: int = 0


def loss_of(kind: str, text: str, *, preempted: bool = False) -> Loss:
    """Classifies an error of the scheduler.

    When a node stops without notice, its actor cannot be reached, long before the cluster declares
    the node dead.

    Args:
        kind: Name of the error's class; empty if it is not known.
        text: Message of the error.
        preempted: Whether the scheduler reports that the node was preempted.
    """
    words = text.lower()
    if any(phrase in words for phrase in _MEMORY_WORDS) or kind == "OutOfMemoryError":
        return Loss.MEMORY
    if preempted or kind in _NODE_KINDS or any(phrase in words for phrase in _NODE_WORDS):
        return Loss.NODE
    return Loss.PROCESS if kind == "ActorDiedError" else Loss.ERROR


def after_loss(tries: Tries, loss: Loss, *, max_failures: int) -> Tries | None:
    """Returns the attempts so far if the trial starts again, or None if it is given up."""
    if loss is Loss.NODE:
        after = replace(tries, num_lost_nodes=tries.num_lost_nodes + 1)
        return after if after.num_lost_nodes <= MAX_LOST_NODES else None
    after = replace(tries, num_losses=tries.num_losses + 1)
    return after if after.num_losses <= max_failures else None


def after_failure(tries: Tries, failure_class: FailureClass) -> Tries | None:
    """Returns the attempts so far if the trial starts again, with a larger share, or None."""
    if failure_class is not FailureClass.OUT_OF_MEMORY:
        return None
    share = larger_share(tries.gpus)
    return None if share is None else replace(tries, gpus=share)


def larger_share(gpus: float) -> float | None:
    """Returns twice the share, at most a whole GPU; None if there is no larger share.

    A trial trains on at most one GPU, and the host's memory is not divided between trials.
    """
    return min(1.0, 2 * gpus) if 0 < gpus < 1 else None


def share_text(gpus: float) -> str:
    """Returns a GPU share in words."""
    if gpus == 0:
        return "no GPU"
    return "a whole GPU" if gpus == 1 else f"{gpus:g} GPU"


def share_after(configured: float, failed: float | None) -> float | None:
    """Returns the share of a trial's next attempt in a later run, after memory ran out.

    Args:
        configured: Share that the configuration gives a trial now.
        failed: The largest share that was too small; None if it is not known.

    Returns:
        None if memory ran out on a whole GPU, or on the host.
    """
    if failed is None or (configured == 0) != (failed == 0):
        return configured
    share = larger_share(failed)
    return None if share is None else max(configured, share)


def stalled(last_progress: Mapping[str, float], now: float, limit_seconds: float) -> list[str]:
    """Returns the trials that made no progress for `limit_seconds`.

    Args:
        last_progress: Time of the last progress by trial, seconds of a monotonic clock.
        now: Time now, same clock.
        limit_seconds: The limit.
    """
    return [key for key, since in last_progress.items() if now - since >= limit_seconds]
