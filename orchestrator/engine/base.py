"""What every engine shares: one trial from specification to committed row or failure row."""

from __future__ import annotations

import platform
import random
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from orchestrator.plan.archives import unpacked_root
from orchestrator.plan.retries import larger_share, share_text
from orchestrator.progress import Event, Progress, TrialFailed, TrialFinished, TrialLeft
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

OutcomeStatus = Literal["completed", "diverged", "failed", "elsewhere"]
Now = Callable[[], datetime]
Pause = Callable[[float], None]

COMMIT_PAUSES_SECONDS = (5.0, 15.0, 40.0, 60.0, 180.0)
"""Between attempts to store a finished training, on top of the store's own patience: hours of
training are worth five minutes of waiting for a disk that somebody empties."""


def utc_now() -> datetime:
    """Returns the wall clock, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """A trial to run and where; `runtime.gpu_ids` is filled in where the trial starts.

    Attributes:
        run_id: The driver, in whose name the trial is claimed; None claims nothing.
        gpus: GPUs of its next attempt, or the share of one; None: what the engine usually gives.
    """

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


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one trial of this run ended.

    Attributes:
        status: `elsewhere` where another driver is training it, and it was left to that one.
        dice: Mean test Dice; None unless completed.
        seconds: Training time.
        failure_class: Why it failed, or `diverged`.
        message: One line for people.
        transient: Whether the failure may pass by itself: nobody has to mend anything first.
        spoiled: Whether the failure leaves the process in a state no other trial should start in.
        misplaced: Whether its node cannot run it, as others can; nothing was tried.
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
    """What a run came to: one outcome a trial that ended, and whether it was stopped."""

    outcomes: tuple[Outcome, ...]
    interrupted: bool


class Engine(Protocol):
    """Runs jobs in the order given, as many at once as there is room for."""

    def run(self, jobs: Sequence[TrialJob], store: Store, progress: Progress) -> EngineReport:
        """Runs all jobs; a failed one never stops the others."""
        ...


def execute(
    job: TrialJob,
    store: Store,
    trainer: Trainer,
    on_epoch: OnEpoch,
    now: Now = utc_now,
    pause: Pause = time.sleep,  # noqa: TID251 - this is where it is injected
) -> Outcome:
    """Runs one trial where it is called and leaves its rows in the store.

    A trial that another driver is training is left to it, and one already committed (the process
    died between its commit and its report) is not run again. A failure becomes a row in
    `failures`; only the failure to write that row is raised. KeyboardInterrupt from `on_epoch`
    means that the run was stopped: it is passed on and leaves no row.
    """
    if job.run_id is None:
        return _train(job, store, trainer, on_epoch, now, pause)
    claims, holder = store.claims(job.run_id), None
    # Without a claim two drivers may train the trial; the first commit still wins.
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
    """Returns how a trial ended that has its row already."""
    return Outcome(
        trial_id=trial_id,
        status="diverged" if row.status == TrialStatus.DIVERGED else "completed",
        dice=row.dice,
        seconds=row.train_seconds,
    )


def _train(
    job: TrialJob, store: Store, trainer: Trainer, on_epoch: OnEpoch, now: Now, pause: Pause
) -> Outcome:
    committed = store.find_committed(job.trial_id)
    if committed is not None:
        return committed_outcome(job.trial_id, committed)
    try:
        result = trainer(
            job.spec, _on_this_node(job.runtime), store.checkpoints(job.trial_id), on_epoch
        )
        _commit(job, store, result, now, pause)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a trial raises must not stop the others
        return _failed(job, store, error, traceback.format_exc(), now())
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


def _commit(job: TrialJob, store: Store, result: TrialResult, now: Now, pause: Pause) -> None:
    """Stores the result, again and again where the store refuses: it is not trained anew."""
    for seconds in COMMIT_PAUSES_SECONDS:
        try:
            store.commit(job.spec, result, committed_at=now())
        except StoreError:
            pause(seconds * random.uniform(0.75, 1.25))
        else:
            return
    store.commit(job.spec, result, committed_at=now())


def _failed(
    job: TrialJob, store: Store, error: BaseException, trace: str, failed_at: datetime
) -> Outcome:
    """Classes what a trial raised and records it."""
    failure_class = classify_failure(error, capped=0 < (job.gpus or 0) < 1)
    message = mask(f"{type(error).__name__}: {error}".strip())
    if failure_class is FailureClass.OUT_OF_MEMORY:
        gpus = job.gpus or 0.0
        share = larger_share(gpus)
        what = f"next on {share_text(share)}" if share else "that is all there is"
        message = f"{message} (on {share_text(gpus)}; {what})"
    record_failure(job, store, failure_class, message, trace, failed_at)
    to_mend = isinstance(error, UserError) and not isinstance(error, StoreError)
    return Outcome(
        trial_id=job.trial_id,
        status="failed",
        failure_class=failure_class,
        message=message,
        transient=failure_class is FailureClass.INFRASTRUCTURE and not to_mend,
        spoiled=spoils_process(error),
    )


def _on_this_node(runtime: Runtime) -> Runtime:
    """Puts the folder in the place of an archive of data, unpacking it where this node has not."""
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
    """Adds a row to `failures`, numbered after the trial's earlier ones; `host` if not this."""
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
