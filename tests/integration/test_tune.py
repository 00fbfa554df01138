"""`podium tune` on a real Ray cluster: the optimum, the budget, the store, interruptions."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from orchestrator.config import load_config
from orchestrator.store import Store
from orchestrator.target import read_target
from orchestrator.tune.sampler import importances
from orchestrator.tune.search import open_search
from tests.conftest import ROOT
from tests.integration.searches import BEST, made_up_trainer, run, search_config
from workers.contract import TrialStatus, UserError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]

ASHA = {"trials": 14, "random_trials": 6, "pruning": "asha", "grace_epochs": 1}


def tried(results):
    """Everything that a search left in its store, without what depends on the clock."""
    frame = Store(str(results)).read("candidates")
    return frame.drop(columns=["committed_at"]).to_dict("records")


def test_it_finds_a_known_optimum_with_the_same_budget_for_every_loss(tmp_path, ray_cluster):
    config = search_config(
        tmp_path, losses=["focal", "bce"], tune={"trials": 24, "random_trials": 8}
    )
    search, report = run(config, cpus=2)
    assert report is not None
    assert (report.num_failed, report.interrupted) == (0, False)
    focal, bce = search.findings()
    assert focal.num_ended == bce.num_ended == 24
    assert focal.default == pytest.approx(0.9 - 0.02 * 1.8**2 - 0.2 * math.log10(2) ** 2)
    assert focal.best is not None
    best, value = focal.best
    assert value > 0.885 > (focal.default or 0)
    assert abs(best.values["gamma"] - BEST["gamma"]) < 0.8  # type: ignore[operator]
    importance = importances(focal.study, focal.candidates)
    assert importance is not None
    assert min(importance, key=importance.__getitem__) == "alpha"  # it changes nothing here
    assert run(config)[1] is None  # nothing is left


@pytest.mark.parametrize("tune", [{"trials": 14, "random_trials": 6}, ASHA], ids=["plain", "asha"])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path, ray_cluster, tune):
    """One candidate at a time: the same proposals, the same stops, to the last bit."""
    whole, parts = (search_config(tmp_path / name, tune=tune) for name in ("whole", "parts"))
    run(whole, cpus=2)
    for trials in (5, 9, 14):  # a prolonged search is an interrupted one
        run(parts, f"tune.trials={trials}", cpus=2)
    expected = tried(whole.parent / "results")
    assert tried(parts.parent / "results") == expected
    stopped = sum(row["status"] == "pruned" for row in expected)
    assert stopped >= 3 if "pruning" in tune else stopped == 0


def test_stopped_candidates_are_rows_and_no_podium_sees_any(tmp_path, ray_cluster):
    config = search_config(tmp_path, repeats=2, tune=ASHA | {"pruning": "hyperband"})
    search, _ = run(config)
    (finding,) = search.findings()
    assert finding.num_ended == 14
    store = search.store
    rows = store.candidates()
    assert finding.default is not None  # the default is never stopped
    for one in finding.candidates:
        if one.status == "pruned":
            assert one.rows[-1].status == "pruned"
            assert len(one.rows[-1].val_dice) <= 2
        else:
            assert len(one.rows) == 2
    assert {row.spec.data.measured_on for row in rows} == {"val"}
    assert store.committed() == {}
    with pytest.raises(UserError, match="no trial is finished yet"):
        read_target(store.name)
    names = store.read("candidates").columns
    assert not {"dice", "iou", "recall", "precision"} & set(names)  # no test metric has a place
    counted = store.query("SELECT status, count(*) AS n FROM candidates GROUP BY 1").to_pandas()
    assert counted["n"].sum() == len(rows)


def test_failures_are_rows_and_the_numbers_are_tried_again(tmp_path, ray_cluster):
    broken = tmp_path / "broken"
    broken.touch()

    def fails(spec, runtime, checkpoints, on_epoch):
        if broken.exists() and spec.loss.parameters["gamma"] != 0.2:
            message = "no such thing"
            raise KeyError(message)
        return made_up_trainer(spec, runtime, checkpoints, on_epoch)

    config = search_config(tmp_path, tune={"trials": 3})
    search, report = run(config, trainer=fails)
    assert report is not None
    assert report.num_failed == 2
    assert len(search.store.candidates()) == 1
    failures = search.store.failures()
    assert [row.failure_class for row in failures] == ["bug", "bug"]
    assert "KeyError: 'no such thing'" in failures[0].traceback
    broken.unlink()
    search, _ = run(config, trainer=fails)
    assert [one.number for one in search.findings()[0].candidates] == [0, 1, 2]


def test_divergence_counts_as_nothing_reached(tmp_path, ray_cluster):
    def diverges(spec, runtime, checkpoints, on_epoch):
        result = made_up_trainer(spec, runtime, checkpoints, on_epoch)
        return replace(result, status=TrialStatus.DIVERGED, message="NaN")

    search, _ = run(search_config(tmp_path, tune={"trials": 2}), trainer=diverges)
    (finding,) = search.findings()
    assert [one.status for one in finding.candidates] == ["diverged", "diverged"]
    assert finding.default == 0.0
    assert finding.best is None


def start(config, *overrides: str):
    command = [sys.executable, "-m", "orchestrator", "tune", str(config), "--progress", "json"]
    return subprocess.Popen(
        [*command, *(word for text in overrides for word in ("--set", text))],
        cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def num_rows(results):
    return len(list((results / "candidates").glob("*.parquet")))


def test_two_searches_on_one_store_and_a_kill_in_the_middle(tmp_path):
    """Real trainings by two commands at once; one of them is killed with all its processes."""
    results = tmp_path / "results"
    training = {"max_epochs": 2, "patience": 2, "batch_size": 4}
    configs = [
        search_config(tmp_path / loss, losses=[loss], results=str(results), training=training,
                      tune={"trials": 5, "random_trials": 2}, cluster={"cpus": 1})
        for loss in ("focal", "bce")
    ]  # fmt: skip
    first, second = (start(config) for config in configs)
    deadline = time.monotonic() + 90
    while num_rows(results) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    kept = Store(str(results)).candidates(open_search(configs[0]).studies[0].search_id)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err.decode()
    again = start(configs[0])
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err.decode()
    events = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    assert events[0]["skipped"] == len(kept)
    assert sum(event["event"] == "trial_started" for event in events) == 5 - len(kept)
    for config in configs:
        search = open_search(config)
        (finding,) = search.findings()
        assert [one.number for one in finding.candidates] == [0, 1, 2, 3, 4]
        assert finding.complete
        assert (results / "tuned" / "index.html").exists()
    assert len(Store(str(results)).candidates()) == 10
    now = {row.trial_id: row for row in Store(str(results)).candidates()}
    assert all(now[row.trial_id] == row for row in kept)  # nothing that had ended was tried again
    with contextlib.suppress(ProcessLookupError):
        os.killpg(again.pid, signal.SIGKILL)


@pytest.mark.sample
def test_the_real_sample_with_a_tiny_budget_and_the_grid_that_follows(tmp_path, sample_data):
    real = {
        "datasets": ["kvasir-seg"],
        "losses": ["iou+focal"],
        "data": {"root": str(sample_data), "image_size": 32, "cache": str(tmp_path / "cache")},
        "training": {"max_epochs": 2, "patience": 2},
        "tune": {"trials": 3, "random_trials": 2},
        "cluster": {"cpus": 1},
    }
    process = start(search_config(tmp_path, **real))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    grid = search_config(tmp_path, **real | {
        "losses": ["iou+focal", {"from": str(tmp_path / "results" / "tuned" / "losses.yaml")}],
    })  # fmt: skip
    labels = [loss.label for loss in load_config(grid).losses]
    assert labels in (["iou+focal"], ["iou+focal", "iou+focal (tuned)"])
    rows = Store(str(tmp_path / "results")).read("candidates")
    assert (rows["best_val_dice"] > 0).all()
    assert json.loads(rows["spec"][0])["data"]["measured_on"] == "val"
