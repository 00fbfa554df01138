"""The engine on a real Ray cluster: same numbers, pinning, isolation, lost processes."""

import contextlib
import io
import itertools
import os
import pty
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from orchestrator.engine.ray_cluster import ClusterOptions
from orchestrator.engine.ray_tune import RayTuneEngine, assigned_gpus
from orchestrator.progress import EpochEnded, JsonProgress, TrialFinished
from orchestrator.run import run_sweep
from orchestrator.store import Store
from orchestrator.sweep import open_sweep
from tests.conftest import ROOT
from tests.integration.ray_nodes import wait
from tests.integration.sweeps import assert_same_tables, run, tables, write_config
from workers.contract import EpochRecord, FailureClass, UserError

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]


def run_on_ray(config, *overrides, trainer=None, **options):
    sweep = open_sweep(config, overrides)
    engine = RayTuneEngine(ClusterOptions(**options), trainer=trainer)
    ended = run_sweep(sweep, engine, JsonProgress(io.StringIO()), on_notes=lambda _: None)
    return ended.report, ended.plan


def test_ray_gives_the_numbers_of_a_single_process(tmp_path, ray_cluster, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "inline").mkdir()
    run(write_config(tmp_path / "inline"))
    report, _ = run_on_ray(write_config(tmp_path))
    assert [outcome.status for outcome in report.outcomes] == ["completed"] * 4
    assert_same_tables(tmp_path / "inline" / "results", tmp_path / "results")
    assert list((tmp_path / "scratch").glob("podium-tune-*")) == []


def test_fiftieth_trial_of_an_actor_equals_a_fresh_process(tmp_path, ray_cluster):
    """Each trial needs both CPUs, so that one actor runs all fifty trials of two networks."""
    changes: dict[str, list[Any]] = {
        "models": [
            {"name": "unet", "alias": "unet-2", "parameters": {"width": 2}},
            {"name": "unetpp", "alias": "unetpp-2", "parameters": {"width": 2}},
        ],
        "losses": ["iou", "dice", "bce", "focal", "iou+focal"],
    }
    short = {"repeats": 5, "training": {"max_epochs": 1, "batch_size": 4}}
    config = write_config(tmp_path, **changes, **short)
    order: list[str] = []

    class Recorder(JsonProgress):
        def on(self, event):
            if isinstance(event, TrialFinished):
                order.append(event.trial_id)

    sweep = open_sweep(config)
    engine = RayTuneEngine(ClusterOptions(trial_cpus=2), trainer=process_noting_trainer)
    run_sweep(sweep, engine, Recorder(io.StringIO()), on_notes=lambda _: None)
    trials = Store(str(tmp_path / "results")).read("trials")
    assert len(order) == len(trials) == 50
    processes = trials.set_index("trial_id")["message"]
    assert processes.nunique() == 1  # one actor, never replaced
    fiftieth = trials.set_index("trial_id").loc[order[49]]

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (model,) = [m for m in changes["models"] if m.get("alias", m["name"]) == fiftieth["model"]]
    only = write_config(fresh, models=[model], losses=[fiftieth["loss"]], **short)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", str(only), "--engine", "inline"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, expected in tables(fresh / "results").items():
        found = tables(tmp_path / "results")[name]
        mine = expected["trial_id"] == order[49]
        theirs = found["trial_id"] == order[49]
        for column in expected.columns.drop(["message"], errors="ignore"):
            assert expected[mine][column].tolist() == found[theirs][column].tolist(), column


def process_noting_trainer(spec, runtime, checkpoints, on_epoch):
    """Trains for real and notes the process in the row's message."""
    import dataclasses

    from workers.run import run_trial

    result = run_trial(spec, runtime, checkpoints, on_epoch)
    return dataclasses.replace(result, message=f"process {os.getpid()}")


@pytest.mark.parametrize(("share", "num_ids"), [(0.5, 1), (2, 2)])
def test_every_trial_sees_its_assigned_gpus(tmp_path, ray_cluster, share, num_ids):
    report, _ = run_on_ray(write_config(tmp_path), trial_cpus=0.5, trial_gpus=share)
    rows = Store(str(tmp_path / "results")).read("trials")
    assert len(rows) == 4, report.outcomes
    for ids in rows["gpu_ids"]:
        assert len(ids.split(",")) == num_ids
        assert set(ids.split(",")) <= {"0", "1"}


def test_a_trial_without_a_gpu_sees_no_gpu():
    environment = {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert assigned_gpus(0, [], environment) == ()
    assert environment["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("requested", "ray_ids", "visible"),
    [(1, [0], "0,1"), (1, [0], "1"), (1, [], ""), (2, [0], "0"), (0.5, [0, 1], "0,1")],
)
def test_a_wrong_assignment_of_gpus_is_refused(requested, ray_ids, visible):
    with pytest.raises(RuntimeError, match="CUDA_VISIBLE_DEVICES shows"):
        assigned_gpus(requested, ray_ids, {"CUDA_VISIBLE_DEVICES": visible})


def test_a_killed_process_costs_one_failure_row_and_no_result(tmp_path, ray_cluster):
    marker = tmp_path / "killed"

    def kills_itself_once(spec, runtime, checkpoints, on_epoch):
        from workers.run import run_trial

        if spec.loss.label == "bce" and spec.repeat == 0 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), 9)
        return run_trial(spec, runtime, checkpoints, on_epoch)

    report, after = run_on_ray(write_config(tmp_path), trainer=kills_itself_once)
    store = Store(str(tmp_path / "results"))
    (failure,) = store.failures()
    assert failure.failure_class == FailureClass.INFRASTRUCTURE
    assert failure.message.startswith("its process ended (The actor is dead because")
    assert "Worker exit type: SYSTEM_ERROR" in failure.traceback
    assert len(report.outcomes) == len(store.read("trials")) == 4
    assert not after.pending


def test_a_trial_that_is_always_lost_stops_no_other_trial(tmp_path, ray_cluster):
    def kills_itself(spec, runtime, checkpoints, on_epoch):
        from workers.run import run_trial

        if spec.loss.label == "bce" and spec.repeat == 0:
            os.kill(os.getpid(), 9)
        return run_trial(spec, runtime, checkpoints, on_epoch)

    report, after = run_on_ray(write_config(tmp_path), trainer=kills_itself, max_failures=1)
    store = Store(str(tmp_path / "results"))
    assert len(store.read("trials")) == 3
    assert [row.attempt for row in store.failures()] == [1, 2]
    assert {row.failure_class for row in store.failures()} == {FailureClass.INFRASTRUCTURE}
    assert len(after.pending) == 1  # the next run retries after an infrastructure failure
    assert sum(outcome.status == "failed" for outcome in report.outcomes) == 1


def test_an_exception_is_a_failure_row_with_its_traceback(tmp_path, ray_cluster):
    def raises(spec, runtime, checkpoints, on_epoch):
        if spec.repeat == 1:
            message = "no such thing"
            raise KeyError(message)
        from workers.run import run_trial

        return run_trial(spec, runtime, checkpoints, on_epoch)

    _, after = run_on_ray(write_config(tmp_path), trainer=raises)
    failures = Store(str(tmp_path / "results")).read("failures")
    assert len(failures) == len(after.failed) == 2
    assert failures["traceback"].str.contains("KeyError: 'no such thing'").all()


def test_stopped_attempts_leave_no_failure_and_stay_pending(tmp_path, ray_cluster):
    def endless(spec, runtime, checkpoints, on_epoch):
        for epoch in itertools.count(1):
            wait(1.1)  # epochs within a second are not reported
            on_epoch(
                EpochRecord(epoch=epoch, train_loss=0.5, val_dice=0.5, val_iou=0.4, seconds=1.1)
            )

    class StopsOnce(JsonProgress):
        stopped = False

        def on(self, event):
            if isinstance(event, EpochEnded) and not self.stopped:
                self.stopped = True
                os.kill(os.getpid(), signal.SIGTERM)

    config = write_config(tmp_path)
    engine = RayTuneEngine(ClusterOptions(), trainer=endless)
    assert run_sweep(open_sweep(config), engine, StopsOnce(io.StringIO())).report.interrupted
    wait(1)  # a row could come from processes that Tune is still stopping
    assert not Store(str(tmp_path / "results")).failures()
    assert len(open_sweep(config).plan.pending) == 4


def test_a_gpu_share_that_no_machine_has_is_refused(tmp_path, ray_cluster, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=r"needs 1 CPUs and 64 GPUs.*resources\.gpus"):
        run_on_ray(write_config(tmp_path), trial_gpus=64)


def test_the_live_display_of_a_terminal_runs_to_its_end(tmp_path):
    """Tune pickles its callbacks, and a terminal cannot be pickled."""
    config = write_config(tmp_path, repeats=1, losses=["dice"])
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "run", str(config), "--progress", "live"],
        cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # Linux raises EIO if the other end is closed
        while chunk := os.read(main, 65536):
            shown += chunk
    assert process.wait() == 0, shown.decode()
    assert b"Traceback" not in shown
    assert b"1 of 1 trials have a result" in shown


def test_a_sweep_continues_after_a_signal_to_its_group(tmp_path):
    """As from a scheduler: the processes of Ray get the signal too."""
    config = write_config(tmp_path, repeats=1, cluster={"cpus": 1})
    command = [sys.executable, "-m", "orchestrator", "run", str(config), "--progress", "plain"]
    endless = ["--set", "training.max_epochs=100000", "--set", "training.patience=100000"]
    process = subprocess.Popen(
        [*command, *endless], cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "running, epoch" in line:
            break
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 30  # 2 s on a quiet machine
    assert process.returncode == 130, errors
    assert "Stopped after" in output
    assert "run the same command again to continue" in errors
    assert list((tmp_path / "results" / "_checkpoints").rglob("*"))
