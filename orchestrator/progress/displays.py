"""Plain lines for logs and JSON lines for programs."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.progress.base import Clock, Forecast, Running, Tally
from orchestrator.safe_text import clean
from orchestrator.wording import decimal_text, duration_text


class Lines:
    """Writes whole lines; a reader that went away does not end the sweep."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream: IO[str] | None = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, line: str) -> None:
        """Writes and flushes one line; what the encoding lacks becomes a question mark."""
        if self._stream is None:
            return
        try:
            text = clean(line).encode(self._encoding, "replace").decode(self._encoding)
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None


def first_line(message: str) -> str:
    """Returns the first line of a message, harmless to a terminal."""
    return clean(next(iter(message.strip().splitlines()), "no message"))


def cut(text: str, width: int) -> str:
    """Shortens a text at its end."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def cut_label(label: str, width: int) -> str:
    """Shortens `dataset · model · loss · repeat` at the dataset, or as a whole if that is short."""
    label = clean(label)
    first, dot, rest = label.partition(" · ")
    room = width - len(dot + rest) - 3
    if len(label) <= width or not dot or room < 3:
        return cut(label, width)
    return f"{first[:room]}...{dot}{rest}"


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
            self._trial(
                f"{number}, epoch {epoch}, val Dice {decimal_text(val_dice, 3)}", running.label
            )

    def trial_finished(
        self, trial_id: str, status: str, dice: float | None, seconds: float
    ) -> None:
        """See `Progress`."""
        label = self._tally.finish(trial_id, status)
        if self._due(_LINE_INTERVAL_SECONDS) or self._tally.ended == self._tally.pending:
            result = status if dice is None else f"Dice {decimal_text(dice, 3)}"
            parts = [result, duration_text(seconds)]
            if self._tally.eta_seconds:
                parts.append(f"ETA {duration_text(self._tally.eta_seconds)}")
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


_MAX_RUNNING_SHOWN = 8
_MAX_FAILURES_SHOWN = 3


class LiveProgress:
    """A display that redraws itself: bar, running trials, failures."""

    def __init__(
        self, console: Console, clock: Clock = time.monotonic, forecast: Forecast | None = None
    ) -> None:
        """Args: console: The terminal. clock: Monotonic seconds. forecast: Of the time left."""
        self._console = console
        self._tally = Tally(clock=clock, forecast=forecast)
        self._live: Live | None = None
        self._lock = threading.RLock()  # rich redraws from a thread of its own

    def sweep_started(self, total: int, pending: int, skipped: int) -> None:
        """See `Progress`."""
        with self._lock:
            self._tally.start(total, pending, skipped)
        self._live = Live(console=self._console, get_renderable=self.render, refresh_per_second=4)
        self._live.start()

    def trial_started(self, trial_id: str, label: str) -> None:
        """See `Progress`."""
        with self._lock:
            self._tally.begin(trial_id, label)

    def epoch(self, trial_id: str, epoch: int, val_dice: float) -> None:
        """See `Progress`."""
        with self._lock:
            running = self._tally.running.setdefault(trial_id, Running(trial_id))
            running.epoch, running.val_dice = epoch, val_dice

    def trial_finished(
        self, trial_id: str, status: str, dice: float | None, seconds: float
    ) -> None:
        """See `Progress`."""
        del dice, seconds  # the bar has no room for single results; the tables have them
        with self._lock:
            self._tally.finish(trial_id, status)

    def trial_failed(self, trial_id: str, failure_class: str, message: str) -> None:
        """See `Progress`."""
        with self._lock:
            self._tally.fail(trial_id, failure_class, message)

    def trial_left(self, trial_id: str, message: str) -> None:
        """See `Progress`."""
        del message
        with self._lock:
            self._tally.leave(trial_id)

    def sweep_finished(self, *, interrupted: bool = False) -> None:
        """See `Progress`."""
        self.close()
        self._console.print(self._tally.summary(interrupted=interrupted), highlight=False)

    def close(self) -> None:
        """See `Progress`."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def render(self) -> RenderableType:
        """Returns the display as it is now."""
        with self._lock:
            parts: list[RenderableType] = [self._bar(), *self._running(), *self._failures()]
        return Group(*parts)

    def _bar(self) -> RenderableType:
        tally = self._tally
        eta = tally.eta_seconds
        words = [f"{tally.ended}/{tally.pending}", duration_text(tally.elapsed_seconds)]
        words += [] if eta is None else [f"ETA {duration_text(eta)}"]
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        bar = ProgressBar(total=max(1, tally.pending), completed=tally.ended)
        grid.add_row(bar, Text(" · ".join(words)))
        return grid

    def _running(self) -> list[RenderableType]:
        running = list(self._tally.running.values())
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1, no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        for trial in running[:_MAX_RUNNING_SHOWN]:
            state = "starting"
            if trial.epoch is not None:
                state = f"epoch {trial.epoch}  val Dice {decimal_text(trial.val_dice, 3)}"
            grid.add_row(Text(cut_label(trial.label, self._console.width - len(state) - 2)), state)
        more = len(running) - _MAX_RUNNING_SHOWN
        rest = [Text(f"and {more} more running")] if more > 0 else []
        return [grid, *rest]

    def _failures(self) -> list[RenderableType]:
        failures = self._tally.failures
        if not failures and not self._tally.diverged:
            return []
        counts = f"{len(failures)} failed, {self._tally.diverged} diverged"
        lines: list[RenderableType] = [Text(counts, style="red" if failures else "yellow")]
        for failure_class, label, message in failures[-_MAX_FAILURES_SHOWN:]:
            text = f"  {failure_class}: {label}: {first_line(message)}"
            lines.append(Text(text, no_wrap=True, overflow="ellipsis"))
        return lines
