"""The engine without Ray: one trial after the other in this process, for debugging and tests."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from orchestrator.engine.base import (
    EngineReport,
    Outcome,
    TrialJob,
    TrialSource,
    execute,
)
from orchestrator.store import Store
from workers.contract import EpochRecord, Trainer


class _StoppedTrainingError(KeyboardInterrupt):
    """Ends a training that its source stops; like Ctrl-C, it leaves no failure row."""


class InlineEngine:
    """Runs trials in this process, each once, on its CPU or on the first GPU that it sees.

    Ctrl-C stops it and keeps the last checkpoint. It does not detect a trial without progress:
    only the whole process could be ended, and with it a debugger.
    """

    def __init__(self, trainer: Trainer | None = None) -> None:
        """Args: trainer: Trains a trial; `workers.run.run_trial` if None."""
        self._trainer = trainer or _run_trial()

    def run(self, source: TrialSource, store: Store) -> EngineReport:
        """Runs the trials in order; see `Engine`."""
        outcomes: list[Outcome] = []
        while (job := source.next(slots=1)) is not None:
            source.started(job)

            def on_epoch(record: EpochRecord, trial_id: str = job.trial_id) -> None:
                if not source.goes_on(trial_id, record.epoch, record.val_dice, record.seconds):
                    raise _StoppedTrainingError

            try:
                outcome = execute(_placed(job, os.environ), store, self._trainer, on_epoch)
            except _StoppedTrainingError:
                outcome = Outcome(trial_id=job.trial_id, status="pruned")
            except KeyboardInterrupt:
                return EngineReport(outcomes=tuple(outcomes), interrupted=True)
            outcomes.append(outcome)
            source.ended(outcome)
        return EngineReport(outcomes=tuple(outcomes), interrupted=False)


def _placed(job: TrialJob, environment: Mapping[str, str]) -> TrialJob:
    """Returns the job with a GPU, if it asks for one or for a share of one."""
    gpus = min(1.0, job.gpus or 0.0)
    visible = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    gpu_ids = (visible,) if gpus else ()
    runtime = dataclasses.replace(job.runtime, gpu_ids=gpu_ids, gpu_share=gpus or 1.0)
    return dataclasses.replace(job, gpus=gpus, runtime=runtime)


def _run_trial() -> Trainer:
    from workers.run import run_trial

    return run_trial
