"""`podium report` and `podium compare` as a user calls them."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.report import page
from orchestrator.report.figures.drawing import FigureSet
from tests.published import published_trials, with_winner, write_store
from workers.contract import UserError

SMALL = published_trials(num_repeats=2)
SMALL = SMALL[
    SMALL["dataset"].isin(["Wound", "Kvasir-SEG"]) & SMALL["model"].isin(["FCN", "U-Net"])
]


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    """Drawing them takes seconds, and they have tests of their own."""
    monkeypatch.setattr(page, "draw_figures", lambda _: FigureSet(files={}, left_out={}))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    write_store(SMALL, folder / "a", num_repeats=2)
    write_store(with_winner(SMALL, "DiceFocal", by=0.05), folder / "b", num_repeats=2)
    return folder


def call(*arguments):
    """Returns what the command prints; what a user can mend is raised."""
    done = CliRunner().invoke(app, [str(part) for part in arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_report_prints_answer_and_files(stores, tmp_path):
    options = ("--draws", 100, "--metric", "iou", "--ties", "min", "--margin", 0.01, "--seed", 3)
    said = json.loads(call("report", stores / "a", "--out", tmp_path, *options, "--json"))
    assert said["page"] == str(tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'Mean test <span class="metric-name">IoU</span>' in page
    assert "(100 draws, seed 3)" in page
    assert "margin of 0.01" in page
    assert "rule “min”" in page
    sentences = re.findall(r'<p class="(?:lede|lead)">(.*?)</p>', page)
    assert said["answer"] == " ".join(sentences)
    assert len(sentences) == 2
    text = call("report", stores / "a", "--out", tmp_path, "--draws", 100)
    assert f"Report: {tmp_path / 'index.html'}" in text


def test_report_of_a_table_shows_no_empty_parts(tmp_path):
    table = SMALL.groupby(["dataset", "model", "loss"], as_index=False)["dice"].mean()
    table.to_csv(tmp_path / "means.csv", index=False)
    text = call("report", tmp_path / "means.csv", "--out", tmp_path / "page", "--draws", 100)
    assert f"Report: {tmp_path / 'page' / 'index.html'}" in text
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "<h1>means.csv</h1>" in page
    shown = set(re.findall(r'<section id="(\w+)"', page))
    assert shown == {"podium", "certainty", "heat", "missing", "definitions"}
    assert set(re.findall(r'<a href="#(\w+)"', page)) == shown
    for word in ("Failed attempts", "Training time", "Results from", "No trial failed"):
        assert word not in page


def test_report_of_unrankable_results_is_refused(stores, tmp_path):
    with pytest.raises(UserError, match="no results here"):
        call("report", tmp_path / "nothing")
    with pytest.raises(UserError, match=r"--metric dise: is no column.*known metrics: dice"):
        call("report", stores / "a", "--metric", "dise")


def test_comparison_is_printed(stores):
    said = call("compare", stores / "a", stores / "b")
    assert "DiceFocal leads in B" in said
    assert "Combinations of dataset, model and loss: 40 in both" in said
    assert "Differences are paired" in said
    assert "settings, versions and devices compared are equal." in said


def test_comparison_is_written_as_json_and_page(stores, tmp_path):
    out = tmp_path / "compare.html"
    said = json.loads(call("compare", stores / "a", stores / "b", "--json", "--out", out))
    moved = {row["loss"]: row["moved"] for row in said["podiums"]["dataset"]["losses"]}
    assert moved["DiceFocal"] > 0
    (found,) = [row for row in said["losses"] if row["loss"] == "DiceFocal"]
    assert found["difference"]["value"] == pytest.approx(0.05)
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_comparison_takes_two_metrics_or_two_tables(stores, tmp_path):
    said = json.loads(call("compare", stores / "a", stores / "a", "--metric-b", "recall", "--json"))
    assert (said["a"]["metric"], said["b"]["metric"]) == ("dice", "recall")
    assert said["cells"] == []
    table = tmp_path / "table.csv"
    SMALL[["dataset", "model", "loss", "repeat", "dice"]].to_csv(table, index=False)
    said = json.loads(call("compare", table, stores / "a", "--json"))
    assert [cell["paired"] for cell in said["cells"]] == [False] * 40
    assert all(abs(cell["difference"]["value"]) < 1e-12 for cell in said["cells"])


def test_several_protocols_need_a_choice(tmp_path, stores):
    changed = SMALL.assign(
        protocol_id="ffff00000000",
        trial_id=[f"{number:016x}" for number in range(len(SMALL))],
        spec=[text.replace('"max_epochs": 200', '"max_epochs": 9') for text in SMALL["spec"]],
    )
    assert (changed["spec"] != SMALL["spec"]).all()
    write_store(pd.concat([SMALL, changed]), tmp_path / "both", num_repeats=2)
    with pytest.raises(UserError) as refused:
        call("compare", stores / "a", tmp_path / "both")
    assert "training.max_epochs 9" in str(refused.value)
    assert "choose one with --protocol-b ID" in str(refused.value)
    said = json.loads(
        call("compare", tmp_path / "both", tmp_path / "both", "--protocol-a", "ffff",
             "--protocol-b", SMALL["protocol_id"].iloc[0], "--json")
    )  # fmt: skip
    differing = {fact["name"]: (fact["a"], fact["b"]) for fact in said["facts"]["differing"]}
    assert differing["training.max_epochs"] == ("9", "200")
