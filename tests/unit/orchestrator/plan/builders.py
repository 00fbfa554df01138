"""Small grids, and rows as from a store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from orchestrator.plan.grid import Grid, grid_from_specs
from orchestrator.records import CommittedTrial, DamagedFile, FailureRow
from workers.contract import (
    Component,
    DataProtocol,
    FailureClass,
    TrainingProtocol,
    TrialSpec,
    TrialStatus,
)
from workers.identity import protocol_id, trial_id

IOU = Component(name="iou")
DICE = Component(name="dice")
UNET_8 = Component(name="unet", parameters={"width": 8, "encoder": None}, label="unet-8")
FCN = Component(name="fcn")
SKIN = Component(name="synthetic-skin", parameters={"num_images": 100})
WOUND = Component(name="wound")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make_specs(
    datasets: Iterable[Component] = (SKIN, WOUND),
    models: Iterable[Component] = (UNET_8, FCN),
    losses: Iterable[Component] = (IOU, DICE),
    repeats: int = 2,
    **protocol: int,
) -> list[TrialSpec]:
    """Returns all combinations in two repeats, by default 16 trials."""
    datasets, models, losses = list(datasets), list(models), list(losses)
    return [
        TrialSpec(
            dataset=dataset,
            model=model,
            loss=loss,
            repeat=repeat,
            seed=protocol.get("seed", 42),
            data=DataProtocol(image_size=protocol.get("image_size", 224)),
            training=TrainingProtocol(max_epochs=protocol.get("max_epochs", 10)),
        )
        for dataset in datasets
        for model in models
        for loss in losses
        for repeat in range(repeats)
    ]


def make_grid(
    specs: Iterable[TrialSpec] | None = None,
    *,
    cpus_per_trial: float = 1,
    gpus_per_trial: float = 0,
) -> Grid:
    """Returns a grid of the specifications, by default the sixteen of `make_specs`."""
    return grid_from_specs(
        "test",
        make_specs() if specs is None else specs,
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
    )


def row_of(spec: TrialSpec, status: str = "completed", **values: object) -> CommittedTrial:
    """Returns the row of a completed trial of ten seconds, with changes."""
    row = CommittedTrial(
        trial_id=trial_id(spec),
        protocol_id=protocol_id(spec),
        dataset=spec.dataset.label,
        model=spec.model.label,
        loss=spec.loss.label,
        dataset_name=spec.dataset.name,
        model_name=spec.model.name,
        loss_name=spec.loss.name,
        repeat=spec.repeat,
        status=TrialStatus(status),
        dice=0.8,
        num_epochs=10,
        num_train_images=60,
        num_val_images=20,
        num_test_images=20,
        train_seconds=10.0,
        image_size=spec.data.image_size,
        device="cpu (x86_64)",
        num_threads=1,
        dataset_fingerprint="",
        attempt=1,
        spec=json.dumps(spec.to_json()),
        committed_at=NOW,
    )
    return replace(row, **values)  # type: ignore[arg-type]


def failed(trial_id: str, failure_class: str, **values: object) -> FailureRow:
    """Returns the row of a first attempt that failed, with changes."""
    row = FailureRow(
        trial_id=trial_id,
        protocol_id="",
        dataset="",
        model="",
        loss="",
        repeat=0,
        attempt=1,
        failure_class=FailureClass(failure_class),
        message="it broke",
        traceback="",
        host="",
        spec="",
        failed_at=NOW,
        gpus=None,
    )
    return replace(row, **values)  # type: ignore[arg-type]


def damaged_file(trial_id: str, path: str = "results/trials/part-x.parquet") -> DamagedFile:
    """Returns a torn file of a trial."""
    return DamagedFile(trial_id=trial_id, path=path, reason="torn")


def committed(*rows: CommittedTrial) -> dict[str, CommittedTrial]:
    """Returns rows as the store does."""
    return {row.trial_id: row for row in rows}
