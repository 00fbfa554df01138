"""What happens between Tune and the sweep: attempts go in, outcomes and failure rows come out."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from orchestrator.engine.base import (
    Now,
    Outcome,
    TrialJob,
    record_failure,
    report_outcome,
    utc_now,
)
from orchestrator.engine.ray_private import error_of, kill_attempt
from orchestrator.plan.retries import Loss, Tries, after_failure, after_loss, loss_of, stalled
from orchestrator.progress import EpochEnded, Progress, TrialLeft, TrialStarted
from orchestrator.store import Store, StoreError
from orchestrator.wording import duration_text
from workers.contract import FailureClass

_LOOK_INTERVAL_SECONDS = 1.0
_ADDRESS = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)


def attempt_name(trial: Any) -> str:
    """Names one attempt, as Tune calls its trials."""
    return f"{trial.config['trial_id']}-{trial.config['attempt']}"


@dataclass
class _Running:
    """An attempt under way: Tune's trial, and when it last showed a sign of life."""

    trial: Any
    progress_at: float
    epoch: int = 0
    killed_after: float | None = None


class Watcher(tune.Callback):
    """Turns Tune's events into progress, outcomes and, for lost processes, failure rows."""

    def __init__(
        self,
        jobs: Sequence[TrialJob],
        store: Store,
        progress: Progress,
        *,
        usual_gpus: float,
        max_failures: int,
        no_progress_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
        now: Now = utc_now,
    ) -> None:
        """Queues the jobs.

        Args:
            jobs: What to run, the first listed first.
            store: Where failures are noted.
            progress: What shows them.
            usual_gpus: GPUs of a trial whose job does not say.
            max_failures: How often a lost trial is started again.
            no_progress_seconds: After how long without an epoch a process is ended; None: never.
            clock: Monotonic seconds.
            now: The wall clock.
        """
        self._jobs = {job.trial_id: job for job in jobs}
        self._store = store
        self._progress = progress
        self._max_failures = max_failures
        self._no_progress_seconds = no_progress_seconds
        self._clock = clock
        self._now = now
        self._tries = {
            job.trial_id: Tries(gpus=usual_gpus if job.gpus is None else job.gpus) for job in jobs
        }
        self._queue = deque(self._tries)
        self._numbers: Counter[str] = Counter()
        self._open: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._told: set[str] = set()
        self._looked_at = clock()
        self.outcomes: list[Outcome] = []

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune stores its callbacks for a restore that never comes.

        And the display of a terminal cannot be stored.
        """
        return {}

    @property
    def is_finished(self) -> bool:
        """Whether every trial has ended."""
        return not self._queue and not self._open

    def next_attempt(self) -> dict[str, Any] | None:
        """Returns the configuration of the next attempt; None where none waits now."""
        if not self._queue:
            return None
        trial_id = self._queue.popleft()
        self._numbers[trial_id] += 1
        self._open.add(f"{trial_id}-{self._numbers[trial_id]}")
        return {
            "trial_id": trial_id,
            "attempt": self._numbers[trial_id],
            "gpus": self._tries[trial_id].gpus,
        }

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        """Shows that a trial begins."""
        job = self._jobs[trial.config["trial_id"]]
        self._running[attempt_name(trial)] = _Running(trial, self._clock())
        self._progress.on(TrialStarted(job.trial_id, job.label))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: object
    ) -> None:
        """Takes an epoch or an outcome."""
        if "outcome" in result:
            self._close(trial)
            self._take(Outcome(**result["outcome"]))
        elif "epoch" in result:
            running = self._running.get(attempt_name(trial))
            if running:
                running.progress_at, running.epoch = self._clock(), result["epoch"]
            event = EpochEnded(trial.config["trial_id"], result["epoch"], result["val_dice"])
            self._progress.on(event)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        """Takes the loss of a trial's process or node."""
        if attempt_name(trial) not in self._open:
            return  # its outcome is known; the process was replaced after it
        running, trial_id = self._close(trial), trial.config["trial_id"]
        job = dataclasses.replace(self._jobs[trial_id], gpus=trial.config["gpus"])
        error, trace = error_of(trial)
        loss, what = _loss(error, trace), ""
        if running and running.killed_after is not None:
            loss = Loss.STALLED
            what = self._stall_text(running)
        after = after_loss(self._tries[trial_id], loss, max_failures=self._max_failures)
        message = f"{loss.value}{what or f' ({_last_line(trace)})'}; " + (
            "started again" if after else "given up for this run"
        )
        try:
            record_failure(
                job, self._store, loss.failure_class, message, trace, self._now(),
                host=_host(trial, trace),
            )  # fmt: skip
        except StoreError as error:
            message = f"{message}; and the failure could not be stored: {error}"
        failed = Outcome(
            trial_id=trial_id, status="failed", failure_class=loss.failure_class, message=message
        )
        self._end_or_queue(failed, after)

    def on_step_end(self, iteration: int, trials: list[Any], **info: object) -> None:
        """Ends processes without progress; Tune then finds them dead."""
        now = self._clock()
        limit = self._no_progress_seconds
        if limit is None or now - self._looked_at < min(_LOOK_INTERVAL_SECONDS, limit):
            return
        self._looked_at = now
        waiting = {
            name: running.progress_at
            for name, running in self._running.items()
            if running.killed_after is None
        }
        for name in stalled(waiting, now, limit):
            running = self._running[name]
            running.killed_after = now - running.progress_at
            kill_attempt(running.trial)

    def _close(self, trial: Any) -> _Running | None:
        self._open.discard(attempt_name(trial))
        return self._running.pop(attempt_name(trial), None)

    def _take(self, outcome: Outcome) -> None:
        tries, after = self._tries[outcome.trial_id], None
        if outcome.misplaced:
            self._send_elsewhere(outcome)
            return
        if outcome.transient:
            after = after_loss(tries, Loss.ERROR, max_failures=self._max_failures)
        elif outcome.failure_class is not None and outcome.status == "failed":
            after = after_failure(tries, outcome.failure_class)
        self._end_or_queue(outcome, after)

    def _send_elsewhere(self, outcome: Outcome) -> None:
        """Counts a node that lacks something as a lost one.

        What it lacks is a row once a node, and where the trial is given up.
        """
        trial_id = outcome.trial_id
        after = after_loss(self._tries[trial_id], Loss.NODE, max_failures=self._max_failures)
        if after is None or outcome.message not in self._told:
            self._told.add(outcome.message)
            message = f"{outcome.message}; {'started again' if after else 'given up for this run'}"
            with suppress(StoreError):
                record_failure(
                    self._jobs[trial_id], self._store, FailureClass.INFRASTRUCTURE, message, "",
                    self._now(), host=outcome.host,
                )  # fmt: skip
        self._end_or_queue(outcome, after)

    def _end_or_queue(self, outcome: Outcome, after: Tries | None) -> None:
        """Ends the trial, or lets it wait for its next attempt behind all others."""
        if after is not None:
            self._tries[outcome.trial_id] = after
            self._queue.append(outcome.trial_id)
            self._progress.on(TrialLeft(outcome.trial_id, outcome.message))
            return
        self.outcomes.append(outcome)
        report_outcome(outcome, self._progress)

    def _stall_text(self, running: _Running) -> str:
        seconds = running.killed_after or 0.0
        since: datetime = self._now() - timedelta(seconds=self._clock() - running.progress_at)
        return (
            f": no epoch ended for {duration_text(seconds)}, since {since:%Y-%m-%d %H:%M:%S} UTC "
            f"(epoch {running.epoch}), so its process was ended (runtime.no_progress_minutes)"
        )


class Attempts(Searcher):
    """Hands Tune one attempt after the other, and ends its experiment with the last trial."""

    def __init__(self, watcher: Watcher, is_stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._watcher = watcher
        self._is_stopped = is_stopped

    def __getstate__(self) -> dict[str, object]:
        """Nothing, as the watcher."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Returns an attempt; None where none waits now, but a running trial may need one."""
        if self._is_stopped() or self._watcher.is_finished:
            return Searcher.FINISHED
        return self._watcher.next_attempt()

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The watcher hears of it by itself."""

    def save(self, checkpoint_path: str) -> None:
        """Keeps nothing: there is no restore."""

    def restore(self, checkpoint_path: str) -> None:
        """Is never asked."""


def _loss(error: BaseException | None, trace: str) -> Loss:
    return loss_of(
        type(error).__name__ if error is not None else "",
        str(error) if error is not None else trace,
        preempted=bool(getattr(error, "preempted", False)),
    )


def _last_line(trace: str) -> str:
    return next(iter(reversed(trace.strip().splitlines())), "no message").strip()


def _host(trial: Any, trace: str) -> str:
    """Names the machine of a lost process, as far as it is known."""
    hostname = (trial.last_result or {}).get("hostname")
    address = _ADDRESS.search(trace)
    return str(hostname or (address and address[1]) or "unknown")
