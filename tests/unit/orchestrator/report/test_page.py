"""The whole report: complete, deterministic, escaped, and for every odd sweep."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from orchestrator.report import page
from orchestrator.report.data import TRIAL_KEY, Sampling
from orchestrator.report.figures.drawing import FigureSet
from orchestrator.report.page import render_page, write_report
from orchestrator.report.sections import compute_sections
from tests.published import grid_document, published_trials
from tests.unit.orchestrator.report.factory import (
    Tables,
    arranged,
    make_data,
    make_failure,
    renamed,
)
from workers.contract import UserError

SMALL: dict[str, Any] = {"num_epochs": 4, "image_size": 24}
FEW = Sampling(num_draws=100)


def drop(data: Tables, axis: str) -> Tables:
    """Takes one axis out of every table."""
    frames = {
        name: getattr(data, name).drop(columns=axis) for name in ("trials", "epochs", "predictions")
    }
    return dataclasses.replace(data, **frames, grid=None)


def diverged(data: Tables) -> Tables:
    trials = data.trials.assign(status="diverged")
    trials[["dice", "iou", "recall", "precision"]] = None
    return dataclasses.replace(data, trials=trials, epochs=data.epochs.iloc[:0])


def bare(data: Tables) -> Tables:
    columns = ["dataset", "model", "loss", "repeat", "dice"]
    return Tables(trials=data.trials[columns])


ODD = {
    "one of each": make_data(1, 1, 1, 1, **SMALL),
    "one model": make_data(3, 1, 4, 1, **SMALL),
    "two losses": make_data(2, 2, 2, 1, **SMALL),
    "by dataset": drop(make_data(2, 1, 3, 1, **SMALL), "model"),
    "by model": drop(make_data(1, 2, 3, 1, **SMALL), "dataset"),
    "all diverged": diverged(make_data(2, 1, 3, 1, **SMALL)),
    "bare": bare(make_data(2, 2, 3, 1, **SMALL)),
    "one epoch": make_data(2, 1, 3, 1, num_epochs=1, image_size=24),
}


def page_of(data: Tables) -> str:
    """The page alone: figures take a hundred times longer."""
    sweep = arranged(dataclasses.replace(data, sampling=FEW))
    return render_page(compute_sections(sweep), {"podium.png": b""})


class References(HTMLParser):
    """Collects what a page points to and which tags it has."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.found += [value or "" for name, value in attrs if name in {"href", "src", "srcset"}]


def references(page: str) -> References:
    parser = References()
    parser.feed(page)
    return parser


@pytest.mark.parametrize("case", ODD)
def test_unusual_sweeps_have_a_self_contained_page(case):
    page = page_of(ODD[case])
    assert "<h2>The podium</h2>" in page
    assert "nan" not in page.lower().split('<section id="record">')[0].replace("nano", "")
    found = references(page)
    assert found.tags.count("script") == 2
    allowed = re.compile(r"#|data:|figures/podium.png$")
    assert [ref for ref in found.found if not allowed.match(ref)] == []
    assert not re.search(r"url\(|@import|https?://", page)


@pytest.mark.timeout(60)
def test_the_page_links_to_every_figure(tmp_path):
    files = write_report(ODD["one of each"].checked(), tmp_path)
    found = references(files.page.read_text())
    assert files.figures
    for path in files.figures:
        assert path.stat().st_size > 0
        assert f"figures/{path.name}" in found.found


def shuffled(data: Tables) -> Tables:
    frames = {
        name: getattr(data, name).sample(frac=1, random_state=1)
        for name in ("trials", "epochs", "failures", "predictions")
    }
    return dataclasses.replace(data, **frames)


def test_the_same_store_gives_the_same_page_in_any_order_of_rows():
    data = make_data(2, 2, 4, 2, **SMALL)
    failures = pd.DataFrame([make_failure(data, 3), make_failure(data, 8)])
    data = dataclasses.replace(data, failures=failures)
    assert page_of(data) == page_of(shuffled(data))


EVIL = "<script>alert(1)</script>\"'&"


@pytest.mark.parametrize(
    "name", [EVIL, "</script><img src=x onerror=alert(1)>", "Größe „ü“ \u2028"]
)
@pytest.mark.parametrize("axis", ["dataset", "model", "loss"])
def test_names_are_escaped(axis, name):
    data = make_data(1, 2, 2, 1, num_epochs=2, image_size=16, titles=None)
    old = data.trials[axis].iloc[0]
    failures = pd.DataFrame([make_failure(data, 0) | {"message": name, "traceback": name}])
    page = page_of(
        dataclasses.replace(
            renamed(data, {axis: {old: name}}), failures=failures, grid={"name": name}
        )
    )
    found = references(page)
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert str(escape(name)) in page
    (embedded,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert name.strip() in json.loads(embedded)["titles"][axis]


def test_only_the_script_of_the_page_can_run():
    page = page_of(make_data(1, 1, 2, 1, **SMALL))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy


@pytest.mark.timeout(60)
def test_letters_without_a_font_do_not_stop_the_report(tmp_path):
    data = make_data(1, 1, 2, 1, **SMALL)
    page = write_report(renamed(data, {"loss": {"iou": "손실 $x_1$"}}).checked(), tmp_path).page
    assert "손실 $x_1$" in page.read_text(encoding="utf-8")


def test_figures_of_an_earlier_report_do_not_stay(tmp_path, monkeypatch):
    data = make_data(1, 1, 2, 1, **SMALL)
    drawn = {"figure1.png": b"one", "figure3_skin.csv": b"two", "podium.svg": b"three"}
    monkeypatch.setattr(
        page, "draw_figures", lambda content: FigureSet(files=drawn, left_out={}, notes=("boxes",))
    )
    write_report(data.checked(), tmp_path)
    (tmp_path / "figures" / "mine.png").write_bytes(b"kept")
    drawn = {"podium.svg": b"four"}
    files = write_report(data.checked(), tmp_path)
    left = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert left == {"mine.png": b"kept", "podium.svg": b"four"}
    assert [path.name for path in files.figures] == ["podium.svg"]
    assert files.notes == ("boxes",)


def test_two_protocols_are_refused_and_one_can_be_chosen():
    data = make_data(1, 1, 2, 1, **SMALL)
    data.trials["protocol_id"] = ["aaaa", "bbbb"]
    with pytest.raises(UserError, match="--protocol ID"):
        page_of(data)
    page = page_of(dataclasses.replace(data, protocol="bbbb"))
    assert "Provisional: 1 of 2 trials are finished" in page


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "draw_figures", lambda _: FigureSet(files={}, left_out={}))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.* cannot be written: .*; choose another --out"):
        write_report(make_data(1, 1, 1, 1, **SMALL).checked(), tmp_path / "file" / "out")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_3600_trials_of_200_epochs_fit_in_a_small_page():
    trials = published_trials()
    num_epochs = 200
    epochs = trials.loc[trials.index.repeat(num_epochs), [*TRIAL_KEY, "trial_id", "dice"]]
    epochs["epoch"] = np.tile(np.arange(1, num_epochs + 1), len(trials))
    noise = np.random.default_rng(0).normal(0, 0.01, len(epochs))
    epochs["val_dice"] = epochs.pop("dice") * (1 - np.exp(-epochs["epoch"] / 15)) + noise
    shown = make_data(6, 1, 10, 1, num_epochs=1, image_size=224).predictions
    shown["trial_id"] = np.resize(trials["trial_id"].to_numpy(), len(shown))
    for axis in ("dataset", "loss"):
        names = zip(shown[axis].unique(), trials[axis].unique(), strict=True)
        shown[axis] = shown[axis].map(dict(names))
    data = Tables(
        trials=trials, epochs=epochs, predictions=shown, grid=grid_document(trials), titles=None
    )
    assert len(data.epochs) == 720_000
    page = page_of(data)
    assert 1_500_000 < len(page.encode()) < 6_000_000
    assert "6 datasets × 12 models × 10 losses × 5 repeats" in page
    (embedded,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert sum(trial[5] for trial in json.loads(embedded)["curves"]["trials"]) == 720_000
