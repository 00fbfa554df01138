"""Records of trials that the store writes and reads: results, failures, candidates, torn files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from workers.contract import FailureClass, JSONValue, TrialSpec, TrialStatus
from workers.identity import trial_id


@dataclass(frozen=True, kw_only=True)
class FailureRecord:
    """One attempt that gave no result or whose training diverged, as an engine reports it.

    Attributes:
        spec: The trial.
        candidate_id: Id of the training of a search; None for a trial of a grid.
        attempt: Counted from 1 within the trial.
        message: The error in one line.
        traceback: Traceback in the worker; empty if there is none.
        failed_at: With a time zone.
        gpus: GPUs of the attempt, or its GPU share; None if unknown.
    """

    spec: TrialSpec
    attempt: int
    failure_class: FailureClass
    message: str
    traceback: str
    host: str
    failed_at: datetime
    gpus: float | None = None
    candidate_id: str | None = None

    @property
    def trial_id(self) -> str:
        """Id of its row in `failures`."""
        return self.candidate_id or trial_id(self.spec)


@dataclass(frozen=True, kw_only=True)
class CandidateRow:
    """One row of `candidates`, with the names of its columns; `spec` holds the labels.

    Attributes:
        parameters: Values that the search proposed, by name.
        val_dice: Validation Dice of each epoch.
    """

    trial_id: str
    search_id: str
    number: int
    spec: TrialSpec
    status: Literal["completed", "diverged", "pruned"]
    parameters: Mapping[str, JSONValue]
    val_dice: tuple[float, ...]
    best_val_dice: float | None
    best_epoch: int | None
    num_epochs: int
    train_seconds: float
    committed_at: datetime
    device: str | None = None
    host: str | None = None
    dataset_fingerprint: str | None = None
    code_version: str | None = None
    versions: Mapping[str, str] | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True)
class CommittedTrial:
    """The columns of `trials` that planning and progress read, of one finished trial."""

    trial_id: str
    protocol_id: str
    dataset: str
    model: str
    loss: str
    dataset_name: str
    model_name: str
    loss_name: str
    repeat: int
    status: TrialStatus
    dice: float | None
    num_epochs: int
    num_train_images: int
    num_val_images: int
    num_test_images: int
    train_seconds: float
    image_size: int
    device: str
    num_threads: int
    dataset_fingerprint: str
    attempt: int
    spec: str
    committed_at: datetime


@dataclass(frozen=True, kw_only=True)
class FailureRow:
    """One row of `failures`, with the names of its columns."""

    trial_id: str
    protocol_id: str
    dataset: str
    model: str
    loss: str
    repeat: int
    attempt: int
    failure_class: FailureClass
    message: str
    traceback: str
    host: str
    spec: str
    failed_at: datetime
    gpus: float | None


@dataclass(frozen=True, kw_only=True)
class DamagedFile:
    """A torn part of `trials` or `failures` whose rows no other file holds.

    Attributes:
        path: Location and path of the file.
        trial_id: The trial of the file. A trial with a torn part of `trials` does not count as
            finished; when it is trained again, a whole file replaces the torn one.
        reason: Error message of the reader.
    """

    path: str
    trial_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ResultsForPlan:
    """The rows of the results that a plan is made from.

    Attributes:
        committed: The finished trials by trial id.
        failures: Every failed attempt, and one row for each diverged trial.
        damaged: See `Store.damaged`.
    """

    committed: Mapping[str, CommittedTrial]
    failures: tuple[FailureRow, ...]
    damaged: tuple[DamagedFile, ...]
