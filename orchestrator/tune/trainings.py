"""One training of a candidate as a trial of an engine, with a row in `candidates`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from orchestrator.engine.base import Outcome, TrialJob
from orchestrator.records import CandidateRow
from orchestrator.store import Store
from orchestrator.tune.studies import Values
from workers.contract import TrialResult, TrialStatus


@dataclass(frozen=True, kw_only=True)
class SeenEpoch:
    """What a driver knows of an epoch."""

    epoch: int
    val_dice: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class CandidateJob(TrialJob):
    """One training of a candidate; every epoch is reported, because it may be the last.

    Attributes:
        search_id: The search.
        number: The candidate's number in the search.
        values: The candidate's values by parameter.
    """

    report_interval_seconds: ClassVar[float] = 0.0
    search_id: str
    number: int
    values: Values

    def find(self, store: Store) -> Outcome | None:
        """Returns how the training ended if its row is in the store; raises StoreError."""
        row = store.find_candidate(self.trial_id)
        return None if row is None else _outcome(row)

    def commit(self, store: Store, result: TrialResult, now: datetime) -> Outcome:
        """Stores the row of a training that was not stopped; raises StoreError."""
        row = CandidateRow(
            trial_id=self.trial_id,
            search_id=self.search_id,
            number=self.number,
            spec=self.spec,
            status="diverged" if result.status == TrialStatus.DIVERGED else "completed",
            parameters=self.values,
            val_dice=tuple(record.val_dice for record in result.epochs),
            best_val_dice=result.best_val_dice,
            best_epoch=result.best_epoch,
            num_epochs=result.num_epochs,
            train_seconds=result.train_seconds,
            device=result.device,
            host=result.host,
            dataset_fingerprint=result.dataset_fingerprint,
            code_version=result.code_version,
            versions=result.versions,
            message=result.message,
            committed_at=now,
        )
        store.commit_candidate(row)
        return _outcome(row)

    def commit_pruned(self, store: Store, epochs: Sequence[SeenEpoch], now: datetime) -> None:
        """Stores the row of a training that was stopped after these epochs; raises StoreError."""
        best = max(epochs, key=lambda one: (one.val_dice, -one.epoch))
        store.commit_candidate(
            CandidateRow(
                trial_id=self.trial_id,
                search_id=self.search_id,
                number=self.number,
                spec=self.spec,
                status="pruned",
                parameters=self.values,
                val_dice=tuple(one.val_dice for one in epochs),
                best_val_dice=best.val_dice,
                best_epoch=best.epoch,
                num_epochs=epochs[-1].epoch,
                train_seconds=sum(one.seconds for one in epochs),
                committed_at=now,
            )
        )
        store.delete_checkpoint(self.trial_id)


def _outcome(row: CandidateRow) -> Outcome:
    return Outcome(
        trial_id=row.trial_id,
        status=row.status,
        dice=row.best_val_dice if row.status == "completed" else None,
        seconds=row.train_seconds,
        message=row.message or "",
    )
