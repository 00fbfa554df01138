"""The short form: every process of a real cluster is killed once, at a critical instant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.clusters import StartedCluster
from tests.chaos.rounds import CHANGES, Round, environment
from tests.conftest import ROOT
from tests.integration.sweeps import run, write_config

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]

SEED = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all rounds, with the results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("chaos")
    (folder / "undisturbed").mkdir()
    run(write_config(folder / "undisturbed", **CHANGES))
    return folder


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[StartedCluster]:
    """A cluster of `ray start`."""
    cluster = StartedCluster(environment(folder))
    yield cluster
    cluster.close()


@pytest.mark.parametrize(
    ("target", "instant"),
    [
        ("driver", "cache"),
        ("node", "commit"),
        ("driver", "compaction"),
        ("head", "training"),
    ],
)
def test_killing_any_target_loses_nothing_and_repeats_nothing(
    cluster: StartedCluster, folder: Path, target: str, instant: str
) -> None:
    result = Round(cluster, folder, target, instant, SEED).play(folder / "undisturbed" / "results")
    assert result.good, result


def test_script_runs_with_the_test_cluster_of_ray() -> None:
    command = ["--utility", "--rounds", "1", "--targets", "worker", "--instants", "checkpoint"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.long", *command, "--seed", str(SEED)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all |  | 1 | 0 | 0 | 0 | 0 |" in done.stdout
