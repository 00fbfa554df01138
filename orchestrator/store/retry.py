"""Asks a place again that fails for a moment: the one rule for disks, shared folders and S3."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.store.storage import StoreHiccupError

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to go on asking, with pauses that double.

    A place that never answered is more likely misnamed than disturbed, so its user is told soon.

    Attributes:
        first_pause_seconds: The first pause; each is shortened at random by up to a half, so that
            many workers do not come back at once.
        longest_pause_seconds: No pause is longer.
        unknown_seconds: In all, for a place that has not answered this process yet.
        known_seconds: In all, for a place that has.
        sleep: Pauses.
        clock: A monotonic clock, in seconds.
        answered: The places that have answered.
    """

    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    unknown_seconds: float = 8.0
    known_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep  # noqa: TID251 - this is where it is injected
    clock: Callable[[], float] = time.monotonic
    answered: set[str] = field(default_factory=set)

    def insist(self, place: str, operation: Callable[[], _Answer]) -> _Answer:
        """Returns what an operation gives, repeating it after each hiccup.

        Raises:
            StoreHiccupError: The hiccup lasted too long.
        """
        started, pause = self.clock(), self.first_pause_seconds
        while True:
            try:
                answer = operation()
            except StoreHiccupError:
                limit = self.known_seconds if place in self.answered else self.unknown_seconds
                if self.clock() - started + pause > limit:
                    raise
            else:
                self.answered.add(place)
                return answer
            self.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, self.longest_pause_seconds)


PATIENCE = Patience()
"""Shared by all storages of a process, so that a place is known once it has answered."""
