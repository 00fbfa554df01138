"""Each class of failure on a real Ray cluster: which trials are retried, with which GPU share."""

from __future__ import annotations

import io
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.engine.inline import InlineEngine
from orchestrator.engine.ray_cluster import ClusterOptions
from orchestrator.engine.ray_tune import RayTuneEngine
from orchestrator.progress import JsonProgress
from orchestrator.run import run_sweep
from orchestrator.store import Store
from orchestrator.sweep import open_sweep
from tests.integration.sweeps import run, write_config
from tests.unit.orchestrator.store.trials import make_result
from workers.contract import FailureClass, UserError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]


def run_on_ray(config, *overrides, trainer=None, retry=(), **options):
    sweep = open_sweep(config, overrides, retry)
    gpus = sweep.grid.gpus_per_trial
    engine = RayTuneEngine(ClusterOptions(trial_gpus=gpus, **options), trainer=trainer)
    ended = run_sweep(sweep, engine, JsonProgress(io.StringIO()), on_notes=lambda _: None)
    return ended.report, ended.plan


def results_of(config: Path) -> Store:
    return Store(str(config.parent / "results"))


def test_out_of_memory_enlarges_the_gpu_share_not_the_batch(tmp_path, ray_cluster):
    """Of four trials, the first needs half a GPU, and the second more than a whole GPU."""
    needs = {("dice", 0): 0.5, ("bce", 1): 2.0}

    def hungry(spec, runtime, checkpoints, on_epoch):
        import dataclasses

        from workers.run import run_trial

        need = needs.get((spec.loss.label, spec.repeat), 0.0)
        if runtime.gpu_share < need:
            message = "CUDA out of memory. Tried to allocate 20.00 MiB."
            raise torch.cuda.OutOfMemoryError(message)
        result = run_trial(spec, runtime, checkpoints, on_epoch)
        return dataclasses.replace(
            result, message=f"{os.getpid()} {runtime.gpu_share} {spec.training.batch_size}"
        )

    config = write_config(tmp_path, resources={"gpus": 0.25, "cpus": 0.5})
    report, after = run_on_ray(config, trainer=hungry)
    store = results_of(config)
    rows = store.read("trials").set_index(["loss", "repeat"])
    told = {key: message.split() for key, message in rows["message"].items()}
    assert {key: value[1] for key, value in told.items()} == {
        ("dice", 0): "0.5", ("dice", 1): "0.25", ("bce", 0): "0.25",
    }  # fmt: skip
    assert {value[2] for value in told.values()} == {"4"}
    # The process that ran out of memory trained no other trial.
    assert told["dice", 0][0] not in {told["dice", 1][0], told["bce", 0][0]}
    failures = store.read("failures")
    shares = failures.groupby(["loss", "repeat"])["gpus"].apply(list).to_dict()
    assert shares == {("bce", 1): [0.25, 0.5, 1.0], ("dice", 0): [0.25]}
    assert set(failures["failure_class"]) == {"out-of-memory"}
    assert failures["message"].iloc[2].endswith("(on a whole GPU; no larger share exists)")
    assert len(report.outcomes) == 4
    assert [(trial.reason, trial.failed) for trial in after.trials if trial.status is None] == [
        ("failed: out-of-memory (attempt 3), use --retry out-of-memory", True)
    ]

    # The next run skips the trial; with --retry it starts with a whole GPU.
    assert open_sweep(config).plan.pending == ()
    needs.clear()
    run_on_ray(config, trainer=hungry, retry=[FailureClass.OUT_OF_MEMORY])
    (last,) = store.read("trials").query("loss == 'bce' and repeat == 1")["message"]
    assert last.split()[1] == "1.0"


def test_a_stalled_process_is_ended_and_frees_its_slot(tmp_path, ray_cluster):
    """One trial hangs in its first attempt; another stops its process in each attempt."""
    marker = tmp_path / "slept"
    pids = tmp_path / "pids"
    result = make_result(1)  # on a busy machine, importing torch could take longer than the limit

    def sleepy(spec, runtime, checkpoints, on_epoch):
        if spec.repeat == 0:
            stops = spec.loss.label == "bce"
            if stops or not marker.exists():
                with pids.open("a") as file:
                    file.write(f"{os.getpid()}\n")
            if stops:
                os.kill(os.getpid(), signal.SIGSTOP)
            elif not marker.exists():
                marker.touch()
                time.sleep(600)
        return result

    config = write_config(tmp_path)
    report, after = run_on_ray(config, trainer=sleepy, max_failures=1, no_progress_seconds=6)
    store = results_of(config)
    assert len(store.read("trials")) == 3
    failures = store.read("failures")
    assert failures["loss"].tolist() == ["bce", "bce", "dice"]
    assert set(failures["failure_class"]) == {"infrastructure"}
    stalled = (
        r"stalled: no epoch ended for [\d.]+ s, since 20\d\d-.* UTC \(epoch 0\), so its process was"
    )
    assert failures["message"].str.contains(stalled).all()
    assert failures["message"].iloc[1].endswith("no_progress_minutes); given up for this run")
    assert len(report.outcomes) == 4
    assert len(after.pending) == 1
    dead = {pid for pid in pids.read_text().split() if not runs(pid)}
    assert len(dead) == 3


@pytest.fixture(params=["inline", "ray"])
def run_with(request):
    """Runs a configuration with a trainer, one trial after the other."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")

    def run_one_by_one(config, trainer):
        if request.param == "inline":
            return run(config, engine=InlineEngine(trainer))
        return run_on_ray(config, trainer=trainer, trial_cpus=2)

    return run_one_by_one


def with_pictures(tmp_path: Path) -> Path:
    """Writes a sweep over a generated dataset and a dataset in files, which is longer and first."""
    generator = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "data" / "mine" / kind).mkdir(parents=True)
    for number in range(20):
        image = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "data" / "mine" / "images" / f"{number}.png")
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, 8:20] = 255
        Image.fromarray(mask).save(tmp_path / "data" / "mine" / "masks" / f"{number}.png")
    return write_config(
        tmp_path,
        datasets=[
            {"name": "folder", "alias": "mine"},
            {"name": "synthetic-skin", "parameters": {"num_images": 15}},
        ],
        data={"image_size": 32, "cache": str(tmp_path / "cache"), "root": str(tmp_path / "data")},
    )


@pytest.mark.parametrize("what", ["vanishes", "changes"])
def test_data_lost_during_a_sweep_fails_only_its_trials(tmp_path, run_with, what):
    config = with_pictures(tmp_path)
    folder = str(tmp_path / "data" / "mine")

    def loses_data(spec, runtime, checkpoints, on_epoch):
        from workers.run import run_trial

        result = run_trial(spec, runtime, checkpoints, on_epoch)
        if spec.dataset.label == "mine":
            if what == "vanishes":
                shutil.move(folder, f"{folder}-gone")
            else:
                shutil.copy(f"{folder}/images/3.png", f"{folder}/images/4.png")
        return result

    _, after = run_with(config, loses_data)
    store = results_of(config)
    assert store.read("trials")["dataset"].value_counts().to_dict() == {
        "synthetic-skin": 4, "mine": 1,
    }  # fmt: skip
    failures = store.read("failures")
    assert failures["failure_class"].tolist() == ["infrastructure"] * 3
    assert failures["attempt"].tolist() == [1] * 3  # the user must restore the data first
    for message in failures["message"]:
        assert str(tmp_path / "data") in message
        assert what == "vanishes" or "dataset 'mine': its content below" in message
    assert len(after.pending) == 3
    with pytest.raises(UserError, match="mine"):
        run(config)


def test_a_device_error_ends_the_process_but_not_the_trial(tmp_path, ray_cluster):
    marker = tmp_path / "broke"

    def breaks_once(spec, runtime, checkpoints, on_epoch):
        import dataclasses

        from workers.run import run_trial

        if not marker.exists():
            marker.write_text(str(os.getpid()))
            message = "CUDA error: uncorrectable ECC error encountered"
            raise RuntimeError(message)
        result = run_trial(spec, runtime, checkpoints, on_epoch)
        return dataclasses.replace(result, message=str(os.getpid()))

    config = write_config(tmp_path)
    run_on_ray(config, trainer=breaks_once, trial_cpus=2)
    trials = results_of(config).read("trials")
    assert len(trials) == 4
    assert marker.read_text() not in set(trials["message"])
    (failure,) = results_of(config).failures()
    assert failure.failure_class is FailureClass.INFRASTRUCTURE
    assert trials["attempt"].tolist().count(2) == 1


def test_trials_on_one_gpu_see_only_that_gpu(tmp_path, ray_cluster):
    """All four trials wait for each other: they end only if two run on each GPU at once."""
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    def meets(spec, runtime, checkpoints, on_epoch):
        import dataclasses

        from workers.run import run_trial

        (meeting / f"{spec.loss.label}-{spec.repeat}").touch()
        deadline = time.monotonic() + 60
        while len(list(meeting.iterdir())) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        met = len(list(meeting.iterdir()))
        result = run_trial(spec, runtime, checkpoints, on_epoch)
        seen = os.environ["CUDA_VISIBLE_DEVICES"]
        return dataclasses.replace(result, message=f"{met} {seen} {runtime.gpu_share}")

    config = write_config(tmp_path, resources={"gpus": 0.5, "cpus": 0.5})
    run_on_ray(config, trainer=meets, trial_cpus=0.5)
    rows = results_of(config).read("trials")
    met, seen, share = zip(*rows["message"].str.split(), strict=True)
    assert set(met) == {"4"}
    assert set(share) == {"0.5"}
    assert list(seen) == rows["gpu_ids"].tolist()
    assert sorted(seen) == ["0", "0", "1", "1"]


def runs(pid: str) -> bool:
    """Returns whether a process exists after 20 s: a stopped process gets SIGKILL after 5 s."""
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return Path(f"/proc/{pid}").exists()
