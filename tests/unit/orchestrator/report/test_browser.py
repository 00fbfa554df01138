"""The pages in a real browser: they render, sort, filter and draw, and load nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from orchestrator.report.compare.comparison import compare
from orchestrator.report.compare.page import write_comparison
from orchestrator.report.compare.sides import side
from orchestrator.report.data import Sampling
from orchestrator.report.page import render_page
from orchestrator.report.sections import compute_sections
from tests.unit.orchestrator.report.factory import arranged, make_data, make_failure

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(120)]

EVIL = "</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def chromium(browser) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    data = make_data(3, 2, 4, 3, num_epochs=6, image_size=24)
    data.trials.loc[0, ["status", "dice", "iou", "recall", "precision"]] = ["diverged", *[None] * 4]
    failures = pd.DataFrame([make_failure(data, 0) | {"message": EVIL}])
    data = dataclasses.replace(data, failures=failures, sampling=Sampling(num_draws=100))
    path = Path(tmp_path_factory.mktemp("report")) / "index.html"
    path.write_text(render_page(compute_sections(arranged(data)), {}), encoding="utf-8")
    return path


@pytest.fixture
def said() -> list[str]:
    """What the page said on the console and what it asked the network for."""
    return []


@pytest.fixture
def page(chromium, said) -> Iterator[Page]:
    opened = chromium.new_page(viewport={"width": 1280, "height": 900})
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on(
        "request",
        lambda request: None if request.url.startswith("file:") else said.append(request.url),
    )
    yield opened
    opened.close()


def column(page, table, number):
    cells = page.locator(f"{table} tbody tr:not([hidden]) [data-c='{number}']")
    return cells.evaluate_all("cells => cells.map((cell) => cell.dataset.value)")


def heads(page, table):
    return page.locator(f"{table} thead th.column:not([hidden])").all_inner_texts()


def test_the_page_renders_without_console_messages(page, report, said):
    page.goto(report.as_uri())
    assert said == []
    assert page.title() == "Podium: Quickstart"
    assert page.locator(".podium").count() == 2
    assert page.locator("text=Record for reproduction").is_visible()
    assert EVIL in page.locator("#missing").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_loading_from_elsewhere_is_noticed(page, report, said, tmp_path):
    other = tmp_path / "other.html"
    text = report.read_text(encoding="utf-8")
    intruder = (
        '<img src="http://127.0.0.1:9/x.png"><script>document.title = "owned"</script></main>'
    )
    other.write_text(text.replace("</main>", intruder), encoding="utf-8")
    page.goto(other.as_uri())
    assert sum("Content Security Policy" in line for line in said) == 2
    assert page.title() == "Podium: Quickstart"


def test_a_loss_sorts_the_rows_and_a_row_sorts_the_losses(page, report, said):
    page.goto(report.as_uri())
    table = "table[data-axis=dataset]"
    before, losses = column(page, table, 1), heads(page, table)
    header = page.locator(f"{table} thead th[data-c='1']")
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, table, 1) == sorted(before, key=float, reverse=True)
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, table, 1) == sorted(before, key=float)
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") is None
    assert column(page, table, 1) == before
    row = page.locator(f"{table} tbody tr").first
    row.locator("th button").click()
    values = row.locator("td").evaluate_all("cells => cells.map((cell) => +cell.dataset.value)")
    assert values == sorted(values, reverse=True)
    assert sorted(heads(page, table)) == sorted(losses)
    assert row.locator("th").get_attribute("aria-sort") == "descending"
    points = page.locator(f"{table} tfoot th button")
    points.click()
    feet = page.locator(f"{table} tfoot td").evaluate_all(
        "cells => cells.map((cell) => +cell.dataset.value)"
    )
    assert feet == sorted(feet, reverse=True)
    assert page.locator(f"{table} th[scope=row][aria-sort]").count() == 1
    assert said == []


def test_filters_and_the_metric(page, report, said):
    page.goto(report.as_uri())
    page.fill("#filter-dataset", "wound, WIDE")
    page.fill("#filter-loss", "iou")
    rows = page.locator("table[data-axis=dataset] tbody tr:not([hidden]) th").all_inner_texts()
    assert rows == ["Wound (synthetic)", "Endoscopy, wide (synthetic)"]
    assert set(heads(page, "table[data-axis=dataset]")) == {"IoU", "IoUFocal"}
    assert page.locator("table[data-axis=cell] tbody tr:not([hidden])").count() == 4
    assert page.locator("table[data-axis=model] tbody tr:not([hidden])").count() == 2
    shown = page.locator("#heat-status").inner_text()
    assert shown == "Shown: 2 of 3 rows, 2 of 2 rows, 4 of 6 rows; 2 of 4 losses."
    page.select_option("#metric", "recall")
    values = page.evaluate("data.heat.model.recall.means")
    cell = page.locator("table[data-axis=model] tr[data-r='1'] td[data-c='0']")
    assert cell.locator(".value").inner_text() == f"{values[1][0]:.4f}"
    assert cell.get_attribute("title").startswith(f"{values[1][0]:.6f}, 9 of 9 trials")
    assert "mean test Recall" in page.locator("#heat h3").first.inner_text()
    page.click("#heat-reset")
    assert page.locator("#heat [data-r][hidden]").count() == 0
    dice = page.evaluate("data.heat.model.dice.means")
    assert cell.locator(".value").inner_text() == f"{dice[1][0]:.4f}"
    assert said == []


def test_curves_of_chosen_trials(page, report, said):
    page.goto(report.as_uri())
    lines = page.locator("#curve-plot .thin")
    assert lines.count() == 3 * 3  # losses checked x repeats
    page.click("#curve-none")
    assert lines.count() == 0
    assert "No selected trial" in page.locator("#curve-plot").text_content()
    page.locator("input[name=curve-loss]").first.check()
    page.select_option("#curve-model", "")
    page.select_option("#curve-dataset", "0")
    assert lines.count() == 2 * 3
    assert page.locator("#curve-plot .line:not(.thin)").count() >= 1
    page.locator("#trials summary").click()
    assert page.locator("#curve-rows tr").count() == 6
    page.select_option("#curve-from", "0.5")
    assert lines.count() == 6
    box = page.locator("#curve-plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert "epoch" in page.locator("#curve-readout").inner_text()
    assert said == []


def test_without_scripts_the_page_is_complete(chromium, report):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("table[data-axis=cell] tbody tr").count() == 6
    assert page.locator("#curves figure svg").count() == 3
    assert page.locator("#examples figure").count() == 3 * (2 + 2 * 4)
    assert page.locator(".controls").first.is_hidden()
    assert page.locator("noscript").is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_has_no_second_scroll_bar(chromium, report, scheme):
    context = chromium.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(250, 249, 245)", "dark": "rgb(20, 23, 26)"}[scheme]
    context.close()


CUT = """() => {
  document.querySelectorAll("details").forEach((details) => { details.open = true; });
  const whole = document.documentElement, found = [];
  for (const cell of document.querySelectorAll("td, th")) {
    const frame = cell.closest(".scroll") || whole, own = cell.getBoundingClientRect();
    const start = frame === whole ? 0 : frame.getBoundingClientRect().left;
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const range = document.createRange();
      range.selectNodeContents(walker.currentNode);
      for (const box of range.getClientRects()) {
        const end = Math.min(start + frame.scrollWidth, own.right);
        if (box.right > end + 1 || box.left < own.left - 1) found.push(walker.currentNode.data);
      }
    }
  }
  return found;
}"""
FADES = """() => [...document.querySelectorAll(".scroll")].map((one) => [
  one.scrollWidth > one.clientWidth + 1,
  parseFloat(getComputedStyle(one).getPropertyValue("--fade")) > 0,
])"""


@pytest.mark.parametrize("width", [390, 320])
def test_cut_table_cells_are_marked_on_a_phone(chromium, report, tmp_path, width):
    before = make_data(3, 2, 3, 2, num_epochs=2, predictions=False)
    after = dataclasses.replace(before, trials=before.trials.assign(dice=before.trials["dice"] / 2))
    compared = tmp_path / "compare.html"
    write_comparison(
        compare(side("A", "before", before.checked()), side("B", "after", after.checked())),
        compared,
    )
    page = chromium.new_page(viewport={"width": width, "height": 800}, is_mobile=True)
    for path in (report, compared):
        page.goto(path.as_uri())
        assert page.evaluate(CUT) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        fades = page.evaluate(FADES)
        assert any(goes_on for goes_on, _ in fades)
        assert all(fades_out == goes_on for goes_on, fades_out in fades)
    page.close()


def test_intervals_are_read_without_scrolling_on_a_phone(chromium, report):
    page = chromium.new_page(viewport={"width": 390, "height": 800}, is_mobile=True)
    page.goto(report.as_uri())
    ends = page.locator(".certainty tr td:nth-child(2) .muted").evaluate_all(
        "texts => texts.map((text) => text.getBoundingClientRect().right"
        " - text.closest('.scroll').getBoundingClientRect().right)"
    )
    assert len(ends) >= 4
    assert max(ends) < -34  # not even under what fades out
    page.close()


def test_the_page_prints(page, report):
    page.goto(report.as_uri())
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 50_000
    page.emulate_media(media="print")
    assert page.locator(".controls").first.is_hidden()
    assert page.locator("table[data-axis=model]").is_visible()
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 between margins of 12 mm
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    too_wide = (
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    )
    assert page.evaluate(f"{too_wide}.length") == 0


def test_the_comparison_page_sorts_and_filters(page, said, tmp_path):
    before = make_data(3, 2, 3, 2, num_epochs=2, predictions=False)
    after = dataclasses.replace(
        before, trials=before.trials.assign(dice=before.trials["dice"] ** 2)
    )
    out = tmp_path / "compare.html"
    write_comparison(
        compare(side("A", "before", before.checked()), side("B", "after", after.checked())), out
    )
    page.goto(out.as_uri())
    assert page.locator("#cells tbody tr").count() == 3 * 2 * 3
    page.fill("input[data-filters=cells]", "wound")
    assert page.locator("#cells-status").inner_text() == "6 of 18 rows"
    page.locator("#cells th[data-c='5'] button").click()
    values = [float(value) for value in column(page, "#cells", 5)]
    assert values == sorted(values, reverse=True)
    assert said == []
