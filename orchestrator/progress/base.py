"""The events of a sweep, what every display counts, and the forecast of the time left."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from orchestrator.wording import duration_text

_ROUNDS = 5


class Forecast:
    """Learns the pace of a sweep: measured seconds of a slot per expected second.

    Trials with the longest expected time start first, so their number says little about the time
    left. A running trial counts with the work that it can have done at this pace, at most the
    whole trial. Otherwise trials that stop early would make the pace look better than it is.
    """

    def __init__(self, expected_seconds: Mapping[str, float]) -> None:
        """Args: expected_seconds: Expected time of every pending trial, by id."""
        self._expected = expected_seconds
        self._waiting = dict(expected_seconds)
        self._begun_at: dict[str, float] = {}
        self._ended_work = 0.0
        self._ended_seconds = 0.0
        self._slots = 1

    def begin(self, trial_id: str, now: float) -> None:
        """Notes the start of a trial; a second start replaces the first."""
        self._waiting.pop(trial_id, None)
        self._begun_at[trial_id] = now
        self._slots = max(self._slots, len(self._begun_at))

    def end(self, trial_id: str, now: float, *, has_result: bool) -> None:
        """Notes the end of a trial; a failure does not change the pace."""
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
        """Returns the pace at which the work done explains the seconds that the slots spent."""
        spent = self._ended_seconds + sum(seconds for _, seconds in running)
        pace = self._ended_seconds / self._ended_work
        for _ in range(_ROUNDS):
            done = sum(min(expected, seconds / pace) for expected, seconds in running)
            pace = spent / (self._ended_work + done)
        return pace


Clock = Callable[[], float]
"""A monotonic clock, in seconds."""


@dataclass(frozen=True)
class SweepStarted:
    """Sizes of a sweep: trials in the grid, to run now, and with a result or given up."""

    name: ClassVar = "sweep_started"
    total: int
    pending: int
    skipped: int


@dataclass(frozen=True)
class TrialStarted:
    """A trial begins, or begins again under the same id; `label` names it for people."""

    name: ClassVar = "trial_started"
    trial_id: str
    label: str


@dataclass(frozen=True)
class EpochEnded:
    """An epoch of a trial ended; epochs are counted from 1."""

    name: ClassVar = "epoch"
    trial_id: str
    epoch: int
    val_dice: float


@dataclass(frozen=True)
class TrialFinished:
    """A trial has its result: `completed` with its test Dice, or `diverged`."""

    name: ClassVar = "trial_finished"
    trial_id: str
    status: str
    dice: float | None
    seconds: float


@dataclass(frozen=True)
class TrialFailed:
    """A trial ended without a result."""

    name: ClassVar = "trial_failed"
    trial_id: str
    failure_class: str
    message: str


@dataclass(frozen=True)
class TrialLeft:
    """A trial does not run here now: another driver trains it, or it waits for another attempt."""

    name: ClassVar = "trial_left"
    trial_id: str
    message: str


@dataclass(frozen=True)
class SweepFinished:
    """No trial runs any more; `interrupted` if pending trials remain."""

    name: ClassVar = "sweep_finished"
    interrupted: bool = False


Event = (
    SweepStarted
    | TrialStarted
    | EpochEnded
    | TrialFinished
    | TrialFailed
    | TrialLeft
    | SweepFinished
)


class Progress(Protocol):
    """Receives the events of a sweep."""

    def on(self, event: Event) -> None:
        """Takes an event; returns at once and never raises."""
        ...

    def close(self) -> None:
        """Stops displaying and frees the terminal; safe at any time, any number of times."""
        ...


@dataclass
class Running:
    """A running trial and its last epoch."""

    label: str
    epoch: int | None = None
    val_dice: float = math.nan


@dataclass
class Tally:
    """Counts of a running sweep.

    Attributes:
        clock: Monotonic seconds.
        forecast: Estimates the time left; without it the number of trials does.
        running: Running trials by id, oldest first.
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

    def on(self, event: Event) -> str:
        """Counts an event and returns the label of its trial, its id if it was never started."""
        now = self.clock()
        match event:
            case SweepStarted():
                self.total, self.pending, self.skipped = event.total, event.pending, event.skipped
                self.started_at = now
                return ""
            case TrialStarted():
                self.running[event.trial_id] = Running(event.label)
                if self.forecast:
                    self.forecast.begin(event.trial_id, now)
                return event.label
            case EpochEnded():
                running = self.running.setdefault(event.trial_id, Running(event.trial_id))
                running.epoch, running.val_dice = event.epoch, event.val_dice
                return running.label
            case TrialFinished() | TrialFailed() | TrialLeft():
                return self._end(event, now)
            case SweepFinished():
                return ""

    def _end(self, event: TrialFinished | TrialFailed | TrialLeft, now: float) -> str:
        trial_id = event.trial_id
        ended = self.running.pop(trial_id, None)
        label = ended.label if ended else self.left.pop(trial_id, trial_id)
        if self.forecast:
            self.forecast.end(trial_id, now, has_result=isinstance(event, TrialFinished))
        match event:
            case TrialFinished(status="diverged"):
                self.diverged += 1
            case TrialFinished():
                self.completed += 1
            case TrialFailed():
                self.failures.append((str(event.failure_class), label, event.message))
            case TrialLeft():
                self.left[trial_id] = label
        return label

    @property
    def ended(self) -> int:
        """Trials of this run that completed, diverged or failed."""
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
        """Returns one line about the end of the sweep."""
        counts = [f"{self.completed} completed"]
        counts += [f"{self.diverged} diverged"] if self.diverged else []
        counts += [f"{len(self.failures)} failed"] if self.failures else []
        counts += [f"{self.pending - self.ended} left"] if interrupted else []
        verb = "Stopped" if interrupted else "Finished"
        return f"{verb} after {duration_text(self.elapsed_seconds)}: {', '.join(counts)}"
