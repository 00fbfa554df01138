"""The record of a report, and the configuration that asks for the same trials again."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pandas as pd
import pytest

from orchestrator.config.loading import load_config
from orchestrator.plan.grid import build_grid
from orchestrator.report.record import configuration, record, runnable
from tests.unit.orchestrator.report.factory import arranged, make_data


def test_different_values_are_shown_with_their_counts():
    data = make_data(2, 1, 2, 1, predictions=False)
    data.trials.loc[0, "device"] = "NVIDIA H200"
    found = record(arranged(data))
    assert dict(found.groups["Where it ran"])["Device"] == (
        "cpu (2 cores) (3 trials), NVIDIA H200 (1 trial)"
    )
    assert dict(found.groups["Software"]) == {
        "Podium": "0.1.0+g3f2c9d1",
        "numpy": "2.4.6",
        "python": "3.11.9",
        "torch": "2.9.1",
    }
    protocol = dict(found.groups["Protocol"])
    assert protocol["Seed"] == "42"
    assert protocol["Split"] == "0.6 : 0.2 : 0.2"
    assert protocol["Learning rate"] == "0.001"


def test_datasets_and_components():
    data = make_data(1, 1, 1, 2, predictions=False)
    spec = json.loads(str(data.trials["spec"].iloc[0]))
    spec["loss"]["parameters"] = {"smooth": 1e-6, "sums": "batch"}
    data.trials["spec"] = json.dumps(spec)
    found = record(arranged(data))
    (dataset,) = found.datasets
    assert dataset.num_images == "60 : 20 : 20"
    assert dataset.fingerprint.endswith("a91c")
    (loss,) = found.losses
    assert (loss.title, loss.label) == ("IoU", "iou")
    assert loss.parameters == 'smooth 1e-06, sums "batch"'


def test_times_span_days():
    data = make_data(1, 1, 2, 1, predictions=False)
    data.trials["committed_at"] = pd.to_datetime(
        ["2026-11-22T23:50:00Z", "2026-11-23T01:05:00Z"], utc=True
    )
    assert record(arranged(data)).committed == "2026-11-22 23:50 to 2026-11-23 01:05 UTC"


def test_a_bare_table_has_a_bare_record():
    data = make_data(1, 1, 2, 1, predictions=False)
    bare = data.trials[["dataset", "model", "loss", "dice"]]
    found = record(arranged(dataclasses.replace(data, trials=bare)))
    assert found.groups == {"Protocol": (), "Where it ran": (), "Software": ()}
    assert found.committed == "–"  # noqa: RUF001


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


def test_the_yaml_gives_the_same_grid_without_credentials(grid, tmp_path):
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


def test_paths_and_names_return_to_their_keys():
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


def test_values_without_a_key_are_only_in_the_json():
    kept = {"name": "x", "weights": {"a": 1}, "roots": {}, "results": "s3://key:secret@b/r"}
    assert runnable(kept) == {"name": "x", "results": "results"}
    found = configuration(sweep_with({"config": kept}))
    assert json.loads(found.json) == {"name": "x", "weights": {"a": 1}, "roots": {}}
