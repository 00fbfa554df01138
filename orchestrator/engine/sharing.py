"""Several drivers on one store: no driver trains a trial that another live driver is training."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import psutil

from orchestrator.engine.base import (
    Engine,
    EngineReport,
    Now,
    Outcome,
    TrialJob,
    TrialQueue,
    committed_outcome,
    report_outcome,
    utc_now,
)
from orchestrator.progress import Progress
from orchestrator.store import RunRecord, Store
from orchestrator.store.drivers import SILENT

POLL_SECONDS = 2.0
"""Pause between two checks of another driver's claims, if no other job is pending."""


def _pause() -> None:
    threading.Event().wait(POLL_SECONDS)


def remove_dead_drivers(store: Store, now: datetime) -> None:
    """Removes the documents of drivers that no longer run, so that their claims count no more.

    A driver no longer runs if it has been silent for a minute, or at once if it is on this
    machine and its process has ended.

    Raises:
        StoreError: The documents cannot be read or removed.
    """
    for run in store.runs():
        if not run.is_alive(now) or _died_here(run):
            store.delete_run(run.run_id)


def _died_here(run: RunRecord) -> bool:
    if run.host != platform.node():
        return False
    try:
        process = psutil.Process(run.process_id)
        # A reused process number belongs to a process younger than the run.
        reused = process.create_time() > run.started_at.timestamp() + 2
        return reused or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


@dataclass(kw_only=True)
class SharedRun:
    """One driver's run of a sweep that other drivers may run at the same time.

    Attributes:
        engine: Runs the trials.
        store: Holds claims and rows.
        progress: Shows the trials.
        run_id: This driver.
        wanted: Reads from the store which trials are still to be trained.
        on_wait: Called with a sentence about what this driver waits for.
        now: The wall clock.
        pause: Waits before the next check of claims.
    """

    engine: Engine
    store: Store
    progress: Progress
    run_id: str
    wanted: Callable[[], Collection[str]]
    on_wait: Callable[[str], None]
    now: Now = utc_now
    pause: Callable[[], None] = _pause
    _outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self, jobs: Sequence[TrialJob]) -> EngineReport:
        """Runs the jobs until each has ended, here or in another driver.

        Raises:
            UserError: See the engine; or the store cannot be read.
        """
        left, interrupted = list(jobs), False
        while left and not interrupted:
            report = self.engine.run(TrialQueue(left, self.progress), self.store)
            interrupted = report.interrupted
            self._outcomes |= {outcome.trial_id: outcome for outcome in report.outcomes}
            left = [job for job in left if self._is_elsewhere(job)]
            if left and not interrupted:
                left = self._wait(left)
        return EngineReport(outcomes=tuple(self._outcomes.values()), interrupted=interrupted)

    def _is_elsewhere(self, job: TrialJob) -> bool:
        outcome = self._outcomes.get(job.trial_id)
        return outcome is not None and outcome.status == "elsewhere"

    def _wait(self, jobs: list[TrialJob]) -> list[TrialJob]:
        """Waits until this driver must train a trial after all; returns it and the others left."""
        others = OtherDrivers(
            store=self.store,
            run_id=self.run_id,
            on_wait=self.on_wait,
            now=self.now,
            pause=self.pause,
        )
        while jobs:
            free = others.wait({job.trial_id for job in jobs})
            again = free & set(self.wanted())
            for job in jobs:
                if job.trial_id in free - again:
                    self._end(job.trial_id)
            held = [job for job in jobs if job.trial_id not in free]
            jobs = [job for job in jobs if job.trial_id in again] + held
            if again:
                break
        return jobs

    def _end(self, trial_id: str) -> None:
        """Notes how a trial ended in another driver."""
        row = self.store.find_committed(trial_id)
        if row is not None:
            outcome = committed_outcome(trial_id, row)
        else:
            last = [item for item in self.store.failures() if item.trial_id == trial_id][-1]
            outcome = Outcome(
                trial_id=trial_id,
                status="failed",
                failure_class=last.failure_class,
                message=last.message,
            )
        self._outcomes[trial_id] = outcome
        report_outcome(outcome, self.progress)


@dataclass(kw_only=True)
class OtherDrivers:
    """Waits for the drivers that hold claims which this driver needs; attributes as `SharedRun`."""

    store: Store
    run_id: str
    on_wait: Callable[[str], None]
    now: Now = utc_now
    pause: Callable[[], None] = _pause
    _seen: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    _has_told: bool = False

    def wait(self, claimed: Collection[str]) -> set[str]:
        """Waits until no live driver holds some of these claims, and returns those.

        Raises:
            StoreError: The claims cannot be read.
        """
        while True:
            holders = self.store.claims(self.run_id).of_others(claimed, self.now())
            if free := set(claimed) - set(holders):
                return free
            if not self._has_told:
                self._has_told = True
                self.on_wait(_describe(holders.values()))
            self.pause()
            remove_dead_drivers(self.store, self.now())
            self._remove_silent(holders.values(), self.now())

    def _remove_silent(self, runs: Iterable[RunRecord], now: datetime) -> None:
        """Removes drivers whose heartbeat has not changed for a minute of this machine's clock."""
        for run in runs:
            heartbeat, since = self._seen.get(run.run_id, (None, now))
            if heartbeat != run.heartbeat_at:
                self._seen[run.run_id] = (run.heartbeat_at, now)
            elif now - since >= SILENT:
                self.store.delete_run(run.run_id)


def _describe(holders: Iterable[RunRecord]) -> str:
    counts: dict[tuple[str, int], int] = {}
    for run in holders:
        key = (run.host, run.process_id)
        counts[key] = counts.get(key, 0) + 1
    parts = [
        f"{number} that process {process_id} on {host} is training"
        for (host, process_id), number in counts.items()
    ]
    return (
        f"waiting for the last trials: {', '.join(parts)}; this driver trains those that remain "
        "unfinished"
    )
