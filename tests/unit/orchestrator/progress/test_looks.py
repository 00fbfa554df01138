from __future__ import annotations

import io
from pathlib import Path

import pytest

from orchestrator.progress.looks import LookProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(stream: io.StringIO) -> str:
    """Twenty-five seconds, a file each second; closed after 23."""
    seconds = iter(range(100))
    display = LookProgress(stream, lambda: next(seconds))
    for done in range(1, 26):
        if done == 24:
            display.close()
        display(Path("data"), done, 1234)
    return stream.getvalue()


def test_a_file_gets_a_line_every_ten_seconds() -> None:
    assert play(io.StringIO()).splitlines() == [
        "first look at data: 3 of 1,234 files",
        "first look at data: 13 of 1,234 files",
        "first look at data: 23 of 1,234 files",
    ]


def test_a_terminal_gets_one_line_that_is_cleared() -> None:
    lines = play(Terminal()).split("\r")[1:]
    assert len(lines) == 22
    assert lines[0] == "first look at data: 3 of 1,234 files\x1b[K"
    assert lines[-1] == "\x1b[K"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_short_look_shows_nothing(stream: io.StringIO) -> None:
    display = LookProgress(stream, lambda: 0.0)
    display(Path("data"), 1, 1)
    display.close()
    assert stream.getvalue() == ""
