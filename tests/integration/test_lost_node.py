"""The node of a running trial is lost; the trial continues on another node."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pandas as pd
import pytest

from orchestrator.store import Store
from tests.conftest import ROOT
from tests.integration.sweeps import run, tables, write_config
from workers.contract import FailureClass

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

CHANGES = {
    "losses": ["dice"],
    "repeats": 1,
    "training": {"max_epochs": 150, "patience": 150, "batch_size": 4},
}


@pytest.fixture
def cluster():
    """A head without slots and a node with one slot; this process is not connected."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    made.shutdown()


def test_lost_node_lets_its_trial_resume_from_the_checkpoint(tmp_path, cluster):
    node = cluster.add_node(num_cpus=1)
    config = write_config(tmp_path, **CHANGES)
    driver = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "run", str(config), "--progress", "json",
         "--set", "cluster.max_failures=0"],
        cwd=ROOT, env=os.environ | {"RAY_ADDRESS": cluster.address},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    checkpoints = tmp_path / "results" / "_checkpoints"
    deadline = time.monotonic() + 90
    while not list(checkpoints.glob("*.pt")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(checkpoints.glob("*.pt")), driver.communicate(timeout=10)
    time.sleep(1)
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    out, err = driver.communicate(timeout=150)
    assert driver.returncode == 0, out + err
    assert '"event": "trial_finished"' in out

    failures = Store(str(tmp_path / "results")).failures()
    assert failures  # Ray can choose the lost node again until it notices the loss
    for failure in failures:
        assert failure.failure_class is FailureClass.INFRASTRUCTURE
        assert failure.message.startswith("its node was lost")
        assert failure.message.endswith("started again")

    (tmp_path / "inline").mkdir()
    run(write_config(tmp_path / "inline", **CHANGES))
    expected, found = tables(tmp_path / "inline" / "results"), tables(tmp_path / "results")
    attempts = [frame["trials"].pop("attempt").tolist() for frame in (expected, found)]
    assert attempts == [[1], [len(failures) + 1]]
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame, check_exact=True)
    seconds = Store(str(tmp_path / "results")).read("epochs", ["seconds"])["seconds"].sum()
    trained = Store(str(tmp_path / "results")).read("trials", ["train_seconds"])["train_seconds"]
    assert trained.item() == pytest.approx(seconds)
