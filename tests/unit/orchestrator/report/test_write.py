"""The whole report: complete, deterministic, escaped, and for every odd sweep."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestrator.report.data import ReportData
from orchestrator.report.write import write_report
from tests.unit.orchestrator.report.factory import make_data, make_failure
from workers.contract import UserError

SMALL: dict[str, Any] = {"num_epochs": 4, "image_size": 24}
FIGURES = ["heat_by_dataset", "heat_by_model", "learning_curves", "podium", "predictions"]


def drop(data: ReportData, axis: str) -> ReportData:
    """Takes one axis out of every table."""
    frames = {
        name: getattr(data, name).drop(columns=axis) for name in ("trials", "epochs", "predictions")
    }
    return dataclasses.replace(data, **frames, grid=None)


def diverged(data: ReportData) -> ReportData:
    trials = data.trials.assign(status="diverged")
    trials[["dice", "iou", "recall", "precision"]] = None
    return dataclasses.replace(data, trials=trials, epochs=data.epochs.iloc[:0])


def bare(data: ReportData) -> ReportData:
    columns = ["dataset", "model", "loss", "repeat", "dice"]
    return ReportData(trials=data.trials[columns])


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


@pytest.mark.timeout(90)
@pytest.mark.parametrize("case", ODD)
def test_odd_sweeps_have_a_report_that_needs_nothing_else(case, tmp_path):
    files = write_report(ODD[case], tmp_path)
    page = files.page.read_text()
    assert "<h2>The podium</h2>" in page
    assert "nan" not in page.lower().split('<section id="record">')[0].replace("nano", "")
    found = references(page)
    assert "script" not in found.tags
    allowed = re.compile(r"#|data:|figures/[a-z_]+\.(png|svg)$")
    assert [ref for ref in found.found if not allowed.match(ref)] == []
    assert not re.search(r"url\(|@import|https?://", page)
    for path in files.figures:
        assert path.stat().st_size > 1000
    assert all(f"figures/{path.name}" in found.found for path in files.figures)


@pytest.mark.timeout(90)
def test_the_same_store_gives_the_same_bytes_in_any_order_of_rows(tmp_path):
    data = make_data(2, 2, 3, 2, **SMALL)
    failures = pd.DataFrame([make_failure(data, 3), make_failure(data, 8)])
    data = dataclasses.replace(data, failures=failures)
    shuffled = dataclasses.replace(
        data,
        **{
            name: getattr(data, name).sample(frac=1, random_state=1)
            for name in ("trials", "epochs", "failures", "predictions")
        },
    )
    first = write_report(data, tmp_path / "first")
    second = write_report(shuffled, tmp_path / "second")
    names = sorted(path.name for path in first.figures)
    assert names == sorted(f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg"))
    pairs = [(first.page, second.page), *zip(first.figures, second.figures, strict=True)]
    for one, other in pairs:
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes(), one.name


@pytest.mark.timeout(60)
def test_names_are_escaped(tmp_path):
    evil = "<script>alert(1)</script>\"'&"
    data = make_data(2, 1, 3, 1, **SMALL, titles=None)
    frames = {
        name: getattr(data, name).replace({"dataset": {"synthetic-skin": evil}})
        for name in ("trials", "epochs", "predictions")
    }
    failures = pd.DataFrame([make_failure(data, 0) | {"message": evil, "traceback": evil}])
    data = dataclasses.replace(data, **frames, failures=failures, grid={"name": evil})
    page = write_report(data, tmp_path).page.read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "script" not in references(page).tags


@pytest.mark.timeout(60)
def test_letters_the_fonts_lack_are_no_reason_to_fail(tmp_path):
    data = make_data(1, 1, 2, 1, **SMALL)
    frames = {
        name: getattr(data, name).replace({"loss": {"iou": "손실 $x_1$"}})
        for name in ("trials", "epochs", "predictions")
    }
    page = write_report(dataclasses.replace(data, **frames, grid=None), tmp_path).page
    assert "손실 $x_1$" in page.read_text(encoding="utf-8")


@pytest.mark.timeout(60)
def test_figures_of_an_earlier_report_do_not_stay(tmp_path):
    data = make_data(1, 1, 2, 1, **SMALL)
    write_report(data, tmp_path)
    (tmp_path / "figures" / "mine.png").write_bytes(b"kept")
    files = write_report(dataclasses.replace(data, predictions=pd.DataFrame()), tmp_path)
    left = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "mine.png" in left
    assert not any(name.startswith(("predictions", ".")) for name in left)
    assert not any(path.name.startswith("predictions") for path in files.figures)


def test_no_trial_is_an_error_with_its_remedy(tmp_path):
    data = ReportData(trials=pd.DataFrame(columns=["dataset", "loss", "dice"]))
    with pytest.raises(UserError, match=r"no finished trial yet.*podium run CONFIG"):
        write_report(data, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_protocols_are_refused_and_one_can_be_chosen(tmp_path):
    data = make_data(1, 1, 2, 1, **SMALL)
    data.trials["protocol_id"] = ["aaaa", "bbbb"]
    with pytest.raises(UserError, match="--protocol ID"):
        write_report(data, tmp_path)
    files = write_report(dataclasses.replace(data, protocol="bbbb"), tmp_path)
    assert "Provisional: 1 of 2 trials are in" in files.page.read_text()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.* cannot be written: .*; choose another --out"):
        write_report(make_data(1, 1, 1, 1, **SMALL), tmp_path / "file" / "out")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_study_s_3600_trials_fit_in_a_small_page(tmp_path):
    data = make_data(6, 12, 10, 5, num_epochs=12, image_size=64)
    files = write_report(data, tmp_path)
    assert files.page.stat().st_size < 1_000_000
    assert "6 datasets × 12 models × 10 losses × 5 repeats" in files.page.read_text()  # noqa: RUF001
    assert sum(Path(path).stat().st_size for path in files.figures) < 10_000_000
