"""The page of a comparison: self-contained, escaped, the same bytes."""

from __future__ import annotations

import dataclasses
import re

import pytest

from orchestrator.report.compare import page as module
from orchestrator.report.compare.comparison import compare
from orchestrator.report.compare.page import moved_text, render_comparison, write_comparison
from orchestrator.report.compare.sides import side
from tests.unit.orchestrator.report.factory import make_data, renamed
from workers.contract import UserError

DATA = make_data(2, 2, 3, 2, num_epochs=2, predictions=False)


def comparison(before=DATA, after=DATA):
    return compare(side("A", "before", before.checked()), side("B", "after", after.checked()))


def test_the_page_is_self_contained_and_reproducible():
    page = render_comparison(comparison())
    assert not re.search(r"url\(|@import|https?://|<link rel=\"stylesheet|src=", page)
    shuffled = dataclasses.replace(DATA, trials=DATA.trials.sample(frac=1, random_state=3))
    assert render_comparison(comparison(shuffled, shuffled)) == page


def test_names_are_escaped():
    evil = "</script><b onclick='x'>\"&ü"
    names = {"loss": {"iou": evil}, "dataset": {"synthetic-skin": evil}}
    after = dataclasses.replace(renamed(DATA, names), grid={"name": evil})
    page = render_comparison(comparison(after=after))
    assert "<b onclick" not in page
    assert "&lt;/script&gt;&lt;b onclick=&#39;x&#39;&gt;&#34;&amp;ü" in page
    assert page.count("</script>") == 1


def test_of_many_combinations_the_largest_differences_stay(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 3)
    changed = DATA.trials.copy()
    changed.loc[changed["loss"] == "bce", "dice"] += 0.05
    page = render_comparison(comparison(after=dataclasses.replace(DATA, trials=changed)))
    assert "Not shown: 9 combinations" in page
    assert page.count('<td data-c="7">') == 3


def test_movement_in_words():
    assert [moved_text(moved) for moved in (2, -1, 0, None)] == ["▲ 2", "▼ 1", "same", "–"]  # noqa: RUF001


def test_files(tmp_path):
    out = tmp_path / "new" / "page.html"
    write_comparison(comparison(), out)
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(UserError, match=r"--out .*page.txt: the name must end in .html"):
        write_comparison(comparison(), tmp_path / "page.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_comparison(comparison(), tmp_path / "file" / "page.html")
