"""A cluster that is not there, a folder Ray cannot use, and signals to a whole process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
import ray

from orchestrator.engine import ray_cluster
from orchestrator.engine.ray_cluster import ClusterOptions, connect
from orchestrator.engine.signals import handled, kept_from_children, raise_on_signals, stop_signals
from tests.integration.ray_nodes import free_ports
from workers.contract import UserError


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("", 0))
        listening.listen(8)
        yield listening.getsockname()[1]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


def test_an_address_without_a_cluster_names_its_key(monkeypatch):
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    message = rf"cluster\.address: no Ray cluster at '{address}': .*Connection refused; start one"
    with pytest.raises(UserError, match=message), connect(ClusterOptions(address=address)):
        pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match="RAY_ADDRESS: no Ray cluster"), connect(ClusterOptions()):
        pass


@pytest.mark.parametrize("address", ["no.such.host.invalid:6379", "127.0.0.1", "ray://", "host:x"])
def test_an_invalid_address_is_refused(address):
    with (
        pytest.raises(UserError, match="no Ray cluster at"),
        connect(ClusterOptions(address=address)),
    ):
        pass


def test_a_port_of_another_server_is_refused(silent, monkeypatch):
    monkeypatch.setattr(ray_cluster, "ANSWER_SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(UserError, match="does not answer as the head of a cluster within 1 s"):
        ray_cluster._reach(f"127.0.0.1:{silent}", "cluster.address")
    assert time.monotonic() - began < 10


def test_ctrl_c_ends_the_wait_for_an_address(silent):
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ray_cluster._reach(f"127.0.0.1:{silent}", "cluster.address")
    assert time.monotonic() - began < ray_cluster.ANSWER_SECONDS / 2


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
@pytest.mark.parametrize("kind", ["below a file", "too long"])
def test_an_unusable_folder_of_ray_is_named(tmp_path, monkeypatch, variable, kind):
    folder = tmp_path / ("file" if kind == "below a file" else "x" * 80)
    if kind == "below a file":
        folder.touch()
    else:
        folder.mkdir()
    monkeypatch.setenv(variable, str(folder))
    reason = "Not a directory" if kind == "below a file" else "path length cannot exceed 107 bytes"
    message = (
        f"^{variable}={folder}: Ray cannot keep its files and sockets there: .*{reason}.*; set"
    )
    with pytest.raises(UserError, match=message), connect(ClusterOptions(num_cpus=1)):
        pass
    assert not ray.is_initialized()


def test_an_unwritable_file_below_home_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/ray")
    error = NotADirectoryError(20, "Not a directory", str(tmp_path / "file" / ".ray"))
    assert ray_cluster._folder_problem(error) == (
        f"{tmp_path}/file/.ray: Ray cannot write it: Not a directory; set HOME to a folder that "
        "you can write"
    )


def test_children_ignore_signals_to_their_group():
    with kept_from_children():
        deaf = subprocess.Popen(["sleep", "60"])
    hearing = subprocess.Popen(["sleep", "60"])
    try:
        for number in stop_signals():
            os.kill(deaf.pid, number)
        hearing.terminate()
        assert hearing.wait(10) == -signal.SIGTERM
        assert deaf.poll() is None
    finally:
        deaf.kill()
        deaf.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_handlers_are_set_and_restored(number):
    heard: list[int] = []
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    with handled(lambda *_: None):
        raise_on_signals()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        with handled(lambda found, _: heard.append(found)):
            signal.raise_signal(number)
    assert heard == [number]
    assert signal.getsignal(number) is not signal.SIG_IGN


def test_a_command_under_nohup_ignores_sighup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled(lambda *_: None):
            raise_on_signals()
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
