"""Wall time left in a sweep, from what each trial was expected to take and the pace so far."""

from __future__ import annotations

import math
from collections.abc import Mapping

_ROUNDS = 5


class Forecast:
    """Learns the pace of a sweep: seconds of a slot for each second that was expected.

    Trials are started longest expected first, so that their number says little of what is left. A
    trial under way counts with what it can have done at the pace found, at most the whole: else
    those that stop early would make the pace look better than it is.
    """

    def __init__(self, expected_seconds: Mapping[str, float]) -> None:
        """Args: expected_seconds: Of every trial that is to run, by id."""
        self._expected = expected_seconds
        self._waiting = dict(expected_seconds)
        self._begun_at: dict[str, float] = {}
        self._ended_work = 0.0
        self._ended_seconds = 0.0
        self._slots = 1

    def begin(self, trial_id: str, now: float) -> None:
        """Notes the start of a trial; one that is started again begins anew."""
        self._waiting.pop(trial_id, None)
        self._begun_at[trial_id] = now
        self._slots = max(self._slots, len(self._begun_at))

    def end(self, trial_id: str, now: float, *, has_result: bool) -> None:
        """Notes the end of a trial; a failure says nothing of the pace."""
        self._waiting.pop(trial_id, None)
        begun_at = self._begun_at.pop(trial_id, None)
        if has_result and begun_at is not None:
            self._ended_work += self._expected.get(trial_id, 0.0)
            self._ended_seconds += now - begun_at

    def seconds_left(self, now: float) -> float | None:
        """Returns the wall time left; None before a trial with a known expectation ended."""
        if self._ended_work <= 0 or self._ended_seconds <= 0:
            return None
        running = [
            (self._expected.get(trial_id, 0.0), now - begun_at)
            for trial_id, begun_at in self._begun_at.items()
        ]
        pace = self._pace(running)
        left = [max(expected * pace - spent, 0.0) for expected, spent in running]
        waiting = math.fsum(self._waiting.values()) * pace
        return max((waiting + sum(left)) / self._slots, max(left, default=0.0))

    def _pace(self, running: list[tuple[float, float]]) -> float:
        """Returns the pace at which the slots' seconds so far are those of the work done."""
        spent = self._ended_seconds + sum(seconds for _, seconds in running)
        pace = self._ended_seconds / self._ended_work
        for _ in range(_ROUNDS):
            done = sum(min(expected, seconds / pace) for expected, seconds in running)
            pace = spent / (self._ended_work + done)
        return pace
