"""Tells the store, while a sweep runs, which trials are under way and how far they are."""

from __future__ import annotations

import os
import platform
import re
import threading
from contextlib import suppress
from dataclasses import replace

from orchestrator.engine.base import Now, utc_now
from orchestrator.progress import Progress
from orchestrator.store import RunningTrial, RunRecord, Store, StoreError
from orchestrator.store.drivers import HEARTBEAT_SECONDS, finite

LEAST_GAP_SECONDS = 1.0
"""Between two writes, however short the trials are."""


class RunJournal:
    """A display that passes everything on to another and keeps the driver's document in the store.

    Attributes:
        run_id: Name of the document, and of the driver in its claims.

    The document is written by a thread of its own, when a trial begins or ends and every few
    seconds, so that a slow store never holds up the sweep, and removed at the end. A store
    that cannot be written is no failure here: the trials' own commits say so loudly.
    """

    def __init__(
        self,
        display: Progress,
        store: Store,
        grid_id: str,
        *,
        now: Now = utc_now,
        interval_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._display = display
        self._store = store
        self._now = now
        self._interval_seconds = interval_seconds
        self._grid_id = grid_id
        host = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node()) or "host"
        self.run_id = f"{now():%Y%m%dT%H%M%S}-{host}-{os.getpid()}"
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopped = threading.Event()
        self._running: dict[str, RunningTrial] = {}
        self._run: RunRecord | None = None
        self._writer = threading.Thread(target=self._write_on, name="podium-journal", daemon=True)

    def sweep_started(self, total: int, pending: int, skipped: int) -> None:
        """Begins to write, unless there is nothing to run."""
        self._display.sweep_started(total, pending, skipped)
        if pending and self._run is None:
            started = self._now()
            self._run = RunRecord(
                run_id=self.run_id,
                grid_id=self._grid_id,
                host=platform.node(),
                process_id=os.getpid(),
                started_at=started,
                heartbeat_at=started,
                num_pending=pending,
            )
            # The first claim counts only if this document is there.
            with suppress(StoreError):
                self._store.save_run(self._run)
            self._writer.start()

    def trial_started(self, trial_id: str, label: str) -> None:
        """Notes the trial; one that starts again begins a new curve."""
        self._display.trial_started(trial_id, label)
        with self._lock:
            self._running[trial_id] = RunningTrial(
                trial_id=trial_id, label=label, since=self._now()
            )
        self._news.set()

    def epoch(self, trial_id: str, epoch: int, val_dice: float) -> None:
        """Notes the epoch; epochs of a checkpoint come again and replace their first notes."""
        self._display.epoch(trial_id, epoch, val_dice)
        with self._lock:
            trial = self._running.get(trial_id)
            if trial:
                curve = (*trial.val_dice[: epoch - 1], finite(val_dice))
                self._running[trial_id] = replace(trial, val_dice=curve)

    def trial_finished(
        self, trial_id: str, status: str, dice: float | None, seconds: float
    ) -> None:
        """Counts the trial."""
        self._display.trial_finished(trial_id, status, dice, seconds)
        self._end(trial_id)

    def trial_failed(self, trial_id: str, failure_class: str, message: str) -> None:
        """Counts the trial."""
        self._display.trial_failed(trial_id, failure_class, message)
        self._end(trial_id)

    def trial_left(self, trial_id: str, message: str) -> None:
        """Another driver's trial, or one that waits for its next attempt, is not under way here."""
        self._display.trial_left(trial_id, message)
        with self._lock:
            self._running.pop(trial_id, None)
        self._news.set()

    def sweep_finished(self, *, interrupted: bool = False) -> None:
        """Passes it on; `close` ends the writing."""
        self._display.sweep_finished(interrupted=interrupted)

    def close(self) -> None:
        """Stops writing and removes the document, and the claims that killed workers left."""
        self._display.close()
        self._stopped.set()
        self._news.set()
        if self._writer.is_alive():
            self._writer.join()

    def _end(self, trial_id: str) -> None:
        with self._lock:
            self._running.pop(trial_id, None)
            if self._run:
                self._run = replace(self._run, num_ended=self._run.num_ended + 1)
        self._news.set()

    def _write_on(self) -> None:
        while True:
            with self._lock:
                run = self._run
                running = tuple(self._running.values())
            if run:
                with suppress(StoreError):
                    self._store.save_run(replace(run, heartbeat_at=self._now(), running=running))
            if self._stopped.wait(min(LEAST_GAP_SECONDS, self._interval_seconds)):
                break
            self._news.wait(self._interval_seconds)
            self._news.clear()
        if run:
            with suppress(StoreError):
                self._store.claims(run.run_id).release_all()
                self._store.delete_run(run.run_id)
