"""`podium rank`: what it prints for whole, tied, broken and tiny sweeps, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.target import read_target
from tests.conftest import ROOT
from tests.published import PAPER, published_trials, with_diverged, with_missing, write_store
from workers.contract import UserError

BY_DATASET = str(PAPER / "fig2_dice_by_dataset.csv")
FEW = ("--samples", "200")


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    return published_trials(2)


@pytest.fixture(scope="module")
def results(trials, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("results")
    write_store(with_diverged(with_missing(trials, 20), 5), folder, 2)
    return str(folder)


def podium(*arguments: str) -> str:
    found = CliRunner().invoke(app, ["rank", *arguments])
    if found.exception:
        raise found.exception
    return found.output


def refuse(*arguments: str) -> str:
    with pytest.raises(UserError) as error:
        podium(*arguments)
    return str(error.value)


def document(*arguments: str):
    return json.loads(podium(*arguments, "--json"))


def save(table: pd.DataFrame, folder: Path) -> str:
    path = folder / "table.csv"
    table[["dataset", "model", "loss", "repeat", "status", "dice"]].to_csv(path, index=False)
    return str(path)


def test_results_with_missing_trials_are_provisional(results):
    text = podium(results, *FEW)
    assert "By dataset: 6 datasets, 1,420 of 1,440 trials (provisional)" in text
    assert "By model: 12 models, 1,420 of 1,440 trials (provisional)" in text
    assert "5 diverged trials counted as 0." in text
    assert "P(1st)" in text
    assert "Certainty: 200 bootstrap samples of datasets, models and repeats" in text
    assert "Both together" not in text
    assert "(provisional)" not in podium(results, "--samples", "0", "--provisional-below", "0.9")
    assert "cells (dataset x model) lack a loss" not in text  # two repeats each, one gone
    assert "18 blocks" in podium(results, "--samples", "0", "--axis", "both")


def test_published_tie_is_printed_under_every_rule(results):
    text = podium(BY_DATASET, *FEW)
    assert "1 tie on podium places; rule split: tied places share their points evenly." in text
    assert "split: BCE; min: IoUFocal and BCE; max: BCE; order: IoUFocal and BCE." in text
    assert "IoUFocal 7/8/6/8, Dice 4/5/3/3, IoU 3/4/2/3" in text
    joint = podium(BY_DATASET, *FEW, "--ties", "first")
    assert "Joint 1st: IoUFocal and BCE with 8 points each." in joint
    assert "Joint 1st" not in podium(BY_DATASET, *FEW, "--ties", "first", "--break-ties")


@pytest.mark.parametrize(
    ("name", "rule"), [("competition", "min"), ("modified", "max"), ("first", "order")]
)
def test_both_names_of_a_tie_rule_give_the_same_points(name, rule):
    assert document(BY_DATASET, *FEW, "--ties", name) == document(BY_DATASET, *FEW, "--ties", rule)


def test_json_has_certainty_significance_and_power(results):
    found = document(results, *FEW, "--significance", "--power", "--seed", "3")
    for key in ("by_dataset", "by_model", "both"):
        part = found[key]
        assert {"standing", "certainty", "power", "tie_rules", "rank_then_aggregate"} <= set(part)
        assert part["certainty"]["seed"] == 3
        assert len(part["certainty"]["losses"]) == 10
        assert len(part["certainty"]["pairs"]) == 45
        assert part["power"]["sentence"]
    assert found["significance"]["num_blocks"] == 72
    assert document(results, *FEW) == document(results, *FEW)


def test_significance_and_pairs_are_printed(results):
    text = podium(results, *FEW, "--significance", "--pairs", "--margin", "0.01")
    assert "Mean ranks over 72 dataset x model blocks; critical difference 1.60" in text
    assert "Friedman: chi-squared" in text
    assert "Wilcoxon with Holm: " in text
    assert "Pairs: 95 % interval, equivalent up to 0.01" in text
    few = podium(BY_DATASET, *FEW, "--significance")
    assert "critical difference 5.53" in few
    assert "6 blocks give a p-value of 0.031 at best" in few


def test_power_names_the_repeats_to_separate(results, trials, tmp_path):
    assert podium(results, *FEW, "--power").count("Repeats: ") == 2
    once = save(trials[trials["repeat"] == 0], tmp_path)
    assert "Cannot say: " in podium(once, *FEW, "--power")


@pytest.mark.parametrize(
    ("chosen", "sentences"),
    [
        ({"loss": "IoU"}, ["there is only one loss"]),
        (
            {"dataset": "Wound"},
            ["With one dataset the bootstrap", "By model: 12 models"],
        ),
        ({"repeat": 0}, ["With one repeat the bootstrap does not include"]),
        (
            {"dataset": "Wound", "model": "FCN", "repeat": 0},
            ["none of the axes to draw from", "1 block of dataset x model"],
        ),
    ],
)
def test_incomplete_grid_still_prints(trials, tmp_path, chosen, sentences):
    for column, value in chosen.items():
        trials = trials[trials[column] == value]
    text = podium(save(trials, tmp_path), *FEW, "--significance")
    assert "By dataset: " in text
    for sentence in sentences:
        assert sentence in text


def test_sweep_of_diverged_trials_has_no_points(trials, tmp_path):
    lost = save(trials.assign(status="diverged", dice=float("nan")), tmp_path)
    text = podium(lost, *FEW, "--significance", "--power")
    assert "No loss has points, because no trial finished." in text
    assert "No test is possible: no trial finished." in text
    assert "Cannot say: no loss has points" in text


def test_percentages_and_common_cells_are_ranked(trials, tmp_path):
    percent = trials.assign(dice=100 * trials["dice"])
    assert "it is taken for a percentage" in podium(save(percent, tmp_path), *FEW)
    uneven = trials[(trials["loss"] != "Focal") | (trials["model"] != "FCN")]
    path = save(uneven, tmp_path)
    assert "6 of 72 cells (dataset x model) lack a loss" in podium(path, "--samples", "0")
    assert document(path, "--samples", "0", "--cells", "common")["compare"] == "common"


def test_markdown_latex_and_csv_are_written(results):
    latex = podium(results, "--format", "latex", "--axis", "model")
    assert latex.count("\\begin{tabular}") == 1
    assert "U-Net++ & " in latex
    markdown = podium(BY_DATASET, "--format", "markdown")
    assert markdown.startswith("| dataset | BCE | IoUFocal |")
    assert podium(results, "--format", "csv").startswith("axis,block,loss,metric,mean,place,points")
    assert "there is no table of their sum" in refuse(results, "--format", "csv", "--axis", "both")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metric", "train_seconds"), "does not measure how good a trial is"),
        (("--metric", "auc"), "is no column of a store; known metrics: dice, iou"),
        (("--metric", "device"), "is text; known metrics"),
        (("--samples", "7"), "--samples 7: draw from 100"),
        (("--resample", "fold"), "--resample fold"),
        (("--level", "1.5"), "--level 1.5"),
        (("--seed", "-1"), "--seed -1"),
    ],
)
def test_refusal_names_option_and_remedy(results, arguments, message):
    assert message in refuse(results, *arguments)


def test_outputs_in_the_documentation_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    write_store(published_trials(), Path("results/published"))
    Path("tests/data").mkdir(parents=True)
    Path("tests/data/paper").symlink_to(PAPER)
    page = (ROOT / "docs" / "ranking.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```console\n\$ podium rank (.+)\n((?s:.*?))^```$", page, re.MULTILINE)
    assert len(shown) == 4
    tables = re.findall(r"^```console\n\$ cat (.+)\n((?s:.*?))^```$", page, re.MULTILINE)
    for name, content in tables:
        Path(name).write_text(content)
    for command, output in shown:
        assert podium(*command.split()) == output


def test_refusals_in_the_documentation_are_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "ranking.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[^`]+` ?)+)\| (table\.csv: .+) \|$", page, re.MULTILINE)
    assert len(rows) == 15
    for lines, message in rows:
        Path("table.csv").write_text("\n".join(re.findall(r"`([^`]+)`", lines)) + "\n")
        assert refuse("table.csv") == message


@pytest.fixture
def distances(tmp_path) -> str:
    path = tmp_path / "distances.csv"
    rows = [(d, loss, n, value + n + len(d)) for d in ("k", "cvc") for n in (0, 1)
            for loss, value in (("bce", 20), ("dice", 12), ("focal", 31))]  # fmt: skip
    pd.DataFrame(rows, columns=["dataset", "loss", "repeat", "hd95"]).to_csv(path, index=False)
    return str(path)


def test_distance_is_ranked_by_its_direction(distances, capfd):
    text = podium(distances, "--metric", "hd95", *FEW, "--pairs", "--power")
    assert re.search(r"1 +│ dice +│ +6 │ 2/0/0 │ +14\.5000", text)
    assert "dice has a lower mean than bce in >99 % of the samples (difference −8.0000" in text
    assert "P(A < B)" in text
    note = "hd95: lower is better, from 0 up. A higher value is a worse one; the values go from 13"
    assert note in text
    found = document(distances, "--metric", "hd95", "--samples", "0")
    assert (found["better"], found["range"], found["unit"]) == ("lower", [0, None], "distance")
    markdown = podium(distances, "--metric", "hd95", "--format", "markdown")
    assert "\n\nhd95: lower is better, from 0 up.\n" in markdown
    latex = podium(distances, "--metric", "hd95", "--format", "latex")
    assert "Mean hd95 by dataset (lower is better, from 0 up; best bold" in latex
    assert "--lower-is-better would reverse the ranking" in refuse(BY_DATASET, "--lower-is-better")


def test_location_that_cannot_be_ranked_is_refused(tmp_path):
    assert "no results here" in refuse(str(tmp_path))
    assert "is a table without protocols" in refuse(BY_DATASET, "--protocol", "ab")


def test_rank_of_a_configuration_names_its_results(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("losses: [iou]")
    with pytest.raises(UserError, match=r"sweep\.yaml: is a configuration; give its results"):
        read_target(path)
