"""What follows an attempt that gave no result: pure decisions, of the planner and the engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from workers.contract import FailureClass

MAX_LOST_NODES = 20
"""Lost nodes count against nobody; a trial that takes one node after the other down does."""

_NODE_WORDS = ("its node has died", "node was terminated")
_NODE_KINDS = frozenset(
    {"ActorUnavailableError", "ActorUnschedulableError", "LocalRayletDiedError", "NodeDiedError"}
)
_MEMORY_WORDS = ("running low on memory", "due to memory pressure")


class Loss(Enum):
    """What took a trial's process away."""

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
    """What happened to a trial in this run so far.

    Attributes:
        gpus: The share of the next attempt.
        num_losses: Attempts lost with their process, but not with their node.
        num_lost_nodes: Attempts lost with their node.
    """

    gpus: float
    num_losses: int = 0
    num_lost_nodes: int = 0


def loss_of(kind: str, text: str, *, preempted: bool = False) -> Loss:
    """Tells what was lost from the scheduler's error.

    A node that vanishes without a word shows as an actor that cannot be reached, long before the
    cluster declares the node dead.

    Args:
        kind: Name of the error's class; empty where it is not known.
        text: Its message.
        preempted: Whether the scheduler says that the node was taken away.
    """
    words = text.lower()
    if any(phrase in words for phrase in _MEMORY_WORDS) or kind == "OutOfMemoryError":
        return Loss.MEMORY
    if preempted or kind in _NODE_KINDS or any(phrase in words for phrase in _NODE_WORDS):
        return Loss.NODE
    return Loss.PROCESS if kind == "ActorDiedError" else Loss.ERROR


def after_loss(tries: Tries, loss: Loss, *, max_failures: int) -> Tries | None:
    """Returns what is known when the trial starts again, from its checkpoint; None: given up."""
    if loss is Loss.NODE:
        after = replace(tries, num_lost_nodes=tries.num_lost_nodes + 1)
        return after if after.num_lost_nodes <= MAX_LOST_NODES else None
    after = replace(tries, num_losses=tries.num_losses + 1)
    return after if after.num_losses <= max_failures else None


def after_failure(tries: Tries, failure_class: FailureClass) -> Tries | None:
    """Returns the next attempt after an exception of the trial: only memory asks for one."""
    if failure_class is not FailureClass.OUT_OF_MEMORY:
        return None
    share = larger_share(tries.gpus)
    return None if share is None else replace(tries, gpus=share)


def larger_share(gpus: float) -> float | None:
    """Returns twice the share, at most a whole GPU; None where there is no larger one.

    A trial trains on one GPU at most, and the host's memory is not shared out.
    """
    return min(1.0, 2 * gpus) if 0 < gpus < 1 else None


def share_text(gpus: float) -> str:
    """Names a share for people."""
    if gpus == 0:
        return "no GPU"
    return "a whole GPU" if gpus == 1 else f"{gpus:g} GPU"


def share_after(configured: float, failed: float | None) -> float | None:
    """Returns the share of a trial's next attempt in a later run, after memory ran out.

    Args:
        configured: What the configuration gives a trial now.
        failed: The largest share that was too small; None where it is not known.

    Returns:
        None where memory ran out on all there is: a whole GPU, or the host.
    """
    if failed is None or (configured == 0) != (failed == 0):
        return configured
    share = larger_share(failed)
    return None if share is None else max(configured, share)


def stalled(last_progress: Mapping[str, float], now: float, limit_seconds: float) -> list[str]:
    """Returns the trials without progress for so long.

    Args:
        last_progress: Seconds of a monotonic clock, by trial.
        now: The same clock.
        limit_seconds: How long is too long.
    """
    return [key for key, since in last_progress.items() if now - since >= limit_seconds]
