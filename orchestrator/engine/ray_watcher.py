"""Between Tune and a trial source: attempts go in, outcomes and failure rows come out."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from orchestrator.engine.base import (
    Now,
    Outcome,
    TrialJob,
    TrialSource,
    record_failure,
    utc_now,
)
from orchestrator.engine.ray_private import error_of, kill_attempt
from orchestrator.plan.retries import Loss, Tries, after_failure, after_loss, loss_of, stalled
from orchestrator.store import Store, StoreError
from orchestrator.wording import duration_text
from workers.contract import FailureClass

_CHECK_INTERVAL_SECONDS = 1.0
_ADDRESS = re.compile(r"^\s*ip: (\S+)$", re.MULTILINE)


def attempt_name(trial: Any) -> str:
    """Returns the name of one attempt, which is a trial of Tune."""
    return f"{trial.config['trial_id']}-{trial.config['attempt']}"


@dataclass
class _Running:
    """A running attempt: Tune's trial, and the time of its last progress."""

    trial: Any
    progress_at: float
    epoch: int = 0
    killed_after: float | None = None


class Watcher(tune.Callback):
    """Turns Tune's events into calls of the trial source and, for lost processes, failure rows."""

    def __init__(
        self,
        source: TrialSource,
        store: Store,
        *,
        slots: int,
        usual_gpus: float,
        max_failures: int,
        no_progress_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
        now: Now = utc_now,
    ) -> None:
        """Starts without an attempt.

        Args:
            source: Gives the trials and takes their outcomes.
            store: Receives failure rows.
            slots: Trials that run at the same time.
            usual_gpus: GPUs of a trial that does not set them.
            max_failures: Number of new attempts after losses of a trial's process.
            no_progress_seconds: Time without an epoch after which a process is ended; None: never.
            clock: Monotonic seconds.
            now: The wall clock.
        """
        self._source = source
        self._shared = {job.trial_id for job in source.jobs}
        self._store = store
        self._slots = slots
        self._usual_gpus = usual_gpus
        self._max_failures = max_failures
        self._no_progress_seconds = no_progress_seconds
        self._clock = clock
        self._now = now
        self._jobs: dict[str, TrialJob] = {}
        self._tries: dict[str, Tries] = {}
        self._again: deque[str] = deque()
        self._numbers: Counter[str] = Counter()
        self._open: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._recorded: set[str] = set()
        self._checked_at = clock()
        self.outcomes: list[Outcome] = []

    def __getstate__(self) -> dict[str, object]:
        """Returns nothing: Tune stores its callbacks for a restore, which is never used."""
        return {}

    @property
    def is_finished(self) -> bool:
        """Whether every trial has ended."""
        return not self._again and not self._open and self._source.is_finished

    def next_attempt(self) -> dict[str, Any] | None:
        """Returns the configuration of the next attempt; None if none waits now.

        A trial that was not known at the start travels in it.
        """
        job = self._source.next(self._slots)
        if job is not None:
            self._jobs[job.trial_id] = job
            gpus = self._usual_gpus if job.gpus is None else job.gpus
            self._tries[job.trial_id] = Tries(gpus=gpus)
        elif self._again:
            job = self._jobs[self._again.popleft()]
        else:
            return None
        trial_id = job.trial_id
        self._numbers[trial_id] += 1
        self._open.add(f"{trial_id}-{self._numbers[trial_id]}")
        return {
            "trial_id": trial_id,
            "attempt": self._numbers[trial_id],
            "gpus": self._tries[trial_id].gpus,
            "job": None if trial_id in self._shared else job,
        }

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        """Tells the source that an attempt starts."""
        self._running[attempt_name(trial)] = _Running(trial, self._clock())
        self._source.started(self._jobs[trial.config["trial_id"]])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: object
    ) -> None:
        """Takes an outcome; `goes_on` takes epochs."""
        if "outcome" in result:
            self._close(trial)
            self._take(Outcome(**result["outcome"]))

    def goes_on(self, trial: Any, result: dict[str, Any]) -> bool:
        """Takes an epoch and returns whether its training goes on."""
        running = self._running.get(attempt_name(trial))
        if running is None or "epoch" not in result:
            return True
        running.progress_at, running.epoch = self._clock(), result["epoch"]
        trial_id = trial.config["trial_id"]
        if self._source.goes_on(trial_id, result["epoch"], result["val_dice"], result["seconds"]):
            return True
        self._close(trial)
        self._end_or_queue(Outcome(trial_id=trial_id, status="pruned"), None)
        return False

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: object) -> None:
        """Takes the loss of an attempt's process or node."""
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
        """Ends processes without progress, which Tune then reports as lost."""
        now = self._clock()
        limit = self._no_progress_seconds
        if limit is None or now - self._checked_at < min(_CHECK_INTERVAL_SECONDS, limit):
            return
        self._checked_at = now
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
        """Counts a node that lacks something as a lost node.

        The problem becomes one failure row per node, and one when the trial is given up.
        """
        trial_id = outcome.trial_id
        after = after_loss(self._tries[trial_id], Loss.NODE, max_failures=self._max_failures)
        if after is None or outcome.message not in self._recorded:
            self._recorded.add(outcome.message)
            message = f"{outcome.message}; {'started again' if after else 'given up for this run'}"
            with suppress(StoreError):
                record_failure(
                    self._jobs[trial_id], self._store, FailureClass.INFRASTRUCTURE, message, "",
                    self._now(), host=outcome.host,
                )  # fmt: skip
        self._end_or_queue(outcome, after)

    def _end_or_queue(self, outcome: Outcome, after: Tries | None) -> None:
        """Ends the trial, or queues its next attempt after the trials that the source has now."""
        if after is not None:
            self._tries[outcome.trial_id] = after
            self._again.append(outcome.trial_id)
            self._source.waits(outcome.trial_id, outcome.message)
            return
        self.outcomes.append(outcome)
        self._source.ended(outcome)

    def _stall_text(self, running: _Running) -> str:
        seconds = running.killed_after or 0.0
        since: datetime = self._now() - timedelta(seconds=self._clock() - running.progress_at)
        return (
            f": no epoch ended for {duration_text(seconds)}, since {since:%Y-%m-%d %H:%M:%S} UTC "
            f"(epoch {running.epoch}), so its process was ended (runtime.no_progress_minutes)"
        )


class Attempts(Searcher):
    """Gives Tune one attempt after the other, and ends its experiment after the last trial."""

    def __init__(self, watcher: Watcher, is_stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._watcher = watcher
        self._is_stopped = is_stopped

    def __getstate__(self) -> dict[str, object]:
        """Returns nothing; see the watcher."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Returns an attempt; None if none waits now, but a running trial may need another one."""
        if self._is_stopped():
            return Searcher.FINISHED
        attempt = self._watcher.next_attempt()
        return Searcher.FINISHED if attempt is None and self._watcher.is_finished else attempt

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Does nothing: the watcher is called by itself."""

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: there is no restore."""

    def restore(self, checkpoint_path: str) -> None:
        """Restores nothing."""


class EarlyStops(FIFOScheduler):
    """Lets Tune stop a training when its source says so."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watcher = watcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decides whether an attempt goes on after an epoch."""
        goes_on = self._watcher.goes_on(trial, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


def _loss(error: BaseException | None, trace: str) -> Loss:
    return loss_of(
        type(error).__name__ if error is not None else "",
        str(error) if error is not None else trace,
        preempted=bool(getattr(error, "preempted", False)),
    )


def _last_line(trace: str) -> str:
    return next(iter(reversed(trace.strip().splitlines())), "no message").strip()


def _host(trial: Any, trace: str) -> str:
    """Returns the name or address of a lost process's machine, or `unknown`."""
    hostname = (trial.last_result or {}).get("hostname")
    address = _ADDRESS.search(trace)
    return str(hostname or (address and address[1]) or "unknown")
