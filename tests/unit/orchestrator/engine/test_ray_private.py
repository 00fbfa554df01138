"""Names of Ray that are not part of its documented interface: where they are used, and as what."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import ActorUnavailableError, OutOfMemoryError
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial

from orchestrator.engine import ray_private
from tests.conftest import ROOT

PRODUCT = [path for top in ("orchestrator", "workers") for path in (ROOT / top).rglob("*.py")]


def private_names(path: Path) -> list[str]:
    """Returns the dotted names below `ray` with a part that begins with an underscore."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute | ast.Constant):
            names.append(ast.unparse(node).strip("'"))
    return [name for name in names if re.fullmatch(r"ray\.([\w.]+\.)?_\w[\w.]*", name)]


def test_private_names_of_ray_are_in_one_file():
    found = {path.name for path in PRODUCT if private_names(path)}
    assert found == {"ray_private.py"}


def test_variables_for_ray_are_ones_that_ray_reads():
    named = {
        name
        for path in PRODUCT
        for name in re.findall(r"\"((?:TUNE|RAY)_[A-Z_]+)\"", path.read_text())
    }
    assert set(ray_private.SETTINGS) < named
    sources = "\n".join(
        path.read_text(errors="replace")
        for folder in ("_private", "air", "dashboard", "train", "tune")
        for path in (Path(ray.__file__).parent / folder).rglob("*.py")
    )
    assert {name for name in named if name not in sources} == set()


@pytest.mark.parametrize("name", ray_private.JOB_LOGGERS)
def test_a_logger_is_a_module_of_ray(name):
    assert importlib.util.find_spec(name) is not None


def test_local_cpus_and_gpus_are_counted(monkeypatch):
    assert ray_private.num_local_cpus() >= 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert ray_private.num_local_gpus() == 0


def test_an_address_becomes_host_and_port():
    assert ray_private.head_address("local") is None
    assert ray_private.head_address("192.0.2.1:6379") == "192.0.2.1:6379"
    with pytest.raises(ValueError, match="host:x:y"):
        ray_private.head_address("host:x:y")


@pytest.fixture
def storage(tmp_path, monkeypatch) -> StorageContext:
    """Returns where Tune keeps the files of an attempt."""
    monkeypatch.setattr(
        "ray.train._internal.storage._get_ray_train_session_dir", lambda: str(tmp_path / "session")
    )
    return StorageContext(
        storage_path=str(tmp_path / "kept"), experiment_dir_name="sweep", trial_dir_name="a-1"
    )


def test_the_error_of_an_attempt_is_read(storage):
    """With Tune's own trials: its `get_error` would find nothing before the end."""
    trial = Trial("any", stub=True, storage=storage)
    assert ray_private.error_of(trial) == (None, "")
    trial.init_local_path()
    trial.handle_error(ActorUnavailableError("Socket closed", None))
    error, text = ray_private.error_of(trial)
    assert isinstance(error, ActorUnavailableError)
    assert "Socket closed" in text


def test_an_error_that_tune_does_not_keep_is_text(storage):
    trial = Trial("any", stub=True, storage=storage)
    trial.init_local_path()
    trial.handle_error(OutOfMemoryError("the node running low on memory"))  # type: ignore[arg-type]
    error, text = ray_private.error_of(trial)
    assert error is None
    assert text.endswith("running low on memory\n")


def test_the_process_of_an_attempt_is_killed(storage, monkeypatch):
    killed: list[object] = []
    monkeypatch.setattr("ray.kill", killed.append)
    trial: Any = Trial("any", stub=True, storage=storage)
    assert trial.temporary_state.ray_actor is None
    trial.temporary_state.ray_actor = "an actor"
    ray_private.kill_attempt(trial)
    assert killed == ["an actor"]
