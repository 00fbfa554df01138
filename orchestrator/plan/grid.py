"""The grid of a sweep: the specification and id of every trial."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.config.loading import SweepConfig
from orchestrator.config.schema import DataSection, RaceSection, TrainingSection
from orchestrator.untrusted import Shape, Text, check_shape
from workers.catalogue.datasets import DATASETS
from workers.catalogue.losses import loss_title
from workers.catalogue.models import MODELS
from workers.contract import (
    Component,
    DataProtocol,
    JSONValue,
    TrainingProtocol,
    TrialSpec,
    UserError,
)
from workers.identity import digest_of_texts, protocol_id, trial_ids

GRID_DOCUMENT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All trials of a sweep, in the configuration's order: datasets, models, losses, repeats.

    Attributes:
        name: Name of the sweep.
        trials: Specifications; repeats are counted from 0.
        trial_ids: Their ids, in the same order, without duplicates.
        protocol_id: Id of what all trials share: seed, data and training protocol.
        datasets: Entries of the axis; the same for models and losses.
        roots: Local folder of each dataset label; None for generated data.
        weights: Local path of given weights by model label.
        cpus_per_trial: CPU cores of one trial.
        gpus_per_trial: GPUs of one trial, or a GPU share. With `gpus: auto`, the share of the
            largest model.
        gpu_shares: GPU share by model label with `gpus: auto`; otherwise empty.
        config: The configuration as JSON values.
    """

    name: str
    trials: tuple[TrialSpec, ...]
    trial_ids: tuple[str, ...]
    protocol_id: str
    datasets: tuple[Component, ...]
    models: tuple[Component, ...]
    losses: tuple[Component, ...]
    repeats: int
    roots: Mapping[str, str | None]
    weights: Mapping[str, str]
    cpus_per_trial: float
    gpus_per_trial: float
    gpu_shares: Mapping[str, float]
    config: Mapping[str, JSONValue]

    def gpus_of(self, spec: TrialSpec) -> float:
        """Returns the GPUs, or the GPU share, of a trial's first attempt."""
        return self.gpu_shares.get(spec.model.label, self.gpus_per_trial)

    @cached_property
    def grid_id(self) -> str:
        """Returns an id of the set of trials, independent of their order."""
        return digest_of_texts(sorted(self.trial_ids), length=12)

    def document(self, saved_at: datetime) -> dict[str, Any]:
        """Returns the document that the store keeps: axes, ids and configuration."""
        return {
            "version": GRID_DOCUMENT_VERSION,
            "grid_id": self.grid_id,
            "protocol_id": self.protocol_id,
            "name": self.name,
            "saved_at": saved_at.isoformat(),
            "datasets": [_entry(c, dataset_title(c)) for c in self.datasets],
            "models": [_entry(c, model_title(c)) for c in self.models],
            "losses": [_entry(c, component_loss_title(c)) for c in self.losses],
            "repeats": self.repeats,
            "num_trials": len(self.trials),
            "trial_ids": list(self.trial_ids),
            "config": dict(self.config),
        }


def build_grid(config: SweepConfig) -> Grid:
    """Returns the grid of a configuration."""
    return grid_from_specs(
        config.name,
        _combinations(
            (config.datasets, config.models, config.losses),
            config.repeats,
            seed=config.seed,
            data=config.data.protocol(),
            training=config.training.protocol(),
        ),
        roots=config.roots,
        weights=config.weights,
        cpus_per_trial=config.resources.cpus,
        gpus_per_trial=float(config.resources.gpus),
        gpu_shares=config.gpu_shares,
        config=config.to_json(),
    )


def grid_from_specs(
    name: str,
    trials: Iterable[TrialSpec],
    *,
    roots: Mapping[str, str | None] | None = None,
    weights: Mapping[str, str] | None = None,
    cpus_per_trial: float = 1.0,
    gpus_per_trial: float = 0.0,
    gpu_shares: Mapping[str, float] | None = None,
    config: Mapping[str, JSONValue] | None = None,
) -> Grid:
    """Returns the grid of trials that share one protocol; their entries are its axes.

    Raises:
        ValueError: There is no trial, two trials are equal, or their protocols differ.
    """
    specs = tuple(trials)
    ids = tuple(trial_ids(specs))
    # By object identity first: trials share their protocols, and comparing these takes long.
    shared = {(spec.seed, id(spec.data), id(spec.training)): spec for spec in specs}
    protocols = {(spec.seed, spec.data, spec.training) for spec in shared.values()}
    if len(protocols) != 1 or len(set(ids)) != len(ids):
        msg = f"{len(specs)} trials, {len(set(ids))} of them different, {len(protocols)} protocols"
        raise ValueError(msg)
    return Grid(
        name=name,
        trials=specs,
        trial_ids=ids,
        protocol_id=protocol_id(specs[0]),
        datasets=_axis(spec.dataset for spec in specs),
        models=_axis(spec.model for spec in specs),
        losses=_axis(spec.loss for spec in specs),
        repeats=1 + max(spec.repeat for spec in specs),
        roots=roots or {},
        weights=weights or {},
        cpus_per_trial=cpus_per_trial,
        gpus_per_trial=gpus_per_trial,
        gpu_shares=gpu_shares or {},
        config=config or {},
    )


def grid_from_document(document: Mapping[str, Any]) -> Grid:
    """Rebuilds a grid from its document, for commands that have only the results.

    Raises:
        UserError: Another version of Podium wrote the document.
    """
    try:
        kept = check_shape(document["config"], _KeptConfig)
        if kept.num_trials == len(document["trial_ids"]):
            grid = _rebuild(document["config"])
            if list(grid.trial_ids) == list(document["trial_ids"]):
                return grid
    except (KeyError, TypeError, ValueError):
        pass  # refused below, like a document whose ids differ
    msg = (
        f"the grid document of {document.get('name', 'this sweep')!r} was written by another "
        "version of Podium; name the configuration instead of the results"
    )
    raise UserError(msg)


class _KeptComponent(Shape):
    name: Text
    label: Text
    parameters: dict[str, Any]


class _KeptResources(Shape):
    cpus: float = Field(gt=0)
    gpus: float = Field(ge=0)


class _KeptConfig(Shape):
    """The part of a grid document from which the grid is rebuilt; see `SweepConfig.to_json`."""

    name: Text
    datasets: list[_KeptComponent]
    models: list[_KeptComponent]
    losses: list[_KeptComponent]
    repeats: int
    seed: int
    data: dict[str, Any]
    training: dict[str, Any]
    roots: dict[str, str | None]
    weights: dict[str, str] | None = None
    resources: _KeptResources
    gpu_shares: dict[str, Annotated[float, Field(gt=0, le=1)]] | None = None
    policy: Literal["full", "race"] = "full"
    race: RaceSection | None = None

    @property
    def num_trials(self) -> int:
        """Trials of the whole grid."""
        return len(self.datasets) * len(self.models) * len(self.losses) * self.repeats


def _rebuild(config: Mapping[str, Any]) -> Grid:
    datasets, models, losses = (
        [Component(**entry) for entry in config[axis]] for axis in ("datasets", "models", "losses")
    )
    folder = {"folder": Path("/")}  # the document's paths are absolute
    trials = _combinations(
        (datasets, models, losses),
        config["repeats"],
        seed=config["seed"],
        data=DataSection.model_validate(config["data"], context=folder).protocol(),
        training=TrainingSection.model_validate(config["training"]).protocol(),
    )
    return grid_from_specs(
        config["name"],
        trials,
        roots=config["roots"],
        weights=config.get("weights"),
        cpus_per_trial=config["resources"]["cpus"],
        gpus_per_trial=config["resources"]["gpus"],
        gpu_shares=config.get("gpu_shares"),
        config=config,
    )


def _combinations(
    axes: tuple[Sequence[Component], Sequence[Component], Sequence[Component]],
    repeats: int,
    *,
    seed: int,
    data: DataProtocol,
    training: TrainingProtocol,
) -> Iterator[TrialSpec]:
    datasets, models, losses = axes
    for dataset, model, loss, repeat in product(datasets, models, losses, range(repeats)):
        yield TrialSpec(
            dataset=dataset,
            model=model,
            loss=loss,
            repeat=repeat,
            seed=seed,
            data=data,
            training=training,
        )


def dataset_title(component: Component) -> str:
    """Returns the published name, or the user's alias where there is one."""
    return _title(component, DATASETS[component.name].title)


def model_title(component: Component) -> str:
    """Returns the published name, or the user's alias where there is one."""
    return _title(component, MODELS[component.name].title)


def component_loss_title(component: Component) -> str:
    """Returns the published name, or the user's alias where there is one."""
    return _title(component, loss_title(component.name))


def _axis(components: Iterable[Component]) -> tuple[Component, ...]:
    return tuple({component.label: component for component in components}.values())


def _title(component: Component, published: str) -> str:
    return published if component.label == component.name else component.label


def _entry(component: Component, title: str) -> JSONValue:
    return {
        "label": component.label,
        "title": title,
        "name": component.name,
        "parameters": dict(component.parameters),
    }
