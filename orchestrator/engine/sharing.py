"""Several drivers on one store: what one trains the others leave to it, unless it dies."""

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
    committed_outcome,
    report_outcome,
    utc_now,
)
from orchestrator.progress import Progress
from orchestrator.store import RunRecord, Store
from orchestrator.store.drivers import SILENT

POLL_SECONDS = 2.0
"""Between two looks at what another driver is doing, when nothing else is left to do."""


def _pause() -> None:
    threading.Event().wait(POLL_SECONDS)


def remove_dead_drivers(store: Store, now: datetime) -> None:
    """Removes the documents of drivers that are gone, so that all agree that their claims are void.

    Gone are those that have been silent for a minute, and at once those of this machine whose
    process has ended.

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
        # A number that was given again belongs to a process younger than the run.
        reused = process.create_time() > run.started_at.timestamp() + 2
        return reused or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


@dataclass(kw_only=True)
class SharedRun:
    """One driver's part of a sweep that others may be running too.

    Attributes:
        engine: What runs the trials.
        store: Where claims and rows are.
        progress: What shows them.
        run_id: This driver.
        wanted: Says which trials still have to be trained, from the store.
        on_wait: Told what this driver waits for.
        now: The wall clock.
        pause: Waits a moment.
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
        """Runs the jobs until each has ended, here or with another driver.

        Raises:
            UserError: As the engine says, or the store cannot be read.
        """
        left, interrupted = list(jobs), False
        while left and not interrupted:
            report = self.engine.run(left, self.store, self.progress)
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
        """Waits until a trial has to be trained here after all; returns it and what is left."""
        silence, told = _Silence(), False
        while jobs:
            holders = self.store.claims(self.run_id).of_others(_ids(jobs), self.now())
            free = [job for job in jobs if job.trial_id not in holders]
            wanted = self.wanted() if free else ()
            again = [job for job in free if job.trial_id in wanted]
            for job in free:
                if job not in again:
                    self._end(job.trial_id)
            jobs = again + [job for job in jobs if job.trial_id in holders]
            if again:
                break
            if jobs and not told:
                told = True
                self.on_wait(_describe(holders.values()))
            if jobs:
                self.pause()
                remove_dead_drivers(self.store, self.now())
                silence.remove(self.store, holders.values(), self.now())
        return jobs

    def _end(self, trial_id: str) -> None:
        """Notes how a trial ended with another driver."""
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


@dataclass
class _Silence:
    """Notices drivers whose heartbeat stands still, whatever their clock says."""

    _seen: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def remove(self, store: Store, runs: Iterable[RunRecord], now: datetime) -> None:
        """Removes the documents of drivers that have not written for a minute of this clock."""
        for run in runs:
            heartbeat, since = self._seen.get(run.run_id, (None, now))
            if heartbeat != run.heartbeat_at:
                self._seen[run.run_id] = (run.heartbeat_at, now)
            elif now - since >= SILENT:
                store.delete_run(run.run_id)


def _ids(jobs: Iterable[TrialJob]) -> set[str]:
    return {job.trial_id for job in jobs}


def _describe(holders: Iterable[RunRecord]) -> str:
    counts: dict[tuple[str, int], int] = {}
    for run in holders:
        key = (run.host, run.process_id)
        counts[key] = counts.get(key, 0) + 1
    parts = [
        f"{number} that process {process_id} on {host} is training"
        for (host, process_id), number in counts.items()
    ]
    return f"waiting for the last trials: {', '.join(parts)}; what it leaves undone is trained here"
