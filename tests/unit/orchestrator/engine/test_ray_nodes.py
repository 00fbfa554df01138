"""What a node must have before a trial goes there; on real nodes in test_cluster.py."""

import dataclasses
import shutil
from datetime import UTC, datetime

import pytest

from orchestrator.config import load_config
from orchestrator.engine.base import TrialJob
from orchestrator.engine.ray_nodes import (
    NUM_CHECKS,
    Admission,
    NodeReport,
    examine,
    needs_of,
    refuse_unlike,
)
from orchestrator.plan.grid import build_grid
from orchestrator.store import Store
from orchestrator.sweep import open_sweep
from tests.integration.sweeps import write_config, write_pictures
from workers.contract import CodeFile, Runtime, UserError

GOOD = NodeReport(fingerprints={"a": "f" * 32}, problems=())


def test_nodes_like_the_driver_are_accepted():
    refuse_unlike(GOOD, {"one": GOOD, "two": GOOD})
    refuse_unlike(GOOD, {})


def test_every_node_that_differs_is_named():
    other = NodeReport(fingerprints={"a": "e" * 32}, problems=())
    without = NodeReport(fingerprints={}, problems=("dataset a: not found. Looked in: /data",))
    with pytest.raises(UserError) as caught:
        refuse_unlike(GOOD, {"one": GOOD, "two": other, "three": without})
    assert str(caught.value).splitlines()[:3] == [
        "2 of 3 other nodes cannot run these trials:",
        "  node two: dataset a: its content differs from the driver's (fingerprint eeeeeeeeeeee, "
        "here ffffffffffff)",
        "  node three: dataset a: not found. Looked in: /data",
    ]
    assert "nothing was started" in str(caught.value)


def jobs_of(config):
    sweep = open_sweep(config)
    assert sweep.config
    roots, cache = sweep.config.roots, sweep.config.data.cache
    jobs = [
        TrialJob(
            trial_id=trial.trial_id,
            spec=trial.spec,
            runtime=Runtime(data_root=roots[trial.spec.dataset.label], cache_dir=cache),
        )
        for trial in sweep.plan.pending
    ]
    return jobs, sweep


@pytest.fixture
def needs(tmp_path):
    write_pictures(tmp_path / "data", "mine")
    mine = {"name": "folder", "alias": "mine", "root": str(tmp_path / "data")}
    config = write_config(tmp_path, datasets=["synthetic-skin", mine])
    jobs, sweep = jobs_of(config)
    sweep.store.save_grid(sweep.grid.document(datetime(2026, 1, 1, tzinfo=UTC)))
    return needs_of(jobs, sweep.store)


def test_a_good_node_reports_fingerprints_of_files(needs):
    found = examine(needs)
    assert found.problems == ()
    assert set(found.fingerprints) == {"mine"}
    assert needs.documents


def test_a_node_without_data_names_the_folder(needs, tmp_path):
    shutil.rmtree(tmp_path / "data")
    (problem,) = examine(needs).problems
    assert problem.startswith(f"dataset mine: not found. Looked in: {tmp_path}/data")


def test_a_node_with_other_data_has_another_fingerprint(needs, tmp_path):
    before = examine(needs).fingerprints
    write_pictures(tmp_path / "data", "mine", seed=1)
    assert examine(needs).fingerprints["mine"] != before["mine"]


def test_a_node_that_cannot_run_a_file_of_code_names_its_line(needs):
    file = CodeFile(path="/home/ada/tilted.py", source="import nowhere_at_all")
    (problem,) = examine(dataclasses.replace(needs, code=(file,))).problems
    assert problem.startswith("/home/ada/tilted.py:1: ModuleNotFoundError: No module named")


def test_results_that_are_not_shared_are_reported(needs, tmp_path):
    shutil.rmtree(tmp_path / "results")
    (problem,) = examine(needs).problems
    assert problem.startswith(f"results: what the driver wrote to {tmp_path}/results is not seen")
    assert Store(str(tmp_path / "results")).grids() == []


def test_needs_name_the_saved_grid(needs, tmp_path):
    assert needs.documents == {build_grid(load_config(tmp_path / "sweep.yaml")).grid_id}


@pytest.fixture
def admitted(needs):
    return Admission(node_ids={"old"}, needs=needs, fingerprints=examine(needs).fingerprints)


def test_only_nodes_that_join_later_are_checked(admitted, tmp_path):
    assert admitted.problem("new") is None
    shutil.rmtree(tmp_path / "data")
    assert admitted.problem("old") is None


def test_a_node_that_joins_has_time_for_its_mounts(admitted, tmp_path):
    (tmp_path / "data").rename(tmp_path / "later")
    pauses = []

    def pause():
        pauses.append(1)
        if len(pauses) == 2:
            (tmp_path / "later").rename(tmp_path / "data")

    assert admitted.problem("new", pause) is None
    assert len(pauses) == 2
    shutil.rmtree(tmp_path / "data")
    assert admitted.problem("new", pause) is None  # it is not asked again


def test_a_node_that_joins_with_other_data_is_refused(admitted, tmp_path):
    pauses = []
    shutil.rmtree(tmp_path / "data")
    problem = admitted.problem("new", lambda: pauses.append(1))
    assert problem.startswith(f"dataset mine: not found. Looked in: {tmp_path}/data")
    assert len(pauses) == NUM_CHECKS - 1
    write_pictures(tmp_path / "data", "mine", seed=1)
    problem = admitted.problem("new", lambda: None)
    assert problem.startswith("dataset mine: its content differs from the driver's")
