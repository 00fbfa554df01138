"""Plain lines for logs and JSON lines for programs."""

from __future__ import annotations

import json
import math
import time
from typing import IO

from orchestrator.progress.base import Clock, Running, Tally, format_duration
from orchestrator.progress.forecast import Forecast
from orchestrator.progress.text import Lines, cut_label, first_line

_WIDTH = 80
_LINE_INTERVAL_SECONDS = 1.0
_EPOCH_INTERVAL_SECONDS = 10.0


class PlainProgress:
    """Lines for logs: every failure, results at most once a second, a sign of life else."""

    def __init__(
        self, stream: IO[str], clock: Clock = time.monotonic, forecast: Forecast | None = None
    ) -> None:
        """Args: stream: Where lines go. clock: Monotonic seconds. forecast: Of the time left."""
        self._lines = Lines(stream)
        self._tally = Tally(clock=clock, forecast=forecast)
        self._last_line_at = -math.inf
        self._shown_failures: set[tuple[str, str]] = set()

    def sweep_started(self, total: int, pending: int, skipped: int) -> None:
        """See `Progress`."""
        self._tally.start(total, pending, skipped)
        self._write(f"{total} trials: {pending} to run, {skipped} skipped")

    def trial_started(self, trial_id: str, label: str) -> None:
        """See `Progress`."""
        self._tally.begin(trial_id, label)

    def epoch(self, trial_id: str, epoch: int, val_dice: float) -> None:
        """See `Progress`."""
        running = self._tally.running.setdefault(trial_id, Running(trial_id))
        running.epoch, running.val_dice = epoch, val_dice
        if self._due(_EPOCH_INTERVAL_SECONDS):
            number = f"{len(self._tally.running)} running"
            self._trial(f"{number}, epoch {epoch}, val Dice {val_dice:.3f}", running.label)

    def trial_finished(
        self, trial_id: str, status: str, dice: float | None, seconds: float
    ) -> None:
        """See `Progress`."""
        label = self._tally.finish(trial_id, status)
        if self._due(_LINE_INTERVAL_SECONDS) or self._tally.ended == self._tally.pending:
            result = status if dice is None else f"Dice {dice:.3f}"
            parts = [result, format_duration(seconds)]
            if self._tally.eta_seconds:
                parts.append(f"ETA {format_duration(self._tally.eta_seconds)}")
            self._trial(", ".join(parts), label)

    def trial_failed(self, trial_id: str, failure_class: str, message: str) -> None:
        """See `Progress`."""
        label = self._tally.fail(trial_id, failure_class, message)
        # A thousand trials that fail alike are one finding; the table `failures` has them all.
        if (failure_class, message) in self._shown_failures and not self._due(
            _LINE_INTERVAL_SECONDS
        ):
            return
        self._shown_failures.add((failure_class, message))
        self._trial(f"FAILED {failure_class}", label)
        self._write(f"    {first_line(message)}")  # whole: the remedy is at its end

    def trial_left(self, trial_id: str, message: str) -> None:
        """See `Progress`."""
        del message  # whoever follows is told once, when there is nothing else to do
        self._tally.leave(trial_id)

    def sweep_finished(self, *, interrupted: bool = False) -> None:
        """See `Progress`."""
        self._write(self._tally.summary(interrupted=interrupted))

    def close(self) -> None:
        """See `Progress`."""

    def _due(self, interval_seconds: float) -> bool:
        return self._tally.clock() - self._last_line_at >= interval_seconds

    def _trial(self, what: str, label: str) -> None:
        head = f"[{self._tally.ended}/{self._tally.pending}] {what} | "
        self._write(head + cut_label(label, _WIDTH - len(head)))

    def _write(self, line: str) -> None:
        self._last_line_at = self._tally.clock()
        self._lines.write(line)


class JsonProgress:
    """One JSON object a line for programs, flushed at once; nothing is left out."""

    def __init__(
        self, stream: IO[str], clock: Clock = time.monotonic, forecast: Forecast | None = None
    ) -> None:
        """Args: stream: Where lines go. clock: Monotonic seconds. forecast: Of the time left."""
        self._lines = Lines(stream)
        self._tally = Tally(clock=clock, forecast=forecast)

    def sweep_started(self, total: int, pending: int, skipped: int) -> None:
        """See `Progress`."""
        self._tally.start(total, pending, skipped)
        self._event("sweep_started", total=total, pending=pending, skipped=skipped)

    def trial_started(self, trial_id: str, label: str) -> None:
        """See `Progress`."""
        self._tally.begin(trial_id, label)
        self._event("trial_started", trial_id=trial_id, label=label)

    def epoch(self, trial_id: str, epoch: int, val_dice: float) -> None:
        """See `Progress`."""
        self._event("epoch", trial_id=trial_id, epoch=epoch, val_dice=val_dice)

    def trial_finished(
        self, trial_id: str, status: str, dice: float | None, seconds: float
    ) -> None:
        """See `Progress`."""
        label = self._tally.finish(trial_id, status)
        self._event(
            "trial_finished",
            trial_id=trial_id,
            label=label,
            status=status,
            dice=dice,
            seconds=seconds,
            **self._standing(),
        )

    def trial_failed(self, trial_id: str, failure_class: str, message: str) -> None:
        """See `Progress`."""
        label = self._tally.fail(trial_id, failure_class, message)
        self._event(
            "trial_failed",
            trial_id=trial_id,
            label=label,
            failure_class=str(failure_class),
            message=message,
            **self._standing(),
        )

    def trial_left(self, trial_id: str, message: str) -> None:
        """See `Progress`."""
        label = self._tally.leave(trial_id)
        self._event("trial_left", trial_id=trial_id, label=label, message=message)

    def sweep_finished(self, *, interrupted: bool = False) -> None:
        """See `Progress`."""
        self._event(
            "sweep_finished",
            completed=self._tally.completed,
            diverged=self._tally.diverged,
            failed=len(self._tally.failures),
            interrupted=interrupted,
        )

    def close(self) -> None:
        """See `Progress`."""

    def _standing(self) -> dict[str, object]:
        return {
            "ended": self._tally.ended,
            "pending": self._tally.pending,
            "eta_seconds": self._tally.eta_seconds,
        }

    def _event(self, event: str, **values: object) -> None:
        values = {"event": event, "elapsed_seconds": self._tally.elapsed_seconds} | values
        plain = {
            key: (round(value, 6) if math.isfinite(value) else None)
            if isinstance(value, float)
            else value
            for key, value in values.items()
        }
        self._lines.write(json.dumps(plain, ensure_ascii=True, allow_nan=False))
