"""The display on a terminal, drawn without colours at eighty columns."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.progress import (
    EpochEnded,
    PlainProgress,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialLeft,
    TrialStarted,
    make_progress,
)
from orchestrator.progress.displays import JsonProgress, LiveProgress
from tests.unit.orchestrator.progress.story import FakeClock, first_half, second_half
from workers.contract import UserError

GOLDEN = Path(__file__).parent / "golden"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)


def drawn(progress: LiveProgress, width: int = 80) -> str:
    target = console(width)
    target.print(progress.render())
    text = target.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_the_display_is_as_the_golden_file_says():
    clock = FakeClock()
    progress = LiveProgress(console(), clock)
    first_half(progress, clock)
    text = drawn(progress)
    second_half(progress, clock)
    text += "---\n" + drawn(progress)
    assert text == (GOLDEN / "live.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_display_keeps_to_the_terminal(width):
    clock = FakeClock()
    progress = LiveProgress(console(width), clock)
    first_half(progress, clock)
    lines = drawn(progress, width).splitlines()
    progress.close()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 6


def test_long_lists_of_trials_and_failures_are_cut():
    progress = LiveProgress(console(), FakeClock())
    progress.on(SweepStarted(100, 100, 0))
    for number in range(30):
        progress.on(TrialStarted(str(number), f"trial {number}"))
        progress.on(TrialFailed(f"f{number}", "bug", "it broke"))
    lines = drawn(progress).splitlines()
    progress.close()
    assert len(lines) == 1 + 8 + 1 + 1 + 3
    assert "and 22 more running" in lines
    assert "30 failed, 0 diverged" in lines


def test_an_empty_sweep_can_be_drawn():
    progress = LiveProgress(console(), FakeClock())
    assert drawn(progress)
    progress.on(SweepStarted(3, 0, 3))
    assert "0/0" in drawn(progress)
    progress.on(SweepFinished())


def test_markup_in_a_label_or_message_is_text():
    progress = LiveProgress(console(), FakeClock())
    progress.on(SweepStarted(2, 2, 0))
    progress.on(TrialStarted("a", "[bold]x[/]"))
    progress.on(TrialFailed("b", "bug", "list[int] [/red]"))
    text = drawn(progress)
    progress.close()
    assert "[bold]x[/]" in text
    assert "list[int] [/red]" in text


def test_closing_twice_gives_the_terminal_back_once():
    terminal = _Terminal()
    progress = make_progress("live", terminal, FakeClock())
    progress.on(SweepStarted(1, 1, 0))
    progress.close()
    progress.close()
    assert terminal.getvalue().count("\x1b[?25h") == 1  # the cursor is shown again


def test_events_while_redrawing_raise_nothing():
    clock = FakeClock()
    progress = LiveProgress(console(), clock)
    progress.on(SweepStarted(500, 500, 0))
    stop, errors = threading.Event(), []

    def draw() -> None:
        while not stop.is_set():
            try:
                drawn(progress)
            except RuntimeError as error:
                errors.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    for number in range(500):
        progress.on(TrialStarted(str(number), "x"))
        progress.on(EpochEnded(str(number), 1, 0.5))
        if number > 3:
            progress.on(TrialFinished(str(number - 4), "completed", 0.5, 1.0))
    stop.set()
    thread.join()
    progress.close()
    assert errors == []


def test_the_mode_follows_the_stream(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_progress("auto", _Terminal()), LiveProgress)
    assert isinstance(make_progress("auto", io.StringIO()), PlainProgress)
    assert isinstance(make_progress("json", _Terminal()), JsonProgress)
    assert isinstance(make_progress("plain", _Terminal()), PlainProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_progress("auto", _Terminal()), PlainProgress)


def test_an_unknown_mode_names_the_known_ones():
    with pytest.raises(UserError, match="--progress jsno: unknown mode; did you mean 'json'"):
        make_progress("jsno", io.StringIO())


def test_a_trial_of_another_driver_is_not_shown():
    progress = LiveProgress(console(), FakeClock())
    progress.on(SweepStarted(2, 2, 0))
    progress.on(TrialStarted("a", "wound · fcn · bce · 0"))
    assert "wound" in drawn(progress)
    progress.on(TrialLeft("a", "process 7 on elsewhere is training it"))
    assert "wound" not in drawn(progress)
