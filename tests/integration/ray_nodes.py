"""Real nodes of a Ray cluster, started by `ray start` with a token."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

START_SECONDS = 60
_SYSTEM = ("RAY_", "PODIUM_", "AWS_")


@dataclass(frozen=True, kw_only=True)
class Head:
    """A running head node.

    Attributes:
        port: The port of the cluster.
        dashboard: Address of its dashboard and job server.
        token: The token of every node and client.
        temp_dir: The folder of its sessions.
        environment: The variables for commands of a user who has the token.
    """

    port: int
    dashboard: str
    token: str
    temp_dir: Path
    environment: dict[str, str]


def free_ports(number: int) -> list[int]:
    """Returns ports on which no process listens."""
    sockets = [socket.socket() for _ in range(number)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@contextmanager
def head_node(extra: dict[str, str]) -> Iterator[Head]:
    """Starts a head with two CPUs and two logical GPUs; kills its process group at the end."""
    port, dashboard, client, agent, metrics = free_ports(5)
    token = secrets.token_hex(32)
    clean = {key: text for key, text in os.environ.items() if not key.startswith(_SYSTEM)}
    environment = clean | extra | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    # A path of a socket can have 107 characters: a folder from pytest would be too long.
    temp_dir = Path(tempfile.mkdtemp(prefix="podium-ray-"))
    command = [
        "--head", f"--port={port}", "--num-gpus=2", "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
        f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={metrics}",
        f"--temp-dir={temp_dir}",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{dashboard}"
    try:
        with _node(command, environment, temp_dir / "head.log") as process:
            _await("Ray runtime started", process, temp_dir / "head.log")
            yield Head(
                port=port,
                dashboard=url,
                token=token,
                temp_dir=temp_dir,
                environment=environment,
            )
    finally:
        shutil.rmtree(temp_dir, ignore_errors=True)


@contextmanager
def worker_node(head: Head, hidden: Path) -> Iterator[None]:
    """Starts a second node, which sees an empty folder in place of `hidden`."""
    agent, metrics = free_ports(2)
    command = [
        f"--address=127.0.0.1:{head.port}", f"--dashboard-agent-listen-port={agent}",
        f"--metrics-export-port={metrics}",
    ]  # fmt: skip
    # The node has its own mount namespace, in which the folder is empty. The folder into which
    # Ray unpacks uploads is separate too: two nodes on a machine would remove each other's files.
    uploads = head.temp_dir / "session_latest" / "runtime_resources"
    hide = 'mount -t tmpfs none "$0" && mount -t tmpfs none "$1" && shift && exec "$@"'
    mounted = ["unshare", "--mount", "sh", "-c", hide, str(hidden), str(uploads)]
    log = head.temp_dir / "worker.log"
    with _node(command, head.environment, log, mounted) as process:
        _await("Ray runtime started", process, log)
        yield


def can_hide() -> bool:
    """Returns whether this user can mount a folder for a single process."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def _node(
    command: list[str], environment: dict[str, str], log: Path, before: list[str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(before or []), sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
                "--num-cpus=2", "--node-ip-address=127.0.0.1", "--disable-usage-stats",
                "--object-store-memory=100000000", *command,
            ],
            cwd=log.parent, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process group of a node; its workers then end by themselves."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _await(text: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until the log of a node has this text: head and dashboard then respond."""
    deadline = time.monotonic() + START_SECONDS
    while text not in (said := log.read_text(errors="replace")):
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(said)
        wait(0.2)


def wait(seconds: float) -> None:
    """Sleeps: the clock of other processes cannot be replaced by a test."""
    threading.Event().wait(seconds)
