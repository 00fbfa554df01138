"""Every table and column of the results with its type, unit and meaning, declared once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

SCHEMA_VERSION = 6
"""Raised when a column is added; added columns are nullable, and none is removed or changed."""

Kind = Literal["string", "integer", "number", "boolean", "timestamp", "binary"]

_ARROW: dict[Kind, Any] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
    "binary": pa.binary(),
}
SQL_TYPES: dict[Kind, str] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
    "binary": "BLOB",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Name in the Parquet files.
        kind: Type of the values.
        description: Meaning, as the documentation shows it.
        unit: Unit of a quantity; empty for other columns.
        nullable: Whether a value may be missing.
        since: Schema version that added the column.
        low: Smallest value of a number; numbers are always finite.
        high: Largest value of a number.
    """

    name: str
    kind: Kind
    description: str
    unit: str = ""
    nullable: bool = False
    since: int = 1
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """One table.

    Attributes:
        name: Folder below the results location.
        description: What one row is.
        columns: In the order of the files.
        key: Columns that no two rows share.
        order: Columns by which compacted files and reads are sorted; they include the key.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The schema of this table's files, with unit and meaning of each column."""
        fields = [
            pa.field(
                column.name,
                _ARROW[column.kind],
                nullable=column.nullable,
                metadata={"description": column.description, "unit": column.unit},
            )
            for column in self.columns
        ]
        return pa.schema(fields, metadata={"podium.schema_version": str(SCHEMA_VERSION)})


_TRIAL = Column(
    "trial_id", "string", "Identity of the trial: the same specification has the same id"
)
_PROTOCOL = Column("protocol_id", "string", "Identity of seed, data and training protocol")
_LABELS = (
    Column("dataset", "string", "Label of the dataset"),
    Column("model", "string", "Label of the model"),
    Column("loss", "string", "Label of the loss"),
    Column("repeat", "integer", "Number of the repeat, from 0; each draws its own split", low=0),
)
_LABEL_NAMES = tuple(column.name for column in _LABELS)
_SPEC = Column("spec", "string", "The complete specification as JSON")
_HOST = Column("host", "string", "Name of the machine")
_ATTEMPT = Column("attempt", "integer", "Number of the attempt, from 1", low=1)


def _mean(name: str, meaning: str) -> tuple[Column, Column]:
    """Declares a test metric in both averages."""
    per_image = f"{meaning}, mean over the test images; null when diverged"
    pooled = f"{meaning}, from the summed counts of all test images; null when diverged"
    return (
        Column(name, "number", per_image, nullable=True, low=0, high=1),
        Column(f"{name}_pooled", "number", pooled, nullable=True, low=0, high=1),
    )


_METRICS = (
    _mean("dice", "Test Dice"),
    _mean("iou", "Test intersection over union"),
    _mean("recall", "Test recall"),
    _mean("precision", "Test precision"),
)

TRIALS = TableSchema(
    name="trials",
    description="One row per finished trial; a trial is finished exactly when its row is visible.",
    key=("trial_id",),
    order=(*_LABEL_NAMES, "trial_id"),
    columns=(
        Column("schema_version", "integer", "Version of these columns when the row was written"),
        _TRIAL,
        _PROTOCOL,
        *_LABELS[:3],
        Column("dataset_name", "string", "Name of the dataset in the catalogue"),
        Column("model_name", "string", "Name in the catalogue, or NAME@DIGEST for a user's file"),
        Column("loss_name", "string", "Name in the catalogue, or NAME@DIGEST for a user's file"),
        _LABELS[3],
        Column("seed", "integer", "Seed from which split, order and weights derive"),
        Column(
            "status",
            "string",
            "'completed', or 'diverged': the loss, or the output for a validation or test image, "
            "became NaN or infinite",
        ),
        *(per_image for per_image, _ in _METRICS),
        *(pooled for _, pooled in _METRICS),
        Column("best_epoch", "integer", "Epoch of the best validation Dice", "epoch", True, low=1),
        Column("best_val_dice", "number", "Validation Dice of that epoch", "", True, low=0, high=1),
        Column("num_epochs", "integer", "Epochs trained", "epochs", low=0),
        Column("num_train_images", "integer", "Training images", "images", low=0),
        Column("num_val_images", "integer", "Validation images", "images", low=0),
        Column("num_test_images", "integer", "Test images", "images", low=0),
        Column("train_seconds", "number", "Wall time of all epochs, over all attempts", "s", low=0),
        Column(
            "peak_memory_bytes",
            "integer",
            "Largest device memory in use; on a CPU, that of the process",
            "bytes",
            low=0,
        ),
        Column(
            "reserved_memory_bytes",
            "integer",
            "Device memory that torch reserved; null on a CPU and in rows of older versions",
            "bytes",
            True,
            since=5,
            low=0,
        ),
        Column("image_size", "integer", "Side of the square input", "pixels", low=1),
        Column("arithmetic", "string", "Precision of the forward pass, such as 'float32'"),
        Column(
            "deterministic", "boolean", "Whether the configuration required deterministic kernels"
        ),
        Column("device", "string", "Name of the device"),
        _HOST,
        Column("gpu_ids", "string", "Assigned GPUs, separated by commas; empty on a CPU"),
        Column("num_threads", "integer", "CPU threads of the trial", "threads", low=0),
        Column("dataset_fingerprint", "string", "Digest of the images and masks used"),
        Column("code_version", "string", "Version of the code that trained"),
        Column("versions", "string", "Versions of the packages as JSON"),
        _SPEC,
        _ATTEMPT,
        Column(
            "message",
            "string",
            "How the trial diverged, or which last batch of each epoch was not trained on",
            "",
            True,
        ),
        Column("committed_at", "timestamp", "When the row was written", "UTC"),
        Column(
            "weights_sha256", "string", "SHA-256 of the kept weights; null if none", "", True, 6
        ),
    ),
)

EPOCHS = TableSchema(
    name="epochs",
    description="One row per epoch of a finished trial: its learning curve.",
    key=("trial_id", "epoch"),
    order=(*_LABEL_NAMES, "trial_id", "epoch"),
    columns=(
        _TRIAL,
        *_LABELS,
        Column("epoch", "integer", "Number of the epoch, from 1", low=1),
        Column("train_loss", "number", "Mean loss per training image"),
        Column("val_dice", "number", "Mean validation Dice per image", low=0, high=1),
        Column(
            "val_iou", "number", "Mean validation intersection over union per image", low=0, high=1
        ),
        Column("seconds", "number", "Wall time, validation included", "s", low=0),
    ),
)

IMAGES = TableSchema(
    name="images",
    description="One row per test image of a finished trial; they give any average.",
    key=("trial_id", "image"),
    order=(*_LABEL_NAMES, "trial_id", "image"),
    columns=(
        _TRIAL,
        *_LABELS,
        Column("image", "string", "Name of the test image"),
        Column("tp", "integer", "Lesion pixels predicted as lesion", "pixels", low=0),
        Column("fp", "integer", "Background pixels predicted as lesion", "pixels", low=0),
        Column("fn", "integer", "Lesion pixels predicted as background", "pixels", low=0),
        Column("tn", "integer", "Background pixels predicted as background", "pixels", low=0),
        Column(
            "train_sibling",
            "string",
            "Closest relation to a training image of the trial: 'equal' pictures, 'similar' "
            "pictures (near duplicates), the same 'group' of the layout (a video sequence), or "
            "'none'; null in rows of older versions",
            "",
            True,
            since=5,
        ),
    ),
)

PREDICTIONS = TableSchema(
    name="predictions",
    description="One row per example image of a finished trial, with the raw output of the model.",
    key=("trial_id", "image"),
    order=(*_LABEL_NAMES, "trial_id", "image"),
    columns=(
        _TRIAL,
        *_LABELS,
        Column("image", "string", "Name of the test image"),
        Column("image_jpeg", "binary", "The input as JPEG"),
        Column("truth_png", "binary", "The true mask as 1-bit PNG"),
        Column("logits_png", "binary", "Raw output as 8-bit grey PNG, linear between the limits"),
        Column("logit_min", "number", "Raw output at grey level 0"),
        Column("logit_max", "number", "Raw output at grey level 255"),
        Column("logit_mean", "number", "Exact mean of the raw output", nullable=True, since=2),
        Column(
            "mask_png", "binary", "1-bit PNG of sigmoid(raw output) > 0.5", nullable=True, since=2
        ),
        Column(
            "mean_mask_png", "binary", "1-bit PNG of raw output > its mean", nullable=True, since=2
        ),
    ),
)

FAILURES = TableSchema(
    name="failures",
    description="One row per attempt that gave no result or whose training diverged.",
    key=("trial_id", "attempt"),
    order=(*_LABEL_NAMES, "trial_id", "attempt"),
    columns=(
        _TRIAL,
        _PROTOCOL,
        *_LABELS,
        _ATTEMPT,
        Column("failure_class", "string", "'diverged', 'out-of-memory', 'infrastructure' or 'bug'"),
        Column("message", "string", "The error in one line"),
        Column("traceback", "string", "Traceback; empty if there is none"),
        _HOST,
        _SPEC,
        Column("failed_at", "timestamp", "When the attempt failed", "UTC"),
        Column("gpus", "number", "GPUs of the attempt, or its GPU share", "GPUs", True, 3, 0),
    ),
)

CANDIDATES = TableSchema(
    name="candidates",
    description=(
        "One row per finished training of `podium tune`, which uses only training and validation "
        "images. No test image was read, and no podium counts these rows."
    ),
    key=("trial_id",),
    order=("search_id", "number", *_LABEL_NAMES, "trial_id"),
    columns=(
        Column("schema_version", "integer", "Version of these columns when the row was written"),
        Column("trial_id", "string", "Identity of the training within its search"),
        _PROTOCOL,
        Column(
            "search_id",
            "string",
            "Identity of the search: its search space, trainings and settings",
        ),
        Column(
            "number",
            "integer",
            "Number of the candidate in its search; 0 has the default parameters",
            low=0,
        ),
        *_LABELS,
        Column("status", "string", "'completed', 'diverged', or 'pruned' (stopped early)"),
        Column("parameters", "string", "Parameter values of the candidate as JSON"),
        Column(
            "best_val_dice",
            "number",
            "Best validation Dice of any epoch",
            nullable=True,
            low=0,
            high=1,
        ),
        Column("best_epoch", "integer", "Epoch of that Dice", "epoch", True, low=1),
        Column("num_epochs", "integer", "Epochs trained", "epochs", low=0),
        Column("val_dice", "string", "Validation Dice of each epoch, a JSON list"),
        Column("train_seconds", "number", "Wall time of all epochs", "s", low=0),
        Column("device", "string", "Name of the device; null when pruned", nullable=True),
        Column("host", "string", "Name of the machine; null when pruned", nullable=True),
        Column("dataset_fingerprint", "string", "Digest of the images; null when pruned", "", True),
        Column("code_version", "string", "Version of the code; null when pruned", nullable=True),
        Column("versions", "string", "Versions of packages as JSON; null when pruned", "", True),
        _SPEC,
        Column("message", "string", "How the training diverged", nullable=True),
        Column("committed_at", "timestamp", "When the row was written", "UTC"),
    ),
)

DETAIL_TABLES = (EPOCHS, IMAGES, PREDICTIONS)
"""Tables whose rows count only if their trial has its row in `trials`."""

TABLES: dict[str, TableSchema] = {
    table.name: table for table in (TRIALS, EPOCHS, IMAGES, PREDICTIONS, FAILURES, CANDIDATES)
}

GRID = TableSchema(
    name="grid",
    description=(
        "A view without a folder, made from the newest grid of each protocol: one row per "
        "requested trial, with its status."
    ),
    key=("grid_id", "trial_id"),
    order=("grid_id", "trial_id"),
    columns=(
        Column("sweep", "string", "Name of the sweep"),
        Column("grid_id", "string", "Identity of the set of trials"),
        _PROTOCOL,
        *_LABELS,
        Column("trial_id", "string", "Identity of the trial", nullable=True),
        Column(
            "status",
            "string",
            "'completed' or 'diverged' as in trials; 'failed': no result, and the last attempt "
            "failed; 'missing': no result and no failed attempt",
        ),
        Column("num_failures", "integer", "Attempts that gave no result", "attempts"),
        Column(
            "failure_class", "string", "Class of the last failure; null without one", nullable=True
        ),
        Column("message", "string", "Message of the last failure; null without one", nullable=True),
        Column("gpus", "number", "GPUs per trial in the configuration", "GPUs", True),
        Column("cpus", "number", "CPU cores per trial in the configuration", "cores", True),
    ),
)

VIEWS: dict[str, TableSchema] = {**TABLES, GRID.name: GRID}
"""Tables and views that a query can name."""


def describe_tables() -> str:
    """Returns the tables and their columns as Markdown, for the documentation."""
    parts = []
    for table in VIEWS.values():
        head = "| column | type | unit | may be null | meaning |\n| --- | --- | --- | --- | --- |"
        lines = [f"## {table.name}", "", table.description, "", head]
        lines += [
            f"| {c.name} | {c.kind} | {c.unit} | {'yes' if c.nullable else ''} | {c.description} |"
            for c in table.columns
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
