"""What every engine shares: one trial from specification to committed row or failure row."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from orchestrator.progress import Progress
from orchestrator.store import CommittedTrial, FailureRecord, Store, StoreError
from workers.contract import FailureClass, OnEpoch, Runtime, Trainer, TrialSpec, TrialStatus
from workers.failures import classify_failure

OutcomeStatus = Literal["completed", "diverged", "failed", "elsewhere"]
Now = Callable[[], datetime]


def utc_now() -> datetime:
    """Returns the wall clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial to run and where; `runtime.gpu_ids` is filled in where the trial starts.

    Attributes:
        run_id: The driver, in whose name the trial is claimed; None claims nothing.
    """

    trial_id: str
    spec: TrialSpec
    runtime: Runtime
    run_id: str | None = None

    @property
    def label(self) -> str:
        """Short name for people: dataset, model, loss and repeat."""
        spec = self.spec
        return f"{spec.dataset.label} · {spec.model.label} · {spec.loss.label} · {spec.repeat}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one trial of this run ended.

    Attributes:
        status: `elsewhere` where another driver is training it, and it was left to that one.
        dice: Mean test Dice; None unless completed.
        seconds: Training time.
        failure_class: Why it failed, or `diverged`.
        message: One line for people.
    """

    trial_id: str
    status: OutcomeStatus
    dice: float | None = None
    seconds: float = 0.0
    failure_class: FailureClass | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """What a run came to: one outcome a trial that ended, and whether it was stopped."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool


class Engine(Protocol):
    """Runs jobs in the order given, as many at once as there is room for."""

    def run(self, jobs: Sequence[TrialJob], store: Store, progress: Progress) -> EngineReport:
        """Runs all jobs; a failed one never stops the others."""
        ...


def execute(
    job: TrialJob, store: Store, trainer: Trainer, on_epoch: OnEpoch, now: Now = utc_now
) -> Outcome:
    """Runs one trial where it is called and leaves its rows in the store.

    A trial that another driver is training is left to it, and one already committed (the process
    died between its commit and its report) is not run again. A failure becomes a row in
    `failures`; only the failure to write that row is raised.
    """
    if job.run_id is None:
        return _train(job, store, trainer, on_epoch, now)
    claims, holder = store.claims(job.run_id), None
    # Without a claim two drivers may train the trial; the first commit still wins.
    with suppress(StoreError):
        holder = claims.take(job.trial_id, now())
    if holder is not None:
        message = f"process {holder.process_id} on {holder.host} is training it"
        return Outcome(trial_id=job.trial_id, status="elsewhere", message=message)
    try:
        return _train(job, store, trainer, on_epoch, now)
    finally:
        with suppress(StoreError):
            claims.release(job.trial_id)


def committed_outcome(trial_id: str, row: CommittedTrial) -> Outcome:
    """Returns how a trial ended that has its row already."""
    return Outcome(
        trial_id=trial_id,
        status="diverged" if row.status == TrialStatus.DIVERGED else "completed",
        dice=row.dice,
        seconds=row.train_seconds,
        message="was already committed",
    )


def _train(job: TrialJob, store: Store, trainer: Trainer, on_epoch: OnEpoch, now: Now) -> Outcome:
    committed = store.find_committed(job.trial_id)
    if committed is not None:
        return committed_outcome(job.trial_id, committed)
    try:
        result = trainer(job.spec, job.runtime, store.checkpoints(job.trial_id), on_epoch)
        store.commit(job.spec, result, committed_at=now())
    except Exception as error:  # noqa: BLE001 - whatever a trial raises must not stop the others
        failure_class = classify_failure(error)
        message = f"{type(error).__name__}: {error}".strip()
        record_failure(job, store, failure_class, message, traceback.format_exc(), now())
        return Outcome(
            trial_id=job.trial_id, status="failed", failure_class=failure_class, message=message
        )
    store.delete_checkpoint(job.trial_id)
    diverged = result.status == TrialStatus.DIVERGED
    return Outcome(
        trial_id=job.trial_id,
        status="diverged" if diverged else "completed",
        dice=result.metrics.get("dice"),
        seconds=result.train_seconds,
        failure_class=FailureClass.DIVERGED if diverged else None,
        message=result.message or "",
    )


def record_failure(
    job: TrialJob,
    store: Store,
    failure_class: FailureClass,
    message: str,
    trace: str,
    failed_at: datetime,
) -> None:
    """Adds a row to `failures`, numbered after the trial's earlier ones."""
    store.record_failure(
        FailureRecord(
            spec=job.spec,
            attempt=store.num_failures(job.trial_id) + 1,
            failure_class=failure_class,
            message=message,
            traceback=trace,
            host=platform.node(),
            failed_at=failed_at,
        )
    )


def report_outcome(outcome: Outcome, progress: Progress) -> None:
    """Shows the end of a trial."""
    if outcome.status == "elsewhere":
        progress.trial_left(outcome.trial_id, outcome.message)
    elif outcome.status == "failed" and outcome.failure_class is not None:
        progress.trial_failed(outcome.trial_id, outcome.failure_class, outcome.message)
    else:
        progress.trial_finished(outcome.trial_id, outcome.status, outcome.dice, outcome.seconds)
