"""The page of `podium watch` in a real browser while a real sweep fills the store."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

CONFIG = """
name: Watched
datasets: [{name: synthetic-skin, parameters: {num_images: 12}}]
models: [{name: unet, alias: tiny, parameters: {width: 2}}]
losses: [iou, bce]
repeats: 2
data: {image_size: 32, cache: cache}
training: {max_epochs: 200, patience: 200, batch_size: 4}
results: res
"""


@contextmanager
def podium(*arguments, cwd, **environment):
    """A separate podium command, stopped with Ctrl-C at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def address_of(process):
    for line in process.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            return found[0]
    raise AssertionError("podium watch said no address")


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(180)
def test_the_page_follows_a_sweep_and_writes_nothing(tmp_path, browser):
    from playwright.sync_api import sync_playwright

    (tmp_path / "c.yaml").write_text(CONFIG)
    with (
        podium("watch", "res", "--port", "0", cwd=tmp_path) as server,
        sync_playwright() as play,
    ):
        address = address_of(server)
        engine = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = engine.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url))
        page.goto(address)
        page.get_by_text("No sweep has been started here yet").wait_for()
        assert not (tmp_path / "res").exists()

        with podium("run", "c.yaml", "--engine", "inline", cwd=tmp_path) as run:
            page.locator(".cell.busy").first.wait_for(timeout=60_000)
            assert page.locator(".cell").count() == 2
            assert "tiny" in page.locator("#grid").inner_text()
            run.wait(timeout=90)
        page.get_by_text("4 of 4 trials").first.wait_for(timeout=30_000)
        assert page.title() == "4/4 · Watched"
        assert page.locator("#legend").inner_text().split("\n")[0] == "4 completed"
        page.get_by_text("No driver is running on these results.").wait_for()

        page.get_by_role("button", name="BCE: 2 of 2 done").click()
        page.locator("#curves polyline").nth(1).wait_for()
        assert page.locator("#detail-title").inner_text() == "Synthetic Skin · tiny · BCE"
        assert page.locator("#repeats tr").count() == 3
        page.locator("#podiums table").nth(1).wait_for(timeout=30_000)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "res").rglob("*")}
        page.wait_for_timeout(3500)  # one more update of the page
        after = {path: path.stat().st_mtime_ns for path in (tmp_path / "res").rglob("*")}
        assert after == before
        assert troubles == []
        assert all(url.startswith((address, "data:")) for url in asked), asked
        engine.close()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_token_outside_loopback_is_printed_or_from_environment(tmp_path):
    with podium("watch", "res", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path) as server:
        assert re.search(r"\?token=[\w-]{32}$", address_of(server))
    chosen = {"PODIUM_WATCH_TOKEN": "my-own-long-secret-token"}
    with podium("watch", "res", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, **chosen) as one:
        assert "token" not in address_of(one)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_short_token_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "watch", "res"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd()), "PODIUM_WATCH_TOKEN": "hunter2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "PODIUM_WATCH_TOKEN" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
