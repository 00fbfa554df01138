"""`podium plan --power`: the half-widths that a grid will give."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from tests.conftest import ROOT
from tests.published import published_trials, write_store
from workers.contract import UserError


def plan(folder, *options: str) -> str:
    config = str(ROOT / "configs" / "quickstart.yaml")
    arguments = ["plan", config, "--set", f"results={folder / 'new'}", *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False).output


def test_power_of_a_plan_assumes_the_published_components(tmp_path):
    text = plan(tmp_path, "--power")
    said = "assumed: the size in Dice that fits the margins of the published tables"
    assert said in " ".join(text.split())
    document = json.loads(plan(tmp_path, "--power", "--json"))
    size = {"num_datasets": 6, "num_models": 2, "num_losses": 4, "num_repeats": 2}
    assert document["power"]["outlooks"][0]["size"] == size


def test_power_of_a_plan_is_measured_in_results(tmp_path):
    write_store(published_trials(2), tmp_path / "old", 2)
    found = json.loads(plan(tmp_path, "--components", str(tmp_path / "old"), "--json"))["power"]
    assert found["components"]["source"].startswith("of Dice, measured in ")
    assert found["components"]["training"] == pytest.approx(0.004, rel=0.1)


def test_components_without_two_losses_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("dataset,loss,dice\na,x,0.5\nb,x,0.6\n")
    with pytest.raises(UserError, match="fewer than two losses have a finished trial"):
        plan(tmp_path, "--components", str(table))


def test_power_of_one_loss_is_refused(tmp_path):
    with pytest.raises(UserError, match="--power: a difference needs two losses"):
        plan(tmp_path, "--power", "--set", "losses=[dice]")
