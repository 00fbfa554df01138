"""The record for doing it again."""

from __future__ import annotations

import dataclasses
import json

import pandas as pd

from orchestrator.report.record import record
from tests.unit.orchestrator.report.factory import arranged, make_data


def test_one_value_is_shown_once_and_several_with_their_counts():
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
