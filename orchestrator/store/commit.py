"""Writes a finished trial: everything that its row refers to first, then the row."""

from __future__ import annotations

from datetime import datetime

from orchestrator.records import FailureRecord
from orchestrator.store import rows
from orchestrator.store.codec import encode_part
from orchestrator.store.documents import weights_path
from orchestrator.store.files import part_path
from orchestrator.store.schema import FAILURES, TABLES, TRIALS
from orchestrator.store.storage import Storage
from workers.contract import TrialResult, TrialSpec, TrialStatus
from workers.identity import trial_id as identity_of


def commit_trial(
    storage: Storage,
    spec: TrialSpec,
    result: TrialResult,
    *,
    attempt: int,
    committed_at: datetime,
) -> None:
    """Writes details, kept weights and divergence of a trial, then its row in `trials`.

    Raises:
        StoreError: A file cannot be written; the trial is not committed.
        ValueError: `committed_at` has no time zone.
    """
    trial_id = identity_of(spec)
    row = rows.trial_row(spec, result, attempt=attempt, committed_at=committed_at)
    data = encode_part(TRIALS, [row])
    for name, found in rows.detail_rows(spec, result).items():
        path = part_path(TABLES[name], trial_id)
        if found:
            storage.write(path, encode_part(TABLES[name], found))
        else:
            # An interrupted attempt with other options may have written the file.
            storage.delete(path)
    if result.weights:
        storage.write(weights_path(trial_id), result.weights)
    if result.status is TrialStatus.DIVERGED:
        write_failure(
            storage, rows.divergence(spec, result, attempt=attempt, failed_at=committed_at)
        )
    storage.write(part_path(TRIALS, trial_id), data)


def write_failure(storage: Storage, record: FailureRecord) -> None:
    """Adds a row to `failures`, or replaces the row of the same trial and attempt.

    Raises:
        StoreError: The file cannot be written.
        ValueError: `failed_at` has no time zone.
    """
    path = part_path(FAILURES, record.trial_id, record.attempt)
    storage.write(path, encode_part(FAILURES, [rows.failure_row(record)]))
