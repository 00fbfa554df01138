"""What every engine shares: the source of trials, and one trial from specification to row."""

from __future__ import annotations

import platform
import random
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from orchestrator.plan.archives import unpacked_root
from orchestrator.plan.retries import larger_share, share_text
from orchestrator.progress import (
    EpochEnded,
    Event,
    Progress,
    TrialFailed,
    TrialFinished,
    TrialLeft,
    TrialStarted,
)
from orchestrator.records import CommittedTrial, FailureRecord
from orchestrator.safe_text import mask
from orchestrator.store import Store, StoreError
from workers.contract import (
    FailureClass,
    OnEpoch,
    Runtime,
    Trainer,
    TrialResult,
    TrialSpec,
    TrialStatus,
    UserError,
)
from workers.failures import classify_failure, spoils_process

OutcomeStatus = Literal["completed", "diverged", "failed", "elsewhere", "pruned"]
Now = Callable[[], datetime]
Pause = Callable[[float], None]

COMMIT_PAUSES_SECONDS = (5.0, 15.0, 40.0, 60.0, 180.0)
"""Pauses between attempts to store a finished training, after the store's own attempts: hours of
training are worth five minutes of waiting until the user frees disk space."""


def utc_now() -> datetime:
    """Returns the wall clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial to run; `runtime.gpu_ids` is set in the process that runs it.

    Attributes:
        run_id: The driver that claims the trial; None: the trial is not claimed.
        gpus: GPUs of its next attempt, or a share of one; None: the engine's default.
        report_interval_seconds: Epochs that end sooner after the last report are not reported.
    """

    report_interval_seconds: ClassVar[float] = 1.0

    trial_id: str
    spec: TrialSpec
    runtime: Runtime
    run_id: str | None = None
    gpus: float | None = None

    @property
    def label(self) -> str:
        """Short name for people: dataset, model, loss and repeat."""
        spec = self.spec
        return f"{spec.dataset.label} · {spec.model.label} · {spec.loss.label} · {spec.repeat}"

    def find(self, store: Store) -> Outcome | None:
        """Returns how it ended if its row is in the store; raises StoreError."""
        row = store.find_committed(self.trial_id)
        return None if row is None else committed_outcome(self.trial_id, row)

    def commit(self, store: Store, result: TrialResult, now: datetime) -> Outcome:
        """Stores its row and returns how it ended; raises StoreError."""
        store.commit(self.spec, result, committed_at=now)
        diverged = result.status == TrialStatus.DIVERGED
        return Outcome(
            trial_id=self.trial_id,
            status="diverged" if diverged else "completed",
            dice=result.metrics.get("dice"),
            seconds=result.train_seconds,
            failure_class=FailureClass.DIVERGED if diverged else None,
            message=result.message or "",
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one trial of this run ended.

    Attributes:
        status: `elsewhere` if another driver is training it; `pruned` if its source stopped it.
        dice: Mean test Dice, or best validation Dice of a candidate; None unless completed.
        seconds: Training time.
        failure_class: Why it failed, or `diverged`.
        message: One line for people.
        transient: Whether the failure may be temporary, so that another attempt makes sense.
        spoiled: Whether the process must not be reused for another trial after this failure.
        misplaced: Whether only its node cannot run it; the training did not start.
        host: That node.
    """

    trial_id: str
    status: OutcomeStatus
    dice: float | None = None
    seconds: float = 0.0
    failure_class: FailureClass | None = None
    message: str = ""
    transient: bool = False
    spoiled: bool = False
    misplaced: bool = False
    host: str | None = None


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """Result of a run: one outcome per trial that ended, and whether the run was stopped."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool


class TrialSource(Protocol):
    """Decides which trial runs next: a pending trial of a sweep, or a training of a search.

    An engine asks for trials and reports their epochs and ends, all from one thread. It does not
    know what the trials are for. No method raises an error.
    """

    @property
    def jobs(self) -> Sequence[TrialJob]:
        """Trials known before the first one starts: every node must be able to run them."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether no trial waits, and none would after the end of those that run."""
        ...

    def next(self, slots: int) -> TrialJob | None:
        """Returns the next trial if one waits now; `slots` trials run at the same time."""
        ...

    def started(self, job: TrialJob) -> None:
        """Takes the start of an attempt."""
        ...

    def goes_on(self, trial_id: str, epoch: int, val_dice: float, seconds: float) -> bool:
        """Takes an epoch, counted from 1; returns False if its training must stop now."""
        ...

    def waits(self, trial_id: str, message: str) -> None:
        """Takes the end of an attempt without a result; the engine will start another one."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """Takes the end of a trial."""
        ...


class TrialQueue:
    """The trial source of a sweep: trials in the order given, shown on a display."""

    def __init__(self, jobs: Sequence[TrialJob], progress: Progress) -> None:
        self.jobs = tuple(jobs)
        self._waiting = deque(jobs)
        self._progress = progress

    @property
    def is_finished(self) -> bool:
        """See `TrialSource`, as for the other methods."""
        return not self._waiting

    def next(self, slots: int) -> TrialJob | None:
        """Returns a trial whenever the engine asks, so that no slot waits for one."""
        del slots
        return self._waiting.popleft() if self._waiting else None

    def started(self, job: TrialJob) -> None:
        """Shows the start."""
        self._progress.on(TrialStarted(job.trial_id, job.label))

    def goes_on(self, trial_id: str, epoch: int, val_dice: float, seconds: float) -> bool:
        """Shows the epoch."""
        del seconds
        self._progress.on(EpochEnded(trial_id, epoch, val_dice))
        return True

    def waits(self, trial_id: str, message: str) -> None:
        """Shows that the trial does not run now."""
        self._progress.on(TrialLeft(trial_id, message))

    def ended(self, outcome: Outcome) -> None:
        """Shows the end."""
        report_outcome(outcome, self._progress)


class Engine(Protocol):
    """Runs the trials of a source, as many at the same time as there are slots."""

    def run(self, source: TrialSource, store: Store) -> EngineReport:
        """Runs trials until the source is finished; a failed one does not stop the others."""
        ...


def execute(
    job: TrialJob,
    store: Store,
    trainer: Trainer,
    on_epoch: OnEpoch,
    now: Now = utc_now,
    pause: Pause = time.sleep,  # noqa: TID251 - this is where it is injected
) -> Outcome:
    """Runs one trial in this process and leaves its rows in the store.

    A trial that another driver is training does not run, and neither does one that has its row
    already (its process ended between commit and report). A failure becomes a row in `failures`.
    KeyboardInterrupt from `on_epoch` stops the training without a row.

    Raises:
        StoreError: The failure row cannot be written.
    """
    if job.run_id is None:
        return _train(job, store, trainer, on_epoch, now, pause)
    claims, holder = store.claims(job.run_id), None
    # Without a claim two drivers may train the trial; then the first commit counts.
    with suppress(StoreError):
        holder = claims.claim(job.trial_id, now())
    if holder is not None:
        message = f"process {holder.process_id} on {holder.host} is training it"
        return Outcome(trial_id=job.trial_id, status="elsewhere", message=message)
    try:
        return _train(job, store, trainer, on_epoch, now, pause)
    finally:
        with suppress(StoreError):
            claims.release(job.trial_id)


def misplaced(trial_id: str, problem: str) -> Outcome:
    """Returns the outcome of a trial on a node that cannot run it."""
    host = platform.node()
    return Outcome(
        trial_id=trial_id,
        status="failed",
        failure_class=FailureClass.INFRASTRUCTURE,
        message=f"node {host} joined later and cannot run it: {problem}",
        misplaced=True,
        host=host,
    )


def committed_outcome(trial_id: str, row: CommittedTrial) -> Outcome:
    """Returns how a finished trial ended."""
    return Outcome(
        trial_id=trial_id,
        status="diverged" if row.status == TrialStatus.DIVERGED else "completed",
        dice=row.dice,
        seconds=row.train_seconds,
    )


def _train(
    job: TrialJob, store: Store, trainer: Trainer, on_epoch: OnEpoch, now: Now, pause: Pause
) -> Outcome:
    outcome = job.find(store)
    if outcome is not None:
        return outcome
    try:
        result = trainer(
            job.spec, _on_this_node(job.runtime), store.checkpoints(job.trial_id), on_epoch
        )
        outcome = _commit(job, store, result, now, pause)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - no error may stop the other trials
        return _failed(job, store, error, traceback.format_exc(), now())
    store.delete_checkpoint(job.trial_id)
    return outcome


def _commit(job: TrialJob, store: Store, result: TrialResult, now: Now, pause: Pause) -> Outcome:
    """Stores the result, several times if the store refuses: training again costs more."""
    for seconds in COMMIT_PAUSES_SECONDS:
        try:
            return job.commit(store, result, now())
        except StoreError:
            pause(seconds * random.uniform(0.75, 1.25))
    return job.commit(store, result, now())


def _failed(
    job: TrialJob, store: Store, error: BaseException, trace: str, failed_at: datetime
) -> Outcome:
    """Classifies the error of a trial and records it."""
    failure_class = classify_failure(error, capped=0 < (job.gpus or 0) < 1)
    message = mask(f"{type(error).__name__}: {error}{_place_in_code(job, error)}".strip())
    if failure_class is FailureClass.OUT_OF_MEMORY:
        gpus = job.gpus or 0.0
        share = larger_share(gpus)
        what = f"next on {share_text(share)}" if share else "no larger share exists"
        message = f"{message} (on {share_text(gpus)}; {what})"
    record_failure(job, store, failure_class, message, trace, failed_at)
    to_fix = isinstance(error, UserError) and not isinstance(error, StoreError)
    return Outcome(
        trial_id=job.trial_id,
        status="failed",
        failure_class=failure_class,
        message=message,
        transient=failure_class is FailureClass.INFRASTRUCTURE and not to_fix,
        spoiled=spoils_process(error),
    )


def _place_in_code(job: TrialJob, error: BaseException) -> str:
    """Returns file and line of the user's code that an error passed through; empty if none."""
    lines = ((file.path, file.line_of(error)) for file in job.runtime.code)
    return "".join(f" ({path}:{line})" for path, line in lines if line is not None)


def _on_this_node(runtime: Runtime) -> Runtime:
    """Replaces an archive of data by its folder, which this node unpacks once."""
    if runtime.data_root is None:
        return runtime
    folder = unpacked_root(runtime.data_root, Path(runtime.cache_dir))
    return replace(runtime, data_root=str(folder))


def record_failure(
    job: TrialJob,
    store: Store,
    failure_class: FailureClass,
    message: str,
    trace: str,
    failed_at: datetime,
    host: str | None = None,
) -> None:
    """Adds a row to `failures`, numbered after the trial's earlier ones; `host`: if another."""
    store.record_failure(
        FailureRecord(
            spec=job.spec,
            candidate_id=job.trial_id,
            attempt=store.num_failures(job.trial_id) + 1,
            failure_class=failure_class,
            message=message,
            traceback=trace,
            host=host or platform.node(),
            failed_at=failed_at,
            gpus=job.gpus,
        )
    )


def report_outcome(outcome: Outcome, progress: Progress) -> None:
    """Shows the end of a trial."""
    event: Event
    if outcome.status == "elsewhere":
        event = TrialLeft(outcome.trial_id, outcome.message)
    elif outcome.status == "failed" and outcome.failure_class is not None:
        event = TrialFailed(outcome.trial_id, outcome.failure_class, outcome.message)
    else:
        event = TrialFinished(outcome.trial_id, outcome.status, outcome.dice, outcome.seconds)
    progress.on(event)
