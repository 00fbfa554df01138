"""The engine without Ray: one trial after the other in this process, for debugging and tests."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

from orchestrator.engine.base import EngineReport, Outcome, TrialJob, execute, report_outcome
from orchestrator.progress import EpochEnded, Progress, TrialStarted
from orchestrator.store import Store
from workers.contract import EpochRecord, Trainer


class InlineEngine:
    """Runs jobs in the calling process, each once, on its CPU or on the first GPU that it sees.

    Ctrl-C stops it and keeps the last checkpoint. Nobody watches for a trial without progress:
    only the whole process could be ended, and whoever is debugging in it would not want that.
    """

    def __init__(self, trainer: Trainer | None = None) -> None:
        """Args: trainer: What trains a trial; `workers.run.run_trial` unless given."""
        self._trainer = trainer or _run_trial()

    def run(self, jobs: Sequence[TrialJob], store: Store, progress: Progress) -> EngineReport:
        """Runs the jobs in order; see `Engine`."""
        outcomes: list[Outcome] = []
        for job in jobs:
            progress.on(TrialStarted(job.trial_id, job.label))

            def on_epoch(record: EpochRecord, trial_id: str = job.trial_id) -> None:
                progress.on(EpochEnded(trial_id, record.epoch, record.val_dice))

            try:
                outcome = execute(_placed(job, os.environ), store, self._trainer, on_epoch)
            except KeyboardInterrupt:
                return EngineReport(outcomes=tuple(outcomes), interrupted=True)
            outcomes.append(outcome)
            report_outcome(outcome, progress)
        return EngineReport(outcomes=tuple(outcomes), interrupted=False)


def _placed(job: TrialJob, environment: Mapping[str, str]) -> TrialJob:
    """Returns the job with the GPU that it is given, where it asks for one or a share of one."""
    gpus = min(1.0, job.gpus or 0.0)
    visible = environment.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    gpu_ids = (visible,) if gpus else ()
    runtime = dataclasses.replace(job.runtime, gpu_ids=gpu_ids, gpu_share=gpus or 1.0)
    return dataclasses.replace(job, gpus=gpus, runtime=runtime)


def _run_trial() -> Trainer:
    from workers.run import run_trial

    return run_trial
