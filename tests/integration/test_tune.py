"""`podium tune` on a real Ray cluster: the optimum, the budget, the store, interruptions."""

from __future__ import annotations

import contextlib
import io
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
from orchestrator.engine.inline import InlineEngine
from orchestrator.progress import JsonProgress
from orchestrator.store import Store
from orchestrator.target import read_target
from orchestrator.tune.sampler import importances
from orchestrator.tune.search import open_search, run_search
from tests.conftest import ROOT
from tests.integration.searches import BEST, made_up_trainer, run, search_config
from workers.contract import FailureClass, TrialStatus, UserError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]

QUICK = {"max_epochs": 2, "patience": 2, "batch_size": 4}
FIVE = {"trials": 5, "random_trials": 2}
ASHA = {"trials": 14, "random_trials": 6, "pruning": "asha", "grace_epochs": 1}


def tried(results):
    """Returns `candidates` without the columns of time, by number."""
    frame = Store(str(results)).read("candidates").drop(columns=["committed_at", "train_seconds"])
    return frame.sort_values(["search_id", "number"]).to_dict("records")


def test_a_search_finds_a_known_optimum_within_its_budget(tmp_path, ray_cluster):
    config = search_config(
        tmp_path, losses=["focal", "bce"], tune={"trials": 24, "random_trials": 8}
    )
    search, report = run(config, cpus=2)
    assert report is not None
    assert (report.num_failed, report.interrupted) == (0, False)
    focal, bce = search.results()
    assert focal.num_ended == bce.num_ended == 24
    assert focal.default == pytest.approx(0.9 - 0.02 * 1.8**2 - 0.2 * math.log10(2) ** 2)
    assert focal.best is not None
    best, value = focal.best
    assert value > 0.885 > (focal.default or 0)
    assert abs(best.values["gamma"] - BEST["gamma"]) < 0.8  # type: ignore[operator]
    importance = importances(focal.study, focal.candidates)
    assert importance is not None
    assert min(importance, key=importance.__getitem__) == "alpha"  # it has no effect here
    assert run(config)[1] is None  # no candidate is pending


def test_stopped_candidates_are_rows_outside_every_podium(tmp_path, ray_cluster):
    config = search_config(tmp_path, repeats=2, tune=ASHA | {"pruning": "hyperband"})
    search, _ = run(config)
    (result,) = search.results()
    assert result.num_ended == 14
    store = search.store
    rows = store.candidates()
    assert result.default is not None  # the default is never stopped
    for one in result.candidates:
        if one.status == "pruned":
            assert one.rows[-1].status == "pruned"
            assert len(one.rows[-1].val_dice) <= 2
        else:
            assert len(one.rows) == 2
    assert {row.spec.data.measured_on for row in rows} == {"val"}
    assert store.committed() == {}
    with pytest.raises(UserError, match="no results here"):
        read_target(store.name)
    names = store.read("candidates").columns
    assert not {"dice", "iou", "recall", "precision"} & set(names)  # no test metric is stored
    counted = store.query("SELECT status, count(*) AS n FROM candidates GROUP BY 1").to_pandas()
    assert counted["n"].sum() == len(rows)


def test_failed_candidates_are_rows_and_are_retried(tmp_path, ray_cluster):
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
    assert [one.number for one in search.results()[0].candidates] == [0, 1, 2]


def test_lost_stalled_and_hungry_candidates_are_repeated(tmp_path, ray_cluster):
    """Number 0 loses its process, number 1 stalls, and number 2 needs half a GPU."""

    def troubled(spec, runtime, checkpoints, on_epoch):
        from workers.identity import trial_id

        marker = tmp_path / f"{runtime.gpu_share} {trial_id(spec)}"
        number = len({path.name.split()[1] for path in tmp_path.glob("0.* *")} - {trial_id(spec)})
        is_first = not marker.exists()
        marker.touch()
        if is_first and number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if is_first and number == 1:
            time.sleep(600)
        if number == 2 and runtime.gpu_share < 0.5:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
        return made_up_trainer(spec, runtime, checkpoints, on_epoch)

    config = search_config(tmp_path, resources={"gpus": 0.25}, tune={"trials": 3})
    search, report = run(config, trainer=troubled, cpus=2, trial_gpus=0.25, no_progress_seconds=6)
    assert report is not None
    assert (report.num_failed, report.interrupted) == (0, False)
    assert [one.number for one in search.results()[0].candidates] == [0, 1, 2]
    failures = search.store.failures()
    assert [row.failure_class for row in failures].count(FailureClass.INFRASTRUCTURE) == 2
    (memory,) = (row for row in failures if row.failure_class is FailureClass.OUT_OF_MEMORY)
    assert memory.message.endswith("(on 0.25 GPU; next on 0.5 GPU)")


def test_a_diverged_candidate_counts_as_0(tmp_path, ray_cluster):
    def diverges(spec, runtime, checkpoints, on_epoch):
        result = made_up_trainer(spec, runtime, checkpoints, on_epoch)
        return replace(result, status=TrialStatus.DIVERGED, message="NaN")

    search, _ = run(search_config(tmp_path, tune={"trials": 2}), trainer=diverges)
    (result,) = search.results()
    assert [one.status for one in result.candidates] == ["diverged", "diverged"]
    assert result.default == 0.0
    assert result.best is None


def start(config, *overrides: str):
    command = [sys.executable, "-m", "orchestrator", "tune", str(config), "--progress", "json"]
    return subprocess.Popen(
        [*command, *(word for text in overrides for word in ("--set", text))],
        cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def num_rows(results):
    return len(list((results / "candidates").glob("*.parquet")))


def kill_after(process, results, num: int) -> None:
    """Kills a search with all its processes after this number of rows."""
    deadline = time.monotonic() + 90
    while num_rows(results) < num and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_killed_search_ends_like_an_undisturbed_search(tmp_path):
    """Real trainings, one at a time: on Ray with a kill, and in this process without a kill."""
    killed, whole = (
        search_config(tmp_path / name, training=QUICK, cluster={"cpus": 1}, tune=FIVE)
        for name in ("killed", "whole")
    )
    results = tmp_path / "killed" / "results"
    kill_after(start(killed), results, 2)
    again = start(killed)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err.decode()
    skipped = json.loads(out.decode().splitlines()[0])["skipped"]
    assert skipped >= 2
    assert out.decode().count('"event": "trial_started"') == 5 - skipped
    assert (results / "tuned" / "index.html").exists()
    search = open_search(whole)
    run_search(search, InlineEngine(), progress=JsonProgress(io.StringIO()))
    assert tried(results) == tried(whole.parent / "results")


def test_two_searches_on_a_store_try_each_candidate_once(tmp_path):
    """Of two concurrent commands, one is killed: the other tries all remaining candidates."""
    config = search_config(
        tmp_path, losses=["focal", "bce"], training=QUICK, cluster={"cpus": 1}, tune=FIVE
    )
    first, second = start(config), start(config)
    results = tmp_path / "results"
    kill_after(first, results, 4)
    _, err = second.communicate(timeout=150)
    assert second.returncode == 0, err.decode()
    for result in open_search(config).results():
        assert [one.number for one in result.candidates] == [0, 1, 2, 3, 4]
        assert result.complete
    assert len(Store(str(results)).candidates()) == 10
    assert Store(str(results)).failures() == ()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(second.pid, signal.SIGKILL)


@pytest.mark.sample
def test_a_grid_includes_the_tuned_losses_of_real_data(tmp_path, sample_data):
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
