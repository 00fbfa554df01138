"""Real Ray clusters with several nodes on this machine, whose nodes can be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import psutil

START_SECONDS = 60

NUM_NODES = 2
"""Nodes with one CPU each; the head has no CPU, as in clusters that run no trials on the head."""


class Cluster(Protocol):
    """Methods of a cluster that a round needs."""

    address: str

    def roots(self) -> list[int]:
        """Process ids at the top of each node, the head's first."""
        ...

    def mend(self) -> None:
        """Replaces the nodes that were killed."""
        ...

    def close(self) -> None:
        """Ends every process."""
        ...


def family(process_id: int) -> list[psutil.Process]:
    """Returns a process and its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        return [process, *process.children(recursive=True)]
    return []


def kill_family(process_id: int) -> None:
    """Ends a process and its descendants with SIGKILL, and waits until they have ended."""
    members = family(process_id)
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)
    psutil.wait_procs(members, timeout=10)


def kill_node_of(cluster: Cluster, process_id: int) -> None:
    """Ends the node (not the head) on which a process runs, with all its processes."""
    for root in cluster.roots()[1:]:
        if process_id in [member.pid for member in family(root)]:
            kill_family(root)
            return
    msg = f"process {process_id} runs on no node of {cluster.roots()}"
    raise LookupError(msg)


class StartedCluster:
    """Nodes started as a user starts them: `ray start --head`, `ray start --address`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._scratch = tempfile.TemporaryDirectory(prefix="pc-")  # short: Ray makes sockets in it
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._head: subprocess.Popen[bytes] | None = None
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._num_starts = 0
        self.mend()

    def roots(self) -> list[int]:
        """See `Cluster`; a node's other processes are children of `ray start --block`."""
        assert self._head is not None
        return [self._head.pid, *(node.pid for node in self._nodes)]

    def mend(self) -> None:
        """See `Cluster`; a new head begins a new cluster at the same address."""
        if self._head is None or self._head.poll() is not None:
            self._end_nodes()
            self._head = self._start(
                "--head", f"--port={self._port}", "--num-cpus=0", "--include-dashboard=false",
                f"--temp-dir={self._scratch.name}",
            )  # fmt: skip
        self._nodes = [node for node in self._nodes if node.poll() is None]
        while len(self._nodes) < NUM_NODES:
            self._nodes.append(self._start(f"--address={self.address}", "--num-cpus=1"))

    def close(self) -> None:
        """See `Cluster`."""
        self._end_nodes()
        if self._head is not None:
            kill_family(self._head.pid)
            self._head.wait()
        self._scratch.cleanup()

    def _end_nodes(self) -> None:
        for node in self._nodes:
            kill_family(node.pid)
            node.wait()
        self._nodes = []

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts one node and waits for it: two concurrent starts can pick the same ports."""
        self._num_starts += 1
        text = Path(self._scratch.name, f"output-{self._num_starts}")
        with text.open("wb") as output:
            node = subprocess.Popen(
                [Path(sys.executable).with_name("ray"), "start", "--block",
                 "--disable-usage-stats", "--node-ip-address=127.0.0.1",
                 "--dashboard-agent-listen-port=0", "--min-worker-port=0", "--max-worker-port=0",
                 "--object-store-memory=100000000", *arguments],
                env=self._environment, start_new_session=True, stdout=output, stderr=output,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in text.read_text(encoding="utf-8"):
            if node.poll() is not None or time.monotonic() > deadline:
                kill_family(node.pid)
                raise RuntimeError(text.read_text(encoding="utf-8"))
            time.sleep(0.1)
        return node


class UtilityCluster:
    """The test cluster of Ray; its head is not killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        os.environ.update(environment)  # Ray reads some of it when it is loaded
        from ray.cluster_utils import Cluster as RayCluster

        self._cluster: Any = RayCluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        self.address: str = self._cluster.address
        self._nodes: list[Any] = []
        self.mend()

    def roots(self) -> list[int]:
        """See `Cluster`: the raylets, whose children are the workers."""
        return [raylet(node).pid for node in (self._cluster.head_node, *self._nodes)]

    def mend(self) -> None:
        """See `Cluster`."""
        gone = [node for node in self._nodes if raylet(node).poll() is not None]
        for node in gone:
            self._cluster.remove_node(node, allow_graceful=False)
            self._nodes.remove(node)
        while len(self._nodes) < NUM_NODES:
            self._nodes.append(self._cluster.add_node(num_cpus=1, object_store_memory=10**8))

    def close(self) -> None:
        """See `Cluster`."""
        self._cluster.shutdown()


def raylet(node: Any) -> subprocess.Popen[bytes]:
    """Returns a node's raylet."""
    process: subprocess.Popen[bytes] = node.all_processes["raylet"][0].process
    return process


def free_port() -> int:
    """Returns a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
