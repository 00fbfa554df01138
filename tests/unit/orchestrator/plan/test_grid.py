"""The grid has every combination once, and can be rebuilt from its document."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.config import load_config
from orchestrator.plan.grid import (
    build_grid,
    grid_from_document,
    grid_from_specs,
)
from tests.unit.orchestrator.plan.builders import make_specs
from workers.contract import UserError
from workers.identity import trial_id

TEXT = """\
name: two
datasets: [synthetic-skin, {name: folder, alias: clinic, root: mine}]
models: [unet, {name: unet, alias: unet-8, parameters: {width: 8}}]
losses: [iou, focal+iou]
repeats: 2
seed: 7
data: {image_size: 64, split: {train: 0.5, val: 0.25, test: 0.25}}
training: {max_epochs: 3}
resources: {cpus: 2, gpus: 0.5}
results: results
"""
SAVED_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def make(folder, *overrides: str):
    path = folder / "sweep.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return build_grid(load_config(path, overrides))


def test_grid_has_each_combination_once_in_file_order(tmp_path):
    grid = make(tmp_path)
    labels = [(s.dataset.label, s.model.label, s.loss.label, s.repeat) for s in grid.trials]
    assert labels == [
        (dataset, model, loss, repeat)
        for dataset in ("synthetic-skin", "clinic")
        for model in ("unet", "unet-8")
        for loss in ("iou", "iou+focal")
        for repeat in (0, 1)
    ]
    assert list(grid.trial_ids) == [trial_id(spec) for spec in grid.trials]
    assert len(set(grid.trial_ids)) == 16


def test_a_trial_carries_the_whole_protocol(tmp_path):
    spec = make(tmp_path).trials[0]
    assert (spec.seed, spec.data.image_size, spec.data.split) == (7, 64, (0.5, 0.25, 0.25))
    assert spec.training.max_epochs == 3


def test_a_grid_has_data_roots_and_resources(tmp_path):
    grid = make(tmp_path)
    assert grid.roots == {"synthetic-skin": None, "clinic": str(tmp_path.resolve() / "mine")}
    assert (grid.cpus_per_trial, grid.gpus_per_trial) == (2, 0.5)


def test_grid_id_depends_only_on_the_set_of_trials(tmp_path):
    grid = make(tmp_path)
    assert make(tmp_path, "losses=[iou+focal, iou]").grid_id == grid.grid_id
    assert make(tmp_path, "name=other", "results=/x").grid_id == grid.grid_id
    assert make(tmp_path, "losses=[iou]").grid_id != grid.grid_id


def test_the_document_names_axes_titles_and_ids(tmp_path):
    grid = make(tmp_path)
    document = grid.document(SAVED_AT)
    assert document["saved_at"] == "2026-11-22T12:00:00+00:00"
    assert [entry["title"] for entry in document["models"]] == ["U-Net", "unet-8"]
    assert [entry["title"] for entry in document["losses"]] == ["IoU", "IoUFocal"]
    assert [entry["label"] for entry in document["datasets"]] == ["synthetic-skin", "clinic"]
    assert (document["num_trials"], document["repeats"]) == (16, 2)
    assert document["trial_ids"] == list(grid.trial_ids)
    assert document["grid_id"] == grid.grid_id
    assert document["protocol_id"] == grid.protocol_id


def test_grid_is_rebuilt_from_its_document(tmp_path):
    grid = make(tmp_path)
    text = json.dumps(grid.document(SAVED_AT), sort_keys=True)
    again = grid_from_document(json.loads(text))
    assert again == grid
    assert again.document(SAVED_AT) == json.loads(text)


@pytest.mark.parametrize(
    "damage", [{"config": {}}, {"trial_ids": []}, {"config": {"datasets": [{"colour": "red"}]}}]
)
def test_a_document_of_another_version_is_refused(tmp_path, damage):
    document = make(tmp_path).document(SAVED_AT) | damage
    with pytest.raises(UserError, match="'two' was written by another version of Podium"):
        grid_from_document(document)


def test_grid_refuses_two_protocols_and_repeated_trials():
    specs = make_specs()
    for wrong in ([], specs + specs[:1], specs + make_specs(seed=1)):
        with pytest.raises(ValueError, match="trials"):
            grid_from_specs("x", wrong)
