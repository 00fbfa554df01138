"""Turns specifications, results and failures into rows of the tables, and rows into records."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orchestrator.records import CandidateRow, CommittedTrial, FailureRecord, FailureRow
from orchestrator.safe_text import mask
from orchestrator.store.schema import SCHEMA_VERSION
from orchestrator.store.storage import StoreError
from orchestrator.untrusted import CandidateShape, check_shape, parse_json
from workers.contract import FailureClass, TrialResult, TrialSpec, TrialStatus
from workers.identity import protocol_id, trial_id

Row = dict[str, Any]

METRICS = ("dice", "iou", "recall", "precision")


def committed_trial(row: Mapping[str, Any]) -> CommittedTrial:
    """Builds a committed trial from a row of `trials`."""
    values = _fields(CommittedTrial, row) | {"status": TrialStatus(row["status"])}
    return CommittedTrial(**values)


def failure_row_of(row: Mapping[str, Any]) -> FailureRow:
    """Builds a failure from a row of `failures`."""
    values = _fields(FailureRow, row) | {"failure_class": FailureClass(row["failure_class"])}
    return FailureRow(**values)


def spec_values(spec: TrialSpec) -> Row:
    """Returns the values that the specification of a row determines, by column, without the id."""
    return {
        "protocol_id": protocol_id(spec),
        "dataset": spec.dataset.label,
        "model": spec.model.label,
        "loss": spec.loss.label,
        "repeat": spec.repeat,
        "dataset_name": spec.dataset.name,
        "model_name": spec.model.name,
        "loss_name": spec.loss.name,
        "seed": spec.seed,
        "image_size": spec.data.image_size,
        "arithmetic": spec.training.precision,
        "deterministic": spec.training.deterministic,
    }


def trial_row(spec: TrialSpec, result: TrialResult, *, attempt: int, committed_at: datetime) -> Row:
    """Returns the row of `trials`.

    Raises:
        ValueError: `committed_at` has no time zone.
        KeyError: A completed trial lacks a metric.
    """
    row = spec_values(spec) | {
        "trial_id": trial_id(spec),
        "schema_version": SCHEMA_VERSION,
        "spec": _spec_text(spec),
        "attempt": attempt,
        "committed_at": _aware(committed_at),
        "status": str(result.status),
        "gpu_ids": ",".join(result.gpu_ids),
        "versions": json.dumps(dict(result.versions), sort_keys=True),
        "weights_sha256": result.weights and hashlib.sha256(result.weights).hexdigest(),
    }
    for name in _COPIED:
        row[name] = getattr(result, name)
    completed = result.status is TrialStatus.COMPLETED
    for name in (*METRICS, *(f"{metric}_pooled" for metric in METRICS)):
        row[name] = result.metrics[name] if completed else None
    return row


_COPIED = (
    "best_epoch",
    "best_val_dice",
    "num_epochs",
    "num_train_images",
    "num_val_images",
    "num_test_images",
    "train_seconds",
    "peak_memory_bytes",
    "reserved_memory_bytes",
    "device",
    "host",
    "num_threads",
    "dataset_fingerprint",
    "code_version",
    "message",
)
"""Columns of `trials` that are attributes of the result."""


def detail_rows(spec: TrialSpec, result: TrialResult) -> dict[str, list[Row]]:
    """Returns the rows of `epochs`, `images` and `predictions` by table."""
    labels = _labels(spec)
    return {
        "epochs": [labels | dataclasses.asdict(record) for record in result.epochs],
        "images": [labels | dataclasses.asdict(record) for record in result.images],
        "predictions": [labels | dataclasses.asdict(record) for record in result.predictions],
    }


def failure_row(record: FailureRecord) -> Row:
    """Returns the row of `failures`.

    Raises:
        ValueError: `failed_at` has no time zone.
    """
    return _labels(record.spec) | {
        "trial_id": record.trial_id,
        "protocol_id": protocol_id(record.spec),
        "attempt": record.attempt,
        "failure_class": str(record.failure_class),
        "message": mask(record.message),
        "traceback": mask(record.traceback),
        "host": record.host,
        "spec": _spec_text(record.spec),
        "failed_at": _aware(record.failed_at),
        "gpus": record.gpus,
    }


def candidate_values(row: CandidateRow) -> Row:
    """Returns the row of `candidates`.

    Raises:
        ValueError: `committed_at` has no time zone.
    """
    plain = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    versions = None if row.versions is None else json.dumps(dict(row.versions), sort_keys=True)
    texts = {
        "parameters": json.dumps(dict(row.parameters), sort_keys=True),
        "val_dice": json.dumps(list(row.val_dice)),
        "versions": versions,
        "spec": _spec_text(row.spec),
    }
    head = {"schema_version": SCHEMA_VERSION, "protocol_id": protocol_id(row.spec)}
    _aware(row.committed_at)
    return _labels(row.spec) | head | plain | texts


def candidate_of(values: Mapping[str, Any]) -> CandidateRow:
    """Builds a candidate's training from a row of `candidates`.

    Raises:
        StoreError: A column of JSON holds something else.
    """
    known: Row = {f.name: values.get(f.name) for f in dataclasses.fields(CandidateRow)}
    texts = {name: known[name] for name in ("parameters", "val_dice", "versions", "spec")}
    given = {name: text for name, text in texts.items() if text is not None}
    try:
        parsed = {name: parse_json(text) for name, text in given.items()}
        shape = check_shape(parsed, CandidateShape)
        known |= {name: getattr(shape, name) for name in texts}
        return CandidateRow(**(known | {"spec": TrialSpec.from_json(shape.spec)}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = (
            f"candidates: the row of {known['trial_id']} cannot be read ({error}); podium verify "
            "names its file, and --quarantine moves it aside"
        )
        raise StoreError(msg) from error


def divergence(
    spec: TrialSpec, result: TrialResult, *, attempt: int, failed_at: datetime
) -> FailureRecord:
    """Returns the row of `failures` for a diverged trial."""
    return FailureRecord(
        spec=spec,
        attempt=attempt,
        failure_class=FailureClass.DIVERGED,
        message=result.message or "training diverged",
        traceback="",
        host=result.host,
        failed_at=failed_at,
    )


def _fields(kind: type[CommittedTrial | FailureRow], row: Mapping[str, Any]) -> Row:
    # A file of an older schema lacks columns that were added since.
    return {field.name: row.get(field.name) for field in dataclasses.fields(kind)}


def _labels(spec: TrialSpec) -> Row:
    return {
        "trial_id": trial_id(spec),
        "dataset": spec.dataset.label,
        "model": spec.model.label,
        "loss": spec.loss.label,
        "repeat": spec.repeat,
    }


def _spec_text(spec: TrialSpec) -> str:
    return json.dumps(spec.to_json(), sort_keys=True)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        msg = f"{moment} needs a time zone"
        raise ValueError(msg)
    return moment
