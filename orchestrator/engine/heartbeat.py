"""Writes to the store, while a driver runs, which trials run and their epochs."""

from __future__ import annotations

import os
import platform
import re
import threading
from contextlib import suppress
from dataclasses import replace

from orchestrator.engine.base import Now, utc_now
from orchestrator.progress import (
    EpochEnded,
    Event,
    Progress,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialLeft,
    TrialStarted,
)
from orchestrator.store import RunningTrial, RunRecord, Store, StoreError
from orchestrator.store.drivers import HEARTBEAT_SECONDS, finite

LEAST_GAP_SECONDS = 1.0
"""Shortest time between two writes, even if the trials are shorter."""


class Heartbeat:
    """A display that passes events on to another one and writes the driver's document.

    Attributes:
        run_id: Name of the document, and of the driver in its claims.

    Another thread writes the document when a trial begins or ends and every few seconds, so that a
    slow store does not delay the sweep. It removes the document at the end. Errors of the store
    are ignored here, because the commits of the trials report them.
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
        self._writer = threading.Thread(target=self._write_on, name="podium-heartbeat", daemon=True)

    def on(self, event: Event) -> None:
        """Passes an event on and writes it soon."""
        self._display.on(event)
        with self._lock:
            match event:
                case SweepStarted() if event.pending and self._run is None:
                    self._start(event.pending)
                case TrialStarted(trial_id, label):
                    self._running[trial_id] = RunningTrial(
                        trial_id=trial_id, label=label, since=self._now()
                    )
                case EpochEnded(trial_id) if trial := self._running.get(trial_id):
                    # Epochs after a checkpoint come again and replace their first values.
                    curve = (*trial.val_dice[: event.epoch - 1], finite(event.val_dice))
                    self._running[trial_id] = replace(trial, val_dice=curve)
                case TrialFinished(trial_id) | TrialFailed(trial_id):
                    self._running.pop(trial_id, None)
                    if self._run:
                        self._run = replace(self._run, num_ended=self._run.num_ended + 1)
                case TrialLeft(trial_id):
                    self._running.pop(trial_id, None)
                case _:
                    return
        if not isinstance(event, EpochEnded):
            self._news.set()

    def close(self) -> None:
        """Stops writing, and removes the document and the claims that killed workers left."""
        self._display.close()
        self._stopped.set()
        self._news.set()
        if self._writer.is_alive():
            self._writer.join()

    def _start(self, num_pending: int) -> None:
        started = self._now()
        self._run = RunRecord(
            run_id=self.run_id,
            grid_id=self._grid_id,
            host=platform.node(),
            process_id=os.getpid(),
            started_at=started,
            heartbeat_at=started,
            num_pending=num_pending,
        )
        # A claim counts only while this document exists.
        with suppress(StoreError):
            self._store.save_run(self._run)
        self._writer.start()

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
