"""docker/slurm.sh with stand-ins for srun, scontrol, ray and podium: its calls and its end.

The script was run by hand with a real Ray; no Slurm was available.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.ray_nodes import wait
from tests.unit.docker.files import DOCKER

pytestmark = pytest.mark.timeout(60)

STANDINS = {
    "srun": """
        echo "srun $*" >> "$LOG"
        while [[ $1 == --* ]]; do shift; done
        if [ "$1" = hostname ]; then echo "$ADDRESSES"; else exec "$@"; fi
    """,
    "scontrol": """
        echo "scontrol $*" >> "$LOG"
        if [ "$1" = show ]; then printf '%s\\n' $NODES; fi
    """,
    "ray": """
        case "$1 $2" in
        "start --head") mkdir -p "$RAY_FOLDER/session"; [ -z "$HEAD_FAILS" ] || exit 1 ;;
        "list nodes") echo "$JOINED"; exit 0 ;;
        "job list") exit 0 ;;
        esac
        echo "ray began" >> "$LOG"
        trap 'echo "ray ended" >> "$LOG"; exit 0' TERM
        while true; do sleep 0.05; done
    """,
    "podium": """
        echo "podium $* at $RAY_API_SERVER_ADDRESS" >> "$LOG"
        if [[ $* == *--follow* ]]; then sleep "$FOLLOWS" & trap 'kill $!' TERM; wait $!; exit 3; fi
    """,
}


@dataclass(frozen=True)
class Slurm:
    """A job of two nodes, before it starts."""

    folder: Path
    environment: dict[str, str]

    def start(self, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(DOCKER / "slurm.sh"), "c.yaml", "--set", "seed=1"],
            env=self.environment | changes, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, **changes: str) -> tuple[int, str]:
        """Returns the exit code and the text of standard error."""
        process = self.start(**changes)
        _, errors = process.communicate(timeout=40)
        return process.returncode, errors

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def await_log(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in self.log:
            assert time.monotonic() < deadline, self.log
            wait(0.05)


@pytest.fixture
def slurm(tmp_path) -> Slurm:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in STANDINS.items():
        (commands / name).write_text("#!/bin/bash" + text)
        (commands / name).chmod(0o755)
    path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {
        "PATH": path, "LOG": str(tmp_path / "log"), "RAY_FOLDER": str(tmp_path / "ray"),
        "ADDRESSES": "10.1.2.3", "NODES": "n1 n2", "JOINED": "[{}, {}]", "FOLLOWS": "0.1",
        "HEAD_FAILS": "", "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "6", "SLURM_GPUS_ON_NODE": "4",
    }  # fmt: skip
    return Slurm(tmp_path, environment)


def ended_well(slurm: Slurm) -> bool:
    """Returns whether Ray ended on both nodes and removed its folder."""
    return slurm.log.count("ray ended") == 2 and not (slurm.folder / "ray").exists()


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("10.1.2.3 172.17.0.1", "10.1.2.3"),
        ("127.0.1.1 192.168.1.5", "192.168.1.5"),
        ("::1 fe80::1 fd00::7 10.1.2.3", "10.1.2.3"),
        ("169.254.3.4 fe80::1 fd00::7", "[fd00::7]"),
    ],
)
def test_nodes_and_client_get_a_reachable_address(slurm, given, host):
    code, _ = slurm.run(ADDRESSES=given)
    assert code == 3  # of podium submit
    plain = host.strip("[]")
    starts = [line for line in slurm.log.splitlines() if "ray start" in line]
    worker, head = sorted(starts, key=lambda line: "--head" in line)
    assert f"--node-ip-address={plain} --port=24711 --dashboard-host={plain}" in head
    assert f"ray start --block --address={host}:24711" in worker
    assert f"podium submit c.yaml --set seed=1 --follow at http://{host}:34711" in slurm.log
    assert ended_well(slurm)


def test_head_without_reachable_address_is_refused_by_default(slurm):
    code, errors = slurm.run(ADDRESSES="127.0.1.1 fe80::1")
    assert code == 1
    assert "node n1 has no address that other nodes can reach (127.0.1.1 fe80::1)" in errors
    assert slurm.run(ADDRESSES="127.0.1.1", HEAD_ADDRESS="10.9.9.9")[0] == 3
    assert "--address=10.9.9.9:24711" in slurm.log


@pytest.mark.parametrize(("gpus", "expected"), [({}, 4), ({"GPUS": "0"}, 0), ({"GPUS": "2"}, 2)])
def test_cpus_are_passed_on_and_gpus_are_a_variable(slurm, gpus, expected):
    slurm.run(**gpus)
    calls = [line for line in slurm.log.splitlines() if line.startswith("srun")]
    assert len(calls) == 3
    assert all("--cpus-per-task=6" in line for line in calls)
    starts = [line for line in calls if "ray start" in line]
    assert all(f"--num-cpus=6 --num-gpus={expected}" in line for line in starts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"JOINED": json.dumps([{}]), "JOIN_SECONDS": "1"},
            "error: 1 of 2 nodes joined the cluster within 1 s; they reach the head at "
            "10.1.2.3:24711",
        ),
        ({"HEAD_FAILS": "yes", "JOINED": "[]"}, "error: Ray ended on node n1; its output is above"),
    ],
)
def test_fewer_nodes_than_allocated_stop_with_the_reason(slurm, changes, message):
    code, errors = slurm.run(**changes)
    assert code == 1
    assert message in errors
    assert "podium" not in slurm.log
    assert not (slurm.folder / "ray").exists()


def test_scancel_ends_everything_and_queues_nothing(slurm):
    process = slurm.start(FOLLOWS="50")
    slurm.await_log("--follow")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert "requeue" not in slurm.log
    assert ended_well(slurm)


def test_job_near_its_time_limit_stops_and_queues_a_new_job(slurm):
    process = slurm.start(FOLLOWS="50")
    slurm.await_log("--follow")
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert "podium submit c.yaml --set seed=1 --stop" in slurm.log
    assert slurm.log.strip().endswith("scontrol requeue 4711")
    assert ended_well(slurm)
