"""The page in a real browser: it renders, says nothing on the console and loads nothing."""

from __future__ import annotations

import dataclasses
import subprocess

import pandas as pd
import pytest

from orchestrator.report.write import write_report
from tests.unit.orchestrator.report.factory import make_data, make_failure

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(120)]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--dump-dom", "--virtual-time-budget=3000",
)  # fmt: skip


def open_page(browser, page, profile):
    """Returns the page's final DOM and what it said on the console."""
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]


def test_the_page_renders_in_silence(browser, tmp_path):
    data = make_data(2, 2, 5, 1, num_epochs=4, image_size=24)
    failures = pd.DataFrame([make_failure(data, 0)])
    page = write_report(dataclasses.replace(data, failures=failures), tmp_path / "out").page
    dom, console = open_page(browser, page, tmp_path / "profile")
    assert console == []
    assert dom.count('class="podium"') == 2
    assert dom.count('class="outline"') == 2 * 5 * 2
    assert "Record for doing it again" in dom


def test_a_page_that_loads_something_would_be_noticed(browser, tmp_path):
    page = write_report(make_data(1, 1, 1, 1, num_epochs=2, image_size=24), tmp_path / "out").page
    text = page.read_text().replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>')
    page.write_text(text)
    _, console = open_page(browser, page, tmp_path / "profile")
    assert any("Content Security Policy" in line for line in console)
