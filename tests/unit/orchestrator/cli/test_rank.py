"""`podium rank`: what it prints for whole, tied, broken and tiny sweeps, and what it refuses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.ranking.images import ImageScores
from orchestrator.target import Target, read_target
from tests.conftest import ROOT
from tests.published import PAPER, published_trials, with_diverged, with_missing, write_store
from workers.contract import UserError

BY_DATASET = str(PAPER / "fig2_dice_by_dataset.csv")
FEW = ("--draws", "200")


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    return published_trials(2)


@pytest.fixture(scope="module")
def results(trials, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("results")
    write_store(with_diverged(with_missing(trials, 20), 5), folder, 2)
    return str(folder)


def podium(*arguments: str) -> str:
    # Wide, so that no sentence is broken; a test that sets COLUMNS itself keeps it.
    wide = {"COLUMNS": os.environ.get("COLUMNS", "1000")}
    found = CliRunner().invoke(app, ["rank", *arguments], env=wide)
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
    assert "Probabilities are from 200 draws (seed 0)." in text
    assert "Both together" not in text
    assert "(provisional)" not in podium(results, "--draws", "0", "--provisional-below", "0.9")
    assert "cells (dataset x model) lack a loss" not in text  # two repeats each, one gone
    assert "18 blocks" in podium(results, "--draws", "0", "--axis", "both")


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


def test_json_has_certainty_leads_power_and_methods(results):
    found = document(results, *FEW, "--power", "--seed", "3")
    for key, axis in (("by_dataset", "dataset"), ("by_model", "model"), ("both", "both")):
        assert {"standing", "tie_rules", "rank_then_aggregate"} <= set(found[key])
        assert len(found["certainty"]["podiums"][axis]["losses"]) == 10
    assert (found["certainty"]["seed"], found["certainty"]["estimand"]) == (3, "other")
    assert len(found["certainty"]["pairs"]) == 45
    assert len(found["leads"]["without"]) == 6 + 12 + 10
    assert found["power"]["outlooks"][2]["size"]["num_repeats"] is None
    assert found["methods"].startswith("We ranked 10 losses over 6 datasets and 12 models")
    assert document(results, *FEW) == document(results, *FEW)


def test_answer_begins_with_the_tie_group(results):
    lines = podium(results, *FEW).splitlines()
    said = "9 of 10 losses cannot be told apart from the best; Focal is worse."
    assert lines[0] == f"For other datasets and networks, {said}"
    assert lines[1].startswith("The truly best loss is one of ")


def test_pairs_have_intervals_and_tukeys_test(results):
    text = podium(results, *FEW, "--pairs", "--margin", "0.01")
    assert "Pairs, mean of A minus mean of B: other datasets and networks" in text
    assert "±0.01" in text
    assert text.count("│ yes ") + text.count("│ no ") == 45 + 10


def test_estimand_of_every_number_is_named(results):
    about = "these datasets, these networks"
    text = podium(results, *FEW, "--about", "these")
    assert text.startswith(f"For {about}, ")
    assert f"Best mean minus the mean of each loss: {about}" in text
    assert "other datasets and networks" not in text
    assert "P(1st), P(top 3): in a new sweep" not in text  # only "here"
    assert f"Here: with new repeats of the same grid ({about})." in text


def test_one_combination_is_ranked_for_other_images(trials, tmp_path, monkeypatch):
    once = trials[(trials["dataset"] == "Wound") & (trials["model"] == "FCN")]
    write_store(once[once["repeat"] == 0], tmp_path, 1)
    assert "Nothing can be said about these datasets" in podium(str(tmp_path), *FEW)
    random = np.random.default_rng(0)
    losses = tuple(sorted(once["loss"].unique()))
    scores = ImageScores(
        metric="dice",
        datasets=("Wound",),
        losses=losses,
        scores_DLRN=(random.uniform(0.7, 0.9, size=(len(losses), 1, 30)),),
        units_DN=(np.arange(30),),
        tested_per_trained_D=np.array([0.25]),
    )
    monkeypatch.setattr(Target, "image_scores", lambda _: scores)
    text = podium(str(tmp_path), *FEW)
    assert text.startswith("For these networks, other images, ")
    assert "draws (seed" not in text  # one repeat, and nothing to draw
    methods = podium(str(tmp_path), *FEW, "--methods")
    assert "variance over test images and over repeats." in methods  # no pair lends to another


def test_null_of_points_is_beside_every_podium(results):
    text = podium(results, *FEW, "--axis", "dataset", "--axis", "model", "--axis", "both")
    assert len(re.findall(r"If all losses were equal, the leader would have \d+", text)) == 3


def test_diverged_trials_are_shown_as_if_missing(results, trials, tmp_path):
    assert "If diverged trials were missing: " in podium(results, *FEW)
    assert "If diverged trials were missing" not in podium(save(trials, tmp_path), *FEW)


def test_lead_that_no_block_decides_is_one_sentence(tmp_path):
    rows = [(d, m, loss, value + 0.01 * len(d)) for d in ("a", "bb", "c") for m in ("u", "v")
            for loss, value in (("x", 0.7), ("y", 0.6), ("z", 0.5))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["dataset", "model", "loss", "dice"])
    table.to_csv(tmp_path / "t.csv", index=False)
    text = podium(str(tmp_path / "t.csv"), "--draws", "0")
    assert (
        "Leave one out: the lead stays without each single dataset, model and loss (8 tried)."
        in text
    )


def test_power_has_half_widths_now_and_later(results, trials, tmp_path):
    text = podium(results, *FEW, "--power")
    assert text.count("Half-width of the 95 % interval of a difference: ") == 2
    assert "repeats without end" in text
    once = save(trials[trials["repeat"] == 0], tmp_path)
    assert re.search(r"twice the repeats .* 2 │ +- │ +- │", podium(once, *FEW, "--power"))


def test_methods_are_one_paragraph_for_a_paper(results):
    text = podium(results, *FEW, "--methods", "--seed", "3")
    assert text.count("\n") == 1
    for said in (
        "(1,420 of 1,440 trials)",
        "5 trials diverged and counted as the worst value; if missing: for other",
        "statements about other datasets and networks: 95 % intervals",
        "Hsu's comparison with the best at 0.05, for other datasets and networks, 9 of 10",
        "200 draws (seed 3)",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("chosen", "sentences"),
    [
        ({"loss": "IoU"}, ["Nothing can be said: there is only one loss."]),
        ({"dataset": "Wound"}, ["For other networks, this dataset, ", "By model: 12 models"]),
        ({"repeat": 0}, ["For other datasets and networks, "]),
        (
            {"dataset": "Wound", "model": "FCN", "repeat": 0},
            ["Nothing can be said about ", "this needs two "],
        ),
    ],
)
def test_incomplete_grid_still_prints(trials, tmp_path, chosen, sentences):
    for column, value in chosen.items():
        trials = trials[trials[column] == value]
    text = podium(save(trials, tmp_path), *FEW, "--pairs", "--power")
    assert "By dataset: " in text
    for sentence in sentences:
        assert sentence in text


def test_sweep_of_diverged_trials_has_no_points(trials, tmp_path):
    lost = save(trials.assign(status="diverged", dice=float("nan")), tmp_path)
    text = podium(lost, *FEW, "--pairs", "--power")
    assert "No loss has points, because no trial finished." in text
    assert "Nothing can be said: no trial finished." in text
    assert "Nothing can be said: no trial finished." in podium(lost, *FEW, "--methods")


@pytest.mark.parametrize(
    ("old", "new"),
    [("--samples=100", "--draws"), ("--resample", "--about"), ("--significance", "--pairs")],
)
def test_replaced_option_names_its_successor(results, old, new):
    assert f"this option is replaced; use {new} (podium rank --help)" in refuse(results, old)


def test_no_line_is_wider_than_the_terminal(results, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = CliRunner().invoke(app, ["rank", results, *FEW, "--pairs", "--power"]).output
    assert max(map(len, text.splitlines())) <= 100


def test_long_label_leaves_room_for_the_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    label = "focal_tversky(" + ", ".join(f"parameter{n}=0.{n}" for n in range(9)) + ")"
    table = pd.DataFrame(
        [(d, m, loss, 0, 0.5 + 0.001 * len(d + loss) * len(m), "completed") for d in ("d", "dd")
         for m in ("m", "mm") for loss in ("bce", label)],
        columns=["dataset", "model", "loss", "repeat", "dice", "status"],
    )  # fmt: skip
    text = podium(save(table, tmp_path), "--draws", "0")
    assert max(map(len, text.splitlines())) <= 100
    assert "may be best" in " ".join(text.split())
    rows = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert label.replace(" ", "") in "".join(rows).replace(" ", "")


def test_percentages_and_common_cells_are_ranked(trials, tmp_path):
    percent = trials.assign(dice=100 * trials["dice"])
    assert "it is taken for a percentage" in podium(save(percent, tmp_path), *FEW)
    uneven = trials[(trials["loss"] != "Focal") | (trials["model"] != "FCN")]
    path = save(uneven, tmp_path)
    assert "6 of 72 cells (dataset x model) lack a loss" in podium(path, "--draws", "0")
    assert document(path, "--draws", "0", "--cells", "common")["compare"] == "common"


def test_markdown_latex_and_csv_are_written(results):
    latex = podium(results, "--format", "latex", "--axis", "model")
    assert latex.count("\\begin{tabular}") == 2  # the models, and the losses
    assert re.search(r"\n95 \\%, new sweep & \d+ to \d+ & ", latex)
    assert "How far each loss is behind the best mean, for other datasets and networks: " in latex
    assert "U-Net++ & " in latex
    markdown = podium(BY_DATASET, "--format", "markdown")
    assert re.search(r"\| Focal \| 0\.7685 \| \+0\.0254 \| \+\d.* \| no \|\n", markdown)
    assert "new sweep" not in podium(BY_DATASET, "--format", "markdown", "--draws", "0")
    assert markdown.startswith("| dataset | BCE | IoUFocal |")
    assert podium(results, "--format", "csv").startswith("axis,block,loss,metric,mean,place,points")
    assert "there is no table of their sum" in refuse(results, "--format", "csv", "--axis", "both")
    for option in ("--pairs", "--power", "--methods"):
        reason = f"{option}: --format latex prints only tables"
        assert reason in refuse(results, "--format", "latex", option)
    assert "--pairs: --methods prints only a paragraph" in refuse(results, "--methods", "--pairs")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metric", "train_seconds"), "does not measure how good a trial is"),
        (("--metric", "auc"), "is no column of a store; known metrics: dice, iou"),
        (("--metric", "device"), "is text; known metrics"),
        (("--draws", "7"), "--draws 7: draw from 100"),
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
    levels = {"k": {"bce": 20, "dice": 12.5, "focal": 31},
              "cvc": {"bce": 20, "dice": 11.5, "focal": 31}}  # fmt: skip
    rows = [(d, loss, n, value + n + len(d)) for d, own in levels.items() for n in (0, 1)
            for loss, value in own.items()]  # fmt: skip
    pd.DataFrame(rows, columns=["dataset", "loss", "repeat", "hd95"]).to_csv(path, index=False)
    return str(path)


def test_distance_is_ranked_by_its_direction(distances, capfd):
    text = podium(distances, "--metric", "hd95", *FEW, "--pairs", "--power")
    assert re.search(r"1 +│ dice +│ +6 │ 2/0/0 │ +14\.5000", text)
    assert re.search(r"dice +│ bce +│ +−8\.0000 │ +−", text)
    note = (
        "hd95: lower is better, from 0 up. A higher value is a worse one; the values go from 13.5"
    )
    assert note in text
    found = document(distances, "--metric", "hd95", "--draws", "0")
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
