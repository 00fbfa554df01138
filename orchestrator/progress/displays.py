"""Plain lines for logs, JSON lines for programs, and a live display for a terminal."""

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

from orchestrator.progress.base import (
    Clock,
    EpochEnded,
    Event,
    Forecast,
    SweepFinished,
    SweepStarted,
    Tally,
    TrialFailed,
    TrialFinished,
    TrialLeft,
)
from orchestrator.safe_text import clean
from orchestrator.wording import decimal_text, duration_text


class Lines:
    """Writes whole lines; a reader that closed the stream does not end the sweep."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream: IO[str] | None = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, line: str) -> None:
        """Writes and flushes one line; a character outside the encoding becomes a question mark."""
        if self._stream is None:
            return
        try:
            text = clean(line).encode(self._encoding, "replace").decode(self._encoding)
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None


def first_line(message: str) -> str:
    """Returns the first line of a message without control characters."""
    return clean(next(iter(message.strip().splitlines()), "no message"))


def cut(text: str, width: int) -> str:
    """Shortens a text at its end."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def cut_label(label: str, width: int) -> str:
    """Shortens `dataset · model · loss · repeat` in the dataset if that has room, or at its end."""
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
    """Lines for logs: failures, at most one result per second, one epoch per 10 s without news."""

    def __init__(
        self, stream: IO[str], clock: Clock = time.monotonic, forecast: Forecast | None = None
    ) -> None:
        """Args: stream: Receives lines. clock: Monotonic seconds. forecast: Estimates time left."""
        self._lines = Lines(stream)
        self._tally = Tally(clock=clock, forecast=forecast)
        self._last_line_at = -math.inf
        self._shown_failures: set[tuple[str, str]] = set()

    def on(self, event: Event) -> None:
        """Writes the lines of an event, if any is due."""
        label = self._tally.on(event)
        match event:
            case SweepStarted():
                counts = f"{event.pending} to run, {event.skipped} skipped"
                self._write(f"{event.total} trials: {counts}")
            case EpochEnded() if self._due(_EPOCH_INTERVAL_SECONDS):
                state = f"epoch {event.epoch}, val Dice {decimal_text(event.val_dice, 3)}"
                self._trial(f"{len(self._tally.running)} running, {state}", label)
            case TrialFinished():
                self._finished(event, label)
            case TrialFailed():
                self._failed(event, label)
            case SweepFinished():
                self._write(self._tally.summary(interrupted=event.interrupted))
            case _:
                pass  # why a trial is left is said once, when only such trials remain

    def close(self) -> None:
        """See `Progress`."""

    def _finished(self, event: TrialFinished, label: str) -> None:
        tally = self._tally
        if self._due(_LINE_INTERVAL_SECONDS) or tally.ended == tally.pending:
            result = event.status if event.dice is None else f"Dice {decimal_text(event.dice, 3)}"
            parts = [result, duration_text(event.seconds)]
            if tally.eta_seconds:
                parts.append(f"ETA {duration_text(tally.eta_seconds)}")
            self._trial(", ".join(parts), label)

    def _failed(self, event: TrialFailed, label: str) -> None:
        # One line says enough about a thousand equal failures; the table `failures` has them all.
        kind = (event.failure_class, event.message)
        if kind in self._shown_failures and not self._due(_LINE_INTERVAL_SECONDS):
            return
        self._shown_failures.add(kind)
        self._trial(f"FAILED {event.failure_class}", label)
        self._write(f"    {first_line(event.message)}")  # in full: the remedy is at its end

    def _due(self, interval_seconds: float) -> bool:
        return self._tally.clock() - self._last_line_at >= interval_seconds

    def _trial(self, what: str, label: str) -> None:
        head = f"[{self._tally.ended}/{self._tally.pending}] {what} | "
        self._write(head + cut_label(label, _WIDTH - len(head)))

    def _write(self, line: str) -> None:
        self._last_line_at = self._tally.clock()
        self._lines.write(line)


class JsonProgress:
    """One JSON object per event and line, flushed at once."""

    def __init__(
        self, stream: IO[str], clock: Clock = time.monotonic, forecast: Forecast | None = None
    ) -> None:
        """Args: stream: Receives lines. clock: Monotonic seconds. forecast: Estimates time left."""
        self._lines = Lines(stream)
        self._tally = Tally(clock=clock, forecast=forecast)

    def on(self, event: Event) -> None:
        """Writes the line of an event."""
        tally = self._tally
        label = tally.on(event)
        values = vars(event)
        if isinstance(event, TrialFinished | TrialFailed | TrialLeft):
            values = {"trial_id": event.trial_id, "label": label} | values
        if isinstance(event, TrialFinished | TrialFailed):
            values["ended"], values["pending"] = tally.ended, tally.pending
            values["eta_seconds"] = tally.eta_seconds
        if isinstance(event, SweepFinished):
            counts = {"completed": tally.completed, "diverged": tally.diverged}
            values = counts | {"failed": len(tally.failures)} | values
        values = {"event": event.name, "elapsed_seconds": tally.elapsed_seconds} | values
        plain = {
            key: (round(value, 6) if math.isfinite(value) else None)
            if isinstance(value, float)
            else value
            for key, value in values.items()
        }
        self._lines.write(json.dumps(plain, ensure_ascii=True, allow_nan=False))

    def close(self) -> None:
        """See `Progress`."""


_MAX_RUNNING_SHOWN = 8
_MAX_FAILURES_SHOWN = 3


class LiveProgress:
    """A display that redraws itself: bar, running trials, failures."""

    def __init__(
        self, console: Console, clock: Clock = time.monotonic, forecast: Forecast | None = None
    ) -> None:
        """Args: console: The terminal. clock: Monotonic seconds. forecast: Estimates time left."""
        self._console = console
        self._tally = Tally(clock=clock, forecast=forecast)
        self._live: Live | None = None
        self._lock = threading.RLock()  # rich redraws from another thread

    def on(self, event: Event) -> None:
        """Counts an event; opens the display with the first and prints a summary with the last."""
        with self._lock:
            self._tally.on(event)
        if isinstance(event, SweepStarted):
            self._live = Live(
                console=self._console, get_renderable=self.render, refresh_per_second=4
            )
            self._live.start()
        elif isinstance(event, SweepFinished):
            self.close()
            summary = self._tally.summary(interrupted=event.interrupted)
            self._console.print(summary, highlight=False)

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
