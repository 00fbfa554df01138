"""The configuration on the page asks for the same trials again."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from orchestrator.config.loading import load_config
from orchestrator.plan.grid import build_grid
from orchestrator.report.record import configuration, runnable
from tests.unit.orchestrator.report.factory import arranged, make_data

CONFIG = """
name: Prüfung
datasets: [synthetic-skin, {name: kvasir-seg, root: /data/kvasir}]
models: [{name: unet, alias: "klein & fein", parameters: {width: 8}}]
losses: [iou, {name: focal, alias: "fokal: 2", parameters: {gamma: 2.0}}]
repeats: 2
training: {learning_rate: 1e-4, max_epochs: 3}
results: s3://secret/results
"""


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return build_grid(load_config(path))


def sweep_with(document):
    data = make_data(1, 1, 1, 1, num_epochs=2, predictions=False)
    return dataclasses.replace(arranged(data), document=document)


def test_the_yaml_gives_the_same_grid_and_no_credentials(grid, tmp_path):
    document = grid.document(datetime(2026, 1, 1, tzinfo=UTC))
    found = configuration(sweep_with(json.loads(json.dumps(document, sort_keys=True))))
    path = tmp_path / "again.yaml"
    path.write_text(found.yaml, encoding="utf-8")
    again = build_grid(load_config(path))
    assert again.grid_id == grid.grid_id
    assert [c.label for c in again.models + again.losses] == ["klein & fein", "iou", "fokal: 2"]
    assert again.roots == grid.roots
    assert again.name == "Prüfung"
    assert "secret" not in found.yaml + found.json
    assert json.loads(found.json)["training"]["max_epochs"] == 3


def test_without_a_grid_one_specification_is_shown():
    found = configuration(sweep_with(None))
    assert found.yaml == ""
    assert json.loads(found.json)["training"]["optimizer"] == "adam"


def test_paths_and_names_go_back_to_where_a_file_says_them():
    kept = {
        "datasets": [{"name": "folder", "label": "mine", "parameters": {"label": "mine", "x": 1}}],
        "models": [{"name": "unet", "label": "unet", "parameters": {"pretrained": "sha-1"}}],
        "roots": {"mine": "/data/mine"},
        "weights": {"unet": "/weights/unet.pt"},
    }
    found = runnable(kept)
    assert found["datasets"] == [
        {"name": "folder", "alias": "mine", "parameters": {"x": 1}, "root": "/data/mine"}
    ]
    assert found["models"] == [{"name": "unet", "parameters": {"pretrained": "/weights/unet.pt"}}]


def test_what_no_file_may_say_is_in_the_json_alone():
    kept = {"name": "x", "weights": {"a": 1}, "roots": {}, "results": "s3://key:secret@b/r"}
    assert runnable(kept) == {"name": "x", "results": "results"}
    found = configuration(sweep_with({"config": kept}))
    assert json.loads(found.json) == {"name": "x", "weights": {"a": 1}, "roots": {}}
