"""The engine without Ray: one trial after the other in this process, for debugging and tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from orchestrator.engine.base import EngineReport, Outcome, TrialJob, execute, report_outcome
from orchestrator.progress import Progress
from orchestrator.store import Store
from workers.contract import EpochRecord, Trainer


class InlineEngine:
    """Runs jobs in the calling process, on its CPU, each once.

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
            progress.trial_started(job.trial_id, job.label)

            def on_epoch(record: EpochRecord, trial_id: str = job.trial_id) -> None:
                progress.epoch(trial_id, record.epoch, record.val_dice)

            try:
                here = dataclasses.replace(job, gpus=0.0)
                outcome = execute(here, store, self._trainer, on_epoch)
            except KeyboardInterrupt:
                return EngineReport(outcomes=tuple(outcomes), interrupted=True)
            outcomes.append(outcome)
            report_outcome(outcome, progress)
        return EngineReport(outcomes=tuple(outcomes), interrupted=False)


def _run_trial() -> Trainer:
    from workers.run import run_trial

    return run_trial
