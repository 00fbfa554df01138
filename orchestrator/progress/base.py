"""What every display is told, and what it counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.wording import duration_text

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


Clock = Callable[[], float]
"""Seconds that never run backwards."""


class Progress(Protocol):
    """Told what happens in a sweep; every method returns at once and none raises.

    A trial that is started again keeps its id. `close` is safe at any time and any number of
    times: it gives the terminal back.
    """

    def sweep_started(self, total: int, pending: int, skipped: int) -> None:
        """Trials in the grid, to run now, and with a result or given up."""
        ...

    def trial_started(self, trial_id: str, label: str) -> None:
        """A trial begins; `label` names it for people."""
        ...

    def epoch(self, trial_id: str, epoch: int, val_dice: float) -> None:
        """An epoch ended; epochs are counted from 1."""
        ...

    def trial_finished(
        self, trial_id: str, status: str, dice: float | None, seconds: float
    ) -> None:
        """A trial has its result: `completed` with its test Dice, or `diverged`."""
        ...

    def trial_failed(self, trial_id: str, failure_class: str, message: str) -> None:
        """A trial ended without a result."""
        ...

    def trial_left(self, trial_id: str, message: str) -> None:
        """A trial does not run here now: another driver trains it, or it will be tried again."""
        ...

    def sweep_finished(self, *, interrupted: bool = False) -> None:
        """Nothing runs any more; `interrupted` when trials were left."""
        ...

    def close(self) -> None:
        """Stops displaying."""
        ...


@dataclass
class Running:
    """A trial under way and its last epoch."""

    label: str
    epoch: int | None = None
    val_dice: float = math.nan


@dataclass
class Tally:
    """Counts of a sweep under way.

    Attributes:
        clock: Monotonic seconds.
        forecast: Tells the time left; without one it follows from the number of trials.
        running: Trials under way, by id, oldest first.
        failures: Class, label and message of failed trials, oldest first.
        left: Labels of trials that another driver is training, by id.
    """

    clock: Clock
    forecast: Forecast | None = None
    total: int = 0
    pending: int = 0
    skipped: int = 0
    completed: int = 0
    diverged: int = 0
    running: dict[str, Running] = field(default_factory=dict)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    started_at: float = 0.0

    def start(self, total: int, pending: int, skipped: int) -> None:
        """Notes the size of the sweep."""
        self.total, self.pending, self.skipped = total, pending, skipped
        self.started_at = self.clock()

    def begin(self, trial_id: str, label: str) -> None:
        """Notes a trial under way."""
        self.running[trial_id] = Running(label)
        if self.forecast:
            self.forecast.begin(trial_id, self.clock())

    def end(self, trial_id: str, *, has_result: bool) -> str:
        """Removes a running trial and returns its label."""
        running = self.running.pop(trial_id, None)
        if self.forecast:
            self.forecast.end(trial_id, self.clock(), has_result=has_result)
        return running.label if running else self.left.pop(trial_id, trial_id)

    def leave(self, trial_id: str) -> str:
        """Removes a trial that another driver is training and returns its label."""
        label = self.left[trial_id] = self.end(trial_id, has_result=False)
        return label

    def finish(self, trial_id: str, status: str) -> str:
        """Counts a result and returns the trial's label."""
        if status == "diverged":
            self.diverged += 1
        else:
            self.completed += 1
        return self.end(trial_id, has_result=True)

    def fail(self, trial_id: str, failure_class: str, message: str) -> str:
        """Counts a failure and returns the trial's label."""
        label = self.end(trial_id, has_result=False)
        self.failures.append((str(failure_class), label, message))
        return label

    @property
    def ended(self) -> int:
        """Trials of this run that ended, however they did."""
        return self.completed + self.diverged + len(self.failures)

    @property
    def elapsed_seconds(self) -> float:
        """Wall time since the start."""
        return self.clock() - self.started_at

    @property
    def eta_seconds(self) -> float | None:
        """Wall time left at the rate so far; None before the first trial ended."""
        if not self.ended:
            return None
        if self.forecast and (left := self.forecast.seconds_left(self.clock())) is not None:
            return left
        return self.elapsed_seconds / self.ended * max(0, self.pending - self.ended)

    def summary(self, *, interrupted: bool) -> str:
        """Returns the sweep's end in one line."""
        counts = [f"{self.completed} completed"]
        counts += [f"{self.diverged} diverged"] if self.diverged else []
        counts += [f"{len(self.failures)} failed"] if self.failures else []
        counts += [f"{self.pending - self.ended} left"] if interrupted else []
        verb = "Stopped" if interrupted else "Finished"
        return f"{verb} after {duration_text(self.elapsed_seconds)}: {', '.join(counts)}"
