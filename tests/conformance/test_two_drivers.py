"""Two drivers on one store: every trial is trained once, also if one of them is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import fs

from orchestrator.engine.base import utc_now
from orchestrator.store import RunRecord, Store
from orchestrator.store.drivers import SILENT
from orchestrator.sweep import open_sweep
from tests.conformance.faulty_server import serve
from tests.conftest import ROOT
from tests.integration.sweeps import assert_same_tables, run, write_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LOSSES = ["dice", "bce", "focal", "iou"]
TRAINING = {"max_epochs": 16, "patience": 16, "batch_size": 4}


class Driver:
    """A `podium run` in a separate process."""

    def __init__(self, config: Path, engine: str = "inline") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", str(config), "--engine", engine,
             "--progress", "json"],
            cwd=ROOT, start_new_session=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.events: list[dict[str, Any]] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """Reads the output until an event with this name."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        raise AssertionError(event)

    def kill(self) -> None:
        """Kills the process and its children."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()

    def end(self) -> tuple[int, str]:
        """Returns exit code and messages."""
        output, messages = self.process.communicate()
        self.events += [json.loads(line) for line in output.splitlines()]
        return self.process.returncode, messages

    @property
    def trained(self) -> Counter[str]:
        """Counts the trainings of each trial."""
        return Counter(
            event["trial_id"]
            for event in self.events
            if event["event"] == "epoch" and event["epoch"] == 1
        )


Start = Callable[..., Driver]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts drivers and ends them after the test."""
    started = []

    def start(config: Path, engine: str = "inline") -> Driver:
        started.append(Driver(config, engine))
        return started[-1]

    yield start
    for driver in started:
        driver.kill()


def assert_one_row_each(results: Path, number: int) -> None:
    trials = pd.read_parquet(results / "trials")
    assert len(trials) == trials["trial_id"].nunique() == number
    assert list(results.glob("_claims/*")) == list(results.glob("_runs/*")) == []
    assert list(results.glob("_checkpoints/*")) == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(write_config(folder, losses=LOSSES, training=TRAINING))
    return folder / "results"


def test_two_drivers_train_every_trial_once(
    start: Start, tmp_path: Path, undisturbed: Path
) -> None:
    config = write_config(tmp_path, losses=LOSSES, training=TRAINING)
    drivers = [start(config), start(config)]
    ends = [driver.end() for driver in drivers]
    assert [code for code, _ in ends] == [0, 0], ends
    trained = drivers[0].trained + drivers[1].trained
    assert len(trained) == trained.total() == 8
    assert min(driver.trained.total() for driver in drivers) > 0
    assert_one_row_each(tmp_path / "results", 8)
    assert_same_tables(undisturbed, tmp_path / "results")


def test_overlapping_grids_share_their_common_trials(
    start: Start, tmp_path: Path, undisturbed: Path
) -> None:
    configs = []
    for name, losses in (("one", LOSSES[:3]), ("two", LOSSES[1:])):
        (tmp_path / name).mkdir()
        changes = {"results": str(tmp_path / "results"), "losses": losses, "training": TRAINING}
        configs.append(write_config(tmp_path / name, **changes))
    drivers = [start(config) for config in configs]
    assert [driver.end()[0] for driver in drivers] == [0, 0]
    trained = drivers[0].trained + drivers[1].trained
    assert len(trained) == trained.total() == 8
    assert_one_row_each(tmp_path / "results", 8)
    assert_same_tables(undisturbed, tmp_path / "results")


def test_second_driver_takes_over_from_a_killed_driver(
    start: Start, tmp_path: Path, undisturbed: Path
) -> None:
    config = write_config(tmp_path, losses=LOSSES, training=TRAINING)
    first = start(config)
    running = first.wait_for("epoch")["trial_id"]
    os.killpg(first.process.pid, signal.SIGSTOP)  # looks like a long training
    done = len(list((tmp_path / "results" / "trials").glob("*")))
    second = start(config)
    left = second.wait_for("trial_left")
    assert left["trial_id"] == running
    assert left["message"].startswith(f"process {first.process.pid} on ")
    status = [sys.executable, "-m", "orchestrator", "status", str(tmp_path / "results")]
    shown = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for driver in (first, second):
        assert f"Process {driver.process.pid} on " in shown
    assert second.process.stderr is not None
    notes = [second.process.stderr.readline() for _ in range(2)]
    assert f"process {first.process.pid} on " in notes[0]
    assert re.search(r"8 trials, 0 ended, [01] running; this driver does", notes[0])
    assert f"1 that process {first.process.pid} on " in notes[1]
    assert "this driver trains those that remain unfinished" in notes[1]
    assert len(Store(str(tmp_path / "results")).committed()) == 7
    first.kill()
    assert second.end()[0] == 0
    assert first.trained + second.trained - Counter([running]) == Counter(second.trained)
    assert len(second.trained | first.trained) == 8 - done
    assert_one_row_each(tmp_path / "results", 8)
    assert_same_tables(undisturbed, tmp_path / "results")


def test_driver_waits_one_minute_for_a_lost_machine(start: Start, tmp_path: Path) -> None:
    """Returns the document of a driver on another machine, written 55 seconds ago."""
    config = write_config(tmp_path, losses=["dice"], repeats=1)
    store = Store(str(tmp_path / "results"))
    (trial_id,) = (trial.trial_id for trial in open_sweep(config).plan.pending)
    now = utc_now()
    lost = RunRecord(
        run_id="lost", grid_id="g", host="another-machine", process_id=7, started_at=now,
        heartbeat_at=now - SILENT + timedelta(seconds=12), num_pending=1,
    )  # fmt: skip
    store.save_run(lost)
    store.claims("lost").claim(trial_id, now)
    driver = start(config)
    code, messages = driver.end()
    assert code == 0
    assert "process 7 on another-machine" in messages
    assert (
        "waiting for the last trials: 1 that process 7 on another-machine is training" in messages
    )
    assert driver.trained == {trial_id: 1}
    assert utc_now() - now > timedelta(seconds=12)
    assert_one_row_each(tmp_path / "results", 1)


@pytest.mark.usefixtures("s3_environment")
def test_two_drivers_on_an_object_store(
    start: Start, tmp_path: Path, s3_bucket: str, undisturbed: Path
) -> None:
    location = f"s3://{s3_bucket}/results"
    config = write_config(tmp_path, losses=LOSSES, training=TRAINING, results=location)
    drivers = [start(config), start(config)]
    ends = [driver.end() for driver in drivers]
    assert [code for code, _ in ends] == [0, 0], ends
    trained = drivers[0].trained + drivers[1].trained
    assert len(trained) == trained.total() == 8
    assert_same_tables(undisturbed, location)


@pytest.mark.ray
@pytest.mark.usefixtures("s3_environment")
def test_two_clusters_share_one_store(
    start: Start,
    tmp_path: Path,
    s3_bucket: str,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Epochs last a second until both clusters train, even if one of them starts late."""
    server, stop = serve()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    location, both_train = f"s3://{s3_bucket}/clusters", threading.Event()

    def slow(_number: int, request: str) -> None:
        if request.startswith("PUT") and "/_checkpoints/" in request:
            both_train.wait(1)

    server.decide = slow
    changes = {"cluster": {"cpus": 1}, "results": location}
    config = write_config(tmp_path, losses=LOSSES, training=TRAINING, **changes)
    try:
        drivers = [start(config, "ray"), start(config, "ray")]
        store = Store(location)
        wanted = {trial.trial_id for trial in open_sweep(config).plan.pending}
        claims = store.claims("an onlooker")
        while len({run.run_id for run in claims.of_others(wanted, utc_now()).values()}) < 2:
            assert all(driver.process.poll() is None for driver in drivers)
            threading.Event().wait(0.5)
        both_train.set()
        ends = [driver.end() for driver in drivers]
        assert [code for code, _ in ends] == [0, 0], ends
        # Ray forwards at most one epoch per second, so trainings are counted by their last event.
        left = [sum(e["event"] == "trial_left" for e in driver.events) for driver in drivers]
        assert sum(left) > 0
        trials = store.read("trials")
        assert len(trials) == trials["trial_id"].nunique() == trials["committed_at"].nunique() == 8
        files, path = fs.FileSystem.from_uri(location)
        for folder in ("_claims", "_runs", "_checkpoints"):
            selector = fs.FileSelector(f"{path}/{folder}", allow_not_found=True)
            assert files.get_file_info(selector) == []
        assert_same_tables(undisturbed, location)
    finally:
        stop()
