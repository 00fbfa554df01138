"""Every key has a role, and the ids change only with identity keys: this table is the proof."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from orchestrator.config.schema import Role, SweepFile, TrainingSection
from orchestrator.plan.grid import build_grid
from tests.conftest import ROOT
from tests.unit.orchestrator.config.builders import load
from workers.contract import DataProtocol, TrainingProtocol

OWN_FILE = ROOT / "tests" / "data" / "own_file.txt"

# A value other than the one below, for every key; identity keys change ids, runtime keys do not.
BASE = (
    "data={root: /d, cache: /c}",
    "datasets=[{name: cvc-clinicdb, alias: a}]",
    "models=[{name: unet, alias: m}]",
    "losses=[{name: focal, alias: l}, bce]",
    "training={channels_last: true}",
)
OTHER_VALUES: dict[Role, dict[str, str | None]] = {
    Role.IDENTITY: {
        "datasets.name": "datasets.0.name=wound",
        "datasets.parameters": "datasets.0.parameters={format: tif}",
        "models.name": "models.0.name=fcn",
        "models.parameters": "models.0.parameters={width: 8}",
        "losses.name": "losses.0.name=iou",
        "models.file": f"models.0={{file: {OWN_FILE}, name: shallow, alias: m}}",
        "losses.file": f"losses.0={{file: {OWN_FILE}, name: tilted, alias: l}}",
        "losses.parameters": "losses.0.parameters={gamma: 2}",
        "repeats": "repeats=4",
        "seed": "seed=43",
        "data.image_size": "data.image_size=64",
        "data.split.train": "data.split={train: 0.5, val: 0.3, test: 0.2}",
        "data.split.val": "data.split={train: 0.6, val: 0.3, test: 0.1}",
        "data.split.test": "data.split={train: 0.5, val: 0.2, test: 0.3}",
        "data.split_unit": "data.split_unit=group",
        "data.similar_distance": "data={root: /d, split_unit: similar, similar_distance: 8}",
        "data.normalisation": "data.normalisation=half",
        "data.mask_resize": "data.mask_resize=area",
        "data.fixed_test": "data.fixed_test=true",
        "training.optimizer": "training.optimizer=sgd",
        "training.learning_rate": "training.learning_rate=0.01",
        "training.batch_size": "training.batch_size=4",
        "training.max_epochs": "training.max_epochs=100",
        "training.patience": "training.patience=10",
        "training.precision": "training.precision=bfloat16",
        "training.channels_last": "training.channels_last=false",
        "training.auxiliary_weight": "training.auxiliary_weight=[1, 0.5]",
        "training.deterministic": "training.deterministic=false",
        "training.deep_supervision": "training.deep_supervision=false",
        "training.tf32": "training.tf32=true",
        "training.fused_optimizer": "training.fused_optimizer=true",
        "training.compiled": "training.compiled=true",
        "training.betas": "training.betas=[0.8, 0.99]",
        "training.eps": "training.eps=1.0e-7",
        "training.weight_decay": "training.weight_decay=0.01",
        "training.momentum": "training={optimizer: sgd, momentum: 0.9}",
        "training.nesterov": "training={optimizer: sgd, momentum: 0.9, nesterov: true}",
        "training.schedule": "training.schedule=cosine",
        "training.schedule_unit": "training={schedule: poly, schedule_unit: step}",
        "training.schedule_power": "training={schedule: poly, schedule_power: 2}",
        "training.schedule_interval": "training={schedule: step, schedule_interval: 5}",
        "training.schedule_factor": "training={schedule: step, schedule_factor: 0.5}",
        "training.warmup_epochs": "training.warmup_epochs=5",
        "training.gradient_clip_norm": "training.gradient_clip_norm=1",
        "training.ema": "training.ema=0.999",
        "training.augmentation": "training.augmentation=flips",
    },
    Role.RUNTIME: {
        "name": "name=other",
        "datasets.alias": "datasets.0.alias=b",
        "datasets.root": "datasets.0.root=/e",
        "models.alias": "models.0.alias=b",
        "losses.alias": "losses.0.alias=b",
        "data.root": "data.root=/e",
        "data.cache": "data.cache=/e",
        "resources.cpus": "resources.cpus=4",
        "resources.gpus": "resources.gpus=0.5",
        "cluster.address": "cluster.address=auto",
        "cluster.cpus": "cluster.cpus=8",
        "cluster.gpus": "cluster.gpus=2",
        "cluster.gpu_memory_gib": "cluster.gpu_memory_gib=80",
        "cluster.max_failures": "cluster.max_failures=0",
        "runtime.checkpoint_interval_seconds": "runtime.checkpoint_interval_seconds=0",
        "runtime.example_images": "runtime.example_images=0",
        "runtime.keep_weights": "runtime.keep_weights=best",
        "runtime.no_progress_minutes": "runtime.no_progress_minutes=30",
        "policy": "policy=race",
        "race.level": "race.level=0.9",
        "race.budget": "race.budget=0.5",
        "race.first_repeats": "race.first_repeats=3",
        "tune.trials": "tune.trials=3",
        "tune.separate": "tune.separate=[dataset]",
        "tune.spaces": "tune.spaces={l: {gamma: null}}",
        "tune.random_trials": "tune.random_trials=3",
        "tune.pruning": "tune.pruning=asha",
        "tune.grace_epochs": "tune.grace_epochs=3",
        "tune.searches": "tune.searches=2",
        "results": "results=s3://bucket/x",
    },
}
CASES = [(role, key, text) for role, table in OTHER_VALUES.items() for key, text in table.items()]


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, list[Role]]]:
    """Yields every key that holds a value, with its roles."""
    for name, info in model.model_fields.items():
        inner = model_in(info.annotation)
        if inner is None:
            yield prefix + name, [item for item in info.metadata if isinstance(item, Role)]
        else:
            yield from leaves(inner, f"{prefix}{name}.")


def model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType, Annotated):
        return next(filter(None, map(model_in, get_args(annotation))), None)
    return None


def ids(folder, *overrides: str) -> set[str]:
    return set(build_grid(load(folder, *BASE, *overrides)).trial_ids)


def test_every_key_has_one_role_and_a_case():
    found = dict(leaves(SweepFile))
    assert {key: [role] for role, table in OTHER_VALUES.items() for key in table} == found


@pytest.mark.parametrize(("role", "key", "override"), CASES, ids=[case[1] for case in CASES])
def test_identity_changes_the_ids_and_runtime_does_not(tmp_path, role, key, override):
    if override is None:
        assert key == "training.optimizer"
        return
    changed = ids(tmp_path, override) != ids(tmp_path)
    assert changed == (role is Role.IDENTITY)


def test_the_alias_of_a_folder_is_identity(tmp_path):
    assert ids(tmp_path, "datasets=[{name: folder, alias: a}]") != ids(
        tmp_path, "datasets=[{name: folder, alias: b}]"
    )


def test_the_schema_covers_the_contract_with_the_same_defaults(tmp_path):
    config = load(tmp_path)
    assert config.training.protocol() == TrainingProtocol()
    assert config.data.protocol() == DataProtocol()
    assert set(TrainingSection.model_fields) == set(TrainingProtocol.__dataclass_fields__)
