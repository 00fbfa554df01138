from __future__ import annotations

import io
from pathlib import Path

import pytest

from orchestrator.progress.inspection import InspectionProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(stream: io.StringIO) -> str:
    """Twenty-five seconds, a file each second; closed after 23."""
    seconds = iter(range(100))
    display = InspectionProgress(stream, lambda: next(seconds))
    for done in range(1, 26):
        if done == 24:
            display.close()
        display(Path("data"), done, 1234)
    return stream.getvalue()


def test_a_file_gets_a_line_every_ten_seconds() -> None:
    assert play(io.StringIO()).splitlines() == [
        "inspecting data: 3 of 1,234 files",
        "inspecting data: 13 of 1,234 files",
        "inspecting data: 23 of 1,234 files",
    ]


def test_a_terminal_gets_one_line_that_is_cleared() -> None:
    lines = play(Terminal()).split("\r")[1:]
    assert len(lines) == 22
    assert lines[0] == "inspecting data: 3 of 1,234 files\x1b[K"
    assert lines[-1] == "\x1b[K"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_short_inspection_shows_nothing(stream: io.StringIO) -> None:
    display = InspectionProgress(stream, lambda: 0.0)
    display(Path("data"), 1, 1)
    display.close()
    assert stream.getvalue() == ""
