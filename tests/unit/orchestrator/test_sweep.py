"""A sweep opened from a file, a dict or its results: plan, state and refusals."""

from __future__ import annotations

import pytest
import yaml

from orchestrator.config import load_config
from orchestrator.run import run_sweep
from orchestrator.sweep import open_results, open_sweep, plan, status
from tests.integration.sweeps import write_config
from tests.unit.orchestrator.store.trials import NOW
from workers.contract import UserError


@pytest.fixture
def path(tmp_path):
    return write_config(tmp_path)


def test_file_dict_and_loaded_configuration_give_one_plan(path):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["results"] = path.parent / "results"
    plans = [plan(config) for config in (path, str(path), values, load_config(values))]
    assert plans[0].summary["actions"] == {"RUN": 4, "SKIP": 0, "RETRY": 0}
    assert plans[0].refusals == ()
    for found in plans[1:]:
        assert found.sweep.plan.trials == plans[0].sweep.plan.trials


def test_absent_data_is_a_refusal_here_and_a_note_elsewhere(path):
    dataset = {"name": "folder", "alias": "own", "root": "absent"}
    override = f"datasets=[{yaml.safe_dump(dataset, default_flow_style=True).strip()}]"
    here, elsewhere = plan(path, [override]), plan(path, [override], elsewhere=True)
    assert here.refusals == here.absent
    assert "own: not found" in here.refusals[0]
    assert elsewhere.refusals == elsewhere.absent == ()
    assert elsewhere.summary["notes"][0].startswith("not on this machine: ")


def test_status_of_results_equals_status_of_their_configuration(path):
    sweep = open_sweep(path)
    sweep.store.save_grid(sweep.grid.document(NOW))
    found = status(path.parent / "results")
    assert found.sweep.config is None
    assert (found.summary["pending"], found.summary["drivers"]) == (4, [])
    assert found.summary["pending"] == status(path).summary["pending"]


def test_overrides_without_a_file_are_refused(path):
    with pytest.raises(UserError, match="repeats=3: a loaded configuration takes no overrides"):
        open_sweep(load_config(path), ["repeats=3"])
    with pytest.raises(UserError, match="--set repeats=3: only a configuration can be changed"):
        status(path.parent, ["repeats=3"])


def test_run_of_results_is_refused(path):
    sweep = open_sweep(path)
    sweep.store.save_grid(sweep.grid.document(NOW))
    with pytest.raises(UserError, match="only a sweep from open_sweep can be run"):
        run_sweep(open_results(path.parent / "results"))
