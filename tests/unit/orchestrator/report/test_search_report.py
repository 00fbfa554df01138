"""The report of a search: its page needs nothing but itself, and equal stores give equal files."""

from __future__ import annotations

import re

import pytest

from orchestrator.report.search_report import write_search_report
from orchestrator.tune.results import SearchResult, fragments
from orchestrator.tune.studies import candidates_of
from tests.unit.orchestrator.tune.test_studies import row, studies
from workers.contract import UserError


@pytest.fixture
def findings(tmp_path):
    found = []
    for number, study in enumerate(studies(tmp_path, losses=["iou+focal", "bce"])):
        rows = []
        for candidate in range(4):
            values = {**study.defaults, "learning_rate": 0.001 * (candidate + 1)}
            status = "pruned" if candidate == 3 else "completed"
            for place in range(1 if status == "pruned" else 2):
                dice = 0.5 + 0.1 * candidate - 0.2 * number
                changes = {"status": status, "val_dice": (dice / 2, dice), "best_val_dice": dice}
                rows.append(row(study, candidate, place, values, **changes))
        found.append(SearchResult(study=study, candidates=candidates_of(study, rows)))
    return found


def write(findings, out, name="search"):
    importance = [dict.fromkeys(one.study.space, 0.25) for one in findings]
    return write_search_report(name, findings, importance, fragments(findings), out)


def test_a_search_report_has_page_figures_and_fragment(findings, tmp_path):
    files = write(findings, tmp_path / "out", name="<b>search</b>")
    page = files.page.read_text(encoding="utf-8")
    assert "&lt;b&gt;search" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert page.count("data:image/png;base64,") == 2
    assert "3 of 3" not in page
    assert '<td class="number">0.7000</td>' in page
    names = sorted(path.name for path in files.figures)
    assert names == [f"search-{n}.{kind}" for n in ("1-iou-focal", "2-bce")
                     for kind in ("csv", "png", "svg")]  # fmt: skip
    table = (tmp_path / "out" / "figures" / "search-2-bce.csv").read_text().splitlines()
    assert table[0] == "number,status,val_dice,learning_rate"
    assert table[-1] == "3,pruned,,0.004"
    assert [path.name for path in files.fragments] == ["losses.yaml"]


def test_the_same_findings_give_the_same_bytes(findings, tmp_path):
    one, other = (write(findings, tmp_path / name) for name in ("a", "b"))
    for mine, theirs in zip((one.page, *one.figures), (other.page, *other.figures), strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


def test_a_search_without_candidates_has_a_page(tmp_path):
    empty = [SearchResult(study=study, candidates=()) for study in studies(tmp_path)]
    files = write_search_report("x", empty, [None, None], fragments(empty), tmp_path / "out")
    assert "Too few candidates are complete" in files.page.read_text(encoding="utf-8")
    assert files.fragments == ()


def test_a_folder_that_cannot_be_written_is_refused(findings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"choose another --out"):
        write(findings, tmp_path / "file" / "out")
