"""The display on a terminal; the only place besides the command line that uses rich."""

from __future__ import annotations

import threading
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.progress.base import Clock, Running, Tally, format_duration
from orchestrator.progress.forecast import Forecast
from orchestrator.progress.text import cut_label, first_line

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
        words = [f"{tally.ended}/{tally.pending}", format_duration(tally.elapsed_seconds)]
        words += [] if eta is None else [f"ETA {format_duration(eta)}"]
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
                state = f"epoch {trial.epoch}  val Dice {trial.val_dice:.3f}"
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
