"""A sweep as a job of a real Ray cluster with a token, seen by a user outside the cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyarrow import fs

from orchestrator.store import Store
from tests.conformance.faulty_server import FaultyServer, serve
from tests.conftest import ROOT
from tests.integration.ray_nodes import Head, can_hide, head_node, wait, worker_node
from tests.integration.sweeps import assert_same_tables, run, write_config, write_pictures

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    """An S3-compatible server."""
    server, stop = serve()
    yield server
    stop()


@pytest.fixture(scope="module")
def storage(server: FaultyServer) -> dict[str, str]:
    """Returns the variables with which cluster and user connect to the server."""
    return {
        "AWS_ACCESS_KEY_ID": "dummy-key",
        "AWS_SECRET_ACCESS_KEY": "dummy-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
    }


@pytest.fixture(scope="module")
def head(storage: dict[str, str]) -> Iterator[Head]:
    with head_node(storage) as started:
        yield started


@pytest.fixture
def bucket(storage: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in storage.items():
        monkeypatch.setenv(name, text)
    files, _ = fs.FileSystem.from_uri("s3://sweeps?allow_bucket_creation=true")
    files.create_dir("sweeps", recursive=False)
    return "s3://sweeps"


@dataclass
class User:
    """A user with the token, outside the cluster."""

    head: Head
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: object, **environment: str | None) -> subprocess.Popen[str]:
        """Starts a command; a variable that is None is not set."""
        variables = self.head.environment | environment
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=ROOT, env={k: v for k, v in variables.items() if v is not None}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)
        return process

    def submit(self, *arguments: object, **environment: str | None) -> subprocess.Popen[str]:
        address = f"--address={self.head.dashboard}"
        return self.start("orchestrator", "submit", address, *arguments, **environment)

    def ray_job(self, command: str, *arguments: object) -> tuple[int, str, str]:
        address = f"--address={self.head.dashboard}"
        return done(self.start("ray.scripts.scripts", "job", command, address, *arguments))


@pytest.fixture
def user(head: Head) -> Iterator[User]:
    someone = User(head)
    yield someone
    for process in someone.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for a command; returns its exit code, output and errors."""
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        wait(0.3)


def test_submitted_sweep_is_followed_to_its_end_on_cluster_gpus(user, tmp_path):
    # The loss is in a file beside the configuration, which is sent along.
    shutil.copy(ROOT / "tests" / "data" / "own_file.txt", tmp_path / "tilted.py")
    losses = [{"file": "tilted.py", "name": "tilted"}]
    config = write_config(tmp_path, losses=losses, resources={"cpus": 1, "gpus": 1})
    code, output, errors = done(user.submit(config, "--follow", "--set", "name=My sweep"))
    assert code == 0, errors
    job = re.search(r"Submitted as job (my-sweep-[0-9a-f]{12}-1) to", output)
    assert job
    assert "2 of 2 trials have a result" in output
    assert f"Job {job[1]}: SUCCEEDED, exit code 0" in output
    assert "must be a folder that all of them share" in errors
    assert user.head.token not in output + errors
    # Only the cluster has GPUs: a local Ray would have refused. The trials used one or both.
    rows = Store(str(tmp_path / "results")).read("trials")
    assert set(rows["gpu_ids"]) <= {"0", "1"}
    assert set(rows["loss"]) == {"tilted"}
    _, told, _ = user.ray_job("list")
    assert job[1] in told
    assert user.head.token not in told


def slow_checkpoints(server: FaultyServer, seconds: float) -> None:
    """Makes every epoch slow, so that a trial is still training when the test stops the sweep."""

    def decide(_number: int, request: str) -> None:
        if seconds and request.startswith("PUT") and "/_checkpoints/" in request:
            wait(seconds)

    server.decide = decide


@pytest.mark.timeout(400)  # seven commands load Ray; 480 epochs
def test_stopped_sweep_can_be_watched_and_submitted_again(user, server, bucket, tmp_path):
    """Results are on S3; a reader needs only their URI and the credentials."""
    slow_checkpoints(server, 0.1)
    results = f"{bucket}/interrupted"
    training = {"max_epochs": 40, "patience": 40, "batch_size": 4}
    config = write_config(tmp_path, training=training, repeats=3, results=results)
    follower = user.submit(config, "--follow")
    store = Store(results)
    until(lambda: store.grids() and store.committed() and any(r.running for r in store.runs()))
    slow_checkpoints(server, 1)

    outside = {"RAY_AUTH_MODE": None, "RAY_AUTH_TOKEN": None}
    status, report = (
        user.start("orchestrator", "status", results, "--json", **outside),
        user.start("orchestrator", "report", results, "--out", tmp_path / "report", **outside),
    )
    again = user.submit(config)
    code, _, errors = done(again)
    assert code == 2
    assert re.search(r"already runs at http://.* as job tiny-[0-9a-f]{12}-1; .*--stop", errors)
    code, output, errors = done(user.submit(config, "--stop"))
    assert (code, "STOPPED" in output) == (0, True), errors

    code, output, _ = done(follower)
    assert code == 130
    assert "Stopped. Finished trials are kept" in output
    assert re.search(r"Job tiny-[0-9a-f]{12}-1: STOPPED, exit code 130", output)
    code, output, errors = done(status)
    assert code == 0, errors
    seen = json.loads(output)
    assert seen["num_trials"] == 6
    assert 1 <= seen["completed"] < 6
    code, _, errors = done(report)
    assert code == 0, errors
    assert (tmp_path / "report" / "index.html").stat().st_size > 10_000

    assert not store.runs()  # the driver ended in order: it was not killed
    before = set(store.committed())
    files, path = fs.FileSystem.from_uri(results)
    assert files.get_file_info(fs.FileSelector(f"{path}/_checkpoints"))
    slow_checkpoints(server, 0)
    code, output, errors = done(user.submit(config, "--follow"))
    assert code == 0, output[-3000:] + errors
    assert re.search(r"Job tiny-[0-9a-f]{12}-2: SUCCEEDED", output)
    assert f"6 trials: {6 - len(before)} to run, {len(before)} skipped" in output
    (tmp_path / "calm").mkdir()
    calm = write_config(tmp_path / "calm", training=training, repeats=3)
    run(calm, "runtime.checkpoint_interval_seconds=60")  # without 240 checkpoints
    assert_same_tables(tmp_path / "calm" / "results", results)
    code, output, _ = done(user.submit(config, "--stop"))
    assert (code, output) == (0, f"No job of tiny runs at {user.head.dashboard}\n")


def test_plain_ray_job_submit_reports_failures_by_exit_code(user, tmp_path):
    """The working directory is uploaded; results in it would be lost, so they are refused."""
    unknown = {"architecture": "Unet", "encoder": "tu-no_such_network"}
    models = [
        {"name": "unet", "parameters": {"width": 4}},
        {"name": "smp", "alias": "broken", "parameters": unknown},
    ]
    (tmp_path / "code").mkdir()
    write_config(tmp_path / "code", models=models, repeats=1, losses=["dice"])
    command = ["submit", "--working-dir", tmp_path / "code"]
    sweep = ["--", "python", "-m", "orchestrator", "run", "sweep.yaml", "--set"]
    code, output, errors = user.ray_job(*command, *sweep, "results=results")
    assert code != 0
    assert "lies in the working directory of a Ray job" in output + errors
    code, output, errors = user.ray_job(*command, *sweep, f"results={tmp_path}/results")
    assert code != 0
    assert "1 of 2 trials have a result" in output + errors
    assert len(Store(str(tmp_path / "results")).committed()) == 1
    assert not (tmp_path / "code" / "results").exists()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"RAY_AUTH_TOKEN": "0" * 64}, "Invalid authentication token"),
        ({"RAY_AUTH_TOKEN": None, "RAY_AUTH_MODE": None}, "Missing authentication token"),
    ],
)
def test_a_wrong_token_is_reported_with_the_remedy(user, tmp_path, environment, reason):
    home = {"HOME": str(tmp_path)}  # a token of the real user would be read there
    config = write_config(tmp_path)
    code, output, errors = done(user.submit(config, **environment | home))
    assert (code, output) == (2, "")
    assert reason in errors
    assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in errors
    assert "Traceback" not in errors
    assert user.head.token not in errors


def test_an_unreachable_job_server_is_reported(user, tmp_path):
    code, _, errors = done(user.submit(write_config(tmp_path), "--address=http://127.0.0.1:9"))
    assert code == 2
    assert "no answer from a Ray job server at" in errors


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """Returns a folder with images that a second node cannot see; it can see the results."""
    if not can_hide():
        pytest.skip("this user may not mount")
    write_pictures(tmp_path / "node" / "data", "mine")
    return tmp_path / "node"


def sweep_of(hidden: Path, **changes: object) -> Path:
    """Writes the configuration of a sweep with data and cache in the hidden folder."""
    return write_config(
        hidden.parent,
        datasets=[{"name": "folder", "alias": "mine"}],
        data={"root": str(hidden / "data"), "image_size": 32, "cache": str(hidden / "cache")},
        **changes,
    )


def test_node_without_data_is_named_and_can_use_an_archive(user, hidden, tmp_path):
    data = hidden / "data"
    config = sweep_of(hidden, repeats=1)
    with tarfile.open(tmp_path / "data.tar.gz", "w:gz") as tar:
        tar.add(data, arcname=".")
    with worker_node(user.head, hidden):
        code, output, errors = done(user.submit(config, "--follow"))
        assert code == 2, errors
        assert "1 of 1 other nodes cannot run these trials:" in output
        assert re.search(rf"node .+ \(.+\): dataset mine: .*{data}", output)
        address = f"cluster.address=127.0.0.1:{user.head.port}"
        code, _, errors = done(user.start("orchestrator", "tune", config, "--set", address))
        assert code == 2, errors
        assert re.search(rf"node .+ \(.+\): dataset mine: .*{data}", errors)
        assert not Store(str(tmp_path / "results")).failures()
        archive = f"data.root={tmp_path}/data.tar.gz"
        code, output, errors = done(user.submit(config, "--follow", "--set", archive))
        assert code == 0, output
        assert "2 of 2 trials have a result" in output


def test_joining_node_without_data_takes_no_trial(user, server, bucket, hidden):
    slow_checkpoints(server, 0.5)
    config = sweep_of(
        hidden,
        training={"max_epochs": 20, "patience": 20, "batch_size": 4},
        repeats=3,
        results=f"{bucket}/joined",
    )
    store = Store(f"{bucket}/joined")
    follower = user.submit(config, "--follow")
    until(lambda: store.grids() and any(run.running for run in store.runs()))
    with worker_node(user.head, hidden):
        until(store.failures)
        slow_checkpoints(server, 0)
        code, output, errors = done(follower)
    assert code == 0, output + errors
    assert "6 of 6 trials have a result" in output
    (message,) = {row.message for row in store.failures()}
    assert re.match(rf"node .+ joined later and cannot run it: dataset mine: .*{hidden}", message)
