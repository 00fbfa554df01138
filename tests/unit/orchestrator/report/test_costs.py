"""Time, device hours and memory of each model, by hand."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from orchestrator.report.costs import costs
from tests.unit.orchestrator.report.factory import Tables, arranged

ROWS = pd.DataFrame(
    [
        ("unet", "a", 1800.0, 10, 2**30, "0", 4),
        ("unet", "b", 5400.0, 20, 3 * 2**30, "0,1", 4),
        ("fcn", "a", 3600.0, 30, 2**20, "", 2),
        ("fcn", "b", None, 30, 2**20, "", 2),
    ],
    columns=[
        "model", "loss", "train_seconds", "num_epochs", "peak_memory_bytes", "gpu_ids",
        "num_threads",
    ],
).assign(dice=0.5)  # fmt: skip


def test_hours_by_hand():
    found = costs(arranged(Tables(trials=ROWS)))
    fcn, unet = sorted(found.models, key=lambda cost: cost.title)
    assert (fcn.title, unet.title) == ("FCN", "U-Net")
    assert unet.gpu_hours == pytest.approx(0.5 * 1 + 1.5 * 2)
    assert unet.cpu_hours == 0
    assert (unet.num_trials, unet.median_seconds, unet.total_seconds) == (2, 3600, 7200)
    assert unet.median_epochs == 15
    assert unet.epoch_seconds == pytest.approx((180 + 270) / 2)
    assert unet.peak_memory_bytes == 3 * 2**30
    assert (fcn.num_trials, fcn.gpu_hours, fcn.cpu_hours) == (1, 0, 2)
    assert (unet.share, fcn.share) == pytest.approx((2 / 3, 1 / 3))
    assert found.total is not None
    assert (found.total.gpu_hours, found.total.cpu_hours) == pytest.approx((3.5, 2))


def test_a_share_of_a_gpu_counts_as_a_share():
    grid = {"losses": ["a", "b"], "models": ["unet", "fcn"], "config": {"resources": {"gpus": 0.5}}}
    found = costs(arranged(Tables(trials=ROWS, grid=grid)))
    assert found.total is not None
    assert found.total.gpu_hours == pytest.approx(1.75)


def test_without_times_there_are_no_costs():
    bare = dataclasses.replace(Tables(trials=ROWS[["model", "loss", "dice"]]))
    found = costs(arranged(bare))
    assert (found.models, found.total) == ((), None)
