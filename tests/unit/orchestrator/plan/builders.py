"""Small grids and rows as a store would give them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.plan.grid import Grid, grid_from_specs
from workers.contract import Component, DataProtocol, TrainingProtocol, TrialSpec
from workers.identity import protocol_id, trial_id

IOU = Component(name="iou")
DICE = Component(name="dice")
UNET_8 = Component(name="unet", parameters={"width": 8, "encoder": None}, label="unet-8")
FCN = Component(name="fcn")
SKIN = Component(name="synthetic-skin", parameters={"num_images": 100})
WOUND = Component(name="wound")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A committed trial."""

    trial_id: str
    protocol_id: str
    dataset: str
    model: str
    loss: str
    repeat: int
    spec: str
    status: str = "completed"
    train_seconds: float = 10.0
    num_epochs: int = 10
    num_train_images: int = 60
    num_val_images: int = 20
    image_size: int = 224
    device: str = "cpu (x86_64)"
    num_threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed attempt."""

    trial_id: str
    failure_class: str
    attempt: int = 1
    message: str = "it broke"
    gpus: float | None = None


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A torn file."""

    trial_id: str
    path: str = "results/trials/part-x.parquet"


def make_specs(
    datasets: Iterable[Component] = (SKIN, WOUND),
    models: Iterable[Component] = (UNET_8, FCN),
    losses: Iterable[Component] = (IOU, DICE),
    repeats: int = 2,
    **protocol: int,
) -> list[TrialSpec]:
    """Returns a full product, eight trials of two repeats unless told otherwise."""
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


def row_of(spec: TrialSpec, **values: object) -> Row:
    """Returns the row of a completed trial of ten seconds, with changes."""
    row = Row(
        trial_id=trial_id(spec),
        protocol_id=protocol_id(spec),
        dataset=spec.dataset.label,
        model=spec.model.label,
        loss=spec.loss.label,
        repeat=spec.repeat,
        image_size=spec.data.image_size,
        spec=json.dumps(spec.to_json()),
    )
    return replace(row, **values)  # type: ignore[arg-type]


def committed(*rows: Row) -> dict[str, Row]:
    """Returns rows as the store does."""
    return {row.trial_id: row for row in rows}
