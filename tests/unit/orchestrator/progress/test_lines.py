"""Plain lines for logs and JSON lines for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.progress import (
    EpochEnded,
    JsonProgress,
    PlainProgress,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialLeft,
    TrialStarted,
)
from tests.unit.orchestrator.progress.story import FakeClock, first_half, second_half

GOLDEN = Path(__file__).parent / "golden"


def told(display: type[PlainProgress] | type[JsonProgress]) -> str:
    stream, clock = io.StringIO(), FakeClock()
    progress = display(stream, clock)
    first_half(progress, clock)
    second_half(progress, clock)
    return stream.getvalue()


def test_plain_lines_are_as_the_golden_file_says():
    assert told(PlainProgress) == (GOLDEN / "plain.txt").read_text(encoding="utf-8")


def test_json_lines_are_as_the_golden_file_says():
    assert told(JsonProgress) == (GOLDEN / "events.jsonl").read_text(encoding="utf-8")


def test_plain_lines_fit_a_terminal_and_have_no_codes():
    text = told(PlainProgress)
    reasons = [line for line in text.splitlines() if line.startswith("    ")]
    assert max(len(line) for line in text.splitlines() if line not in reasons) <= 80
    assert reasons  # why a trial failed is told whole: the remedy is at its end
    assert "\x1b" not in text


def test_results_within_a_second_share_a_line():
    stream, clock = io.StringIO(), FakeClock()
    progress = PlainProgress(stream, clock)
    progress.on(SweepStarted(1000, 1000, 0))
    for number in range(1000):
        clock.wait(0.01)
        progress.on(TrialStarted(str(number), f"trial {number}"))
        progress.on(TrialFinished(str(number), "completed", 0.5, 0.01))
    lines = stream.getvalue().splitlines()
    assert 10 <= len(lines) <= 13
    assert lines[-1] == "[1000/1000] Dice 0.500, 0.01 s | trial 999"


def test_an_epoch_is_shown_every_ten_seconds():
    stream, clock = io.StringIO(), FakeClock()
    progress = PlainProgress(stream, clock)
    progress.on(SweepStarted(1, 1, 0))
    progress.on(TrialStarted("a", "a trial"))
    for epoch in range(1, 101):
        clock.wait(1)
        progress.on(EpochEnded("a", epoch, 0.5))
    lines = stream.getvalue().splitlines()[1:]
    assert len(lines) == 10
    assert lines[0] == "[0/1] 1 running, epoch 10, val Dice 0.500 | a trial"


def test_equal_failures_are_shown_once_and_others_at_once():
    stream, clock = io.StringIO(), FakeClock()
    progress = PlainProgress(stream, clock)
    progress.on(SweepStarted(100, 100, 0))
    for number in range(99):
        progress.on(TrialFailed(str(number), "bug", "KeyError: 'x'"))
    progress.on(TrialFailed("99", "bug", ""))
    lines = stream.getvalue().splitlines()
    assert lines[1:] == [
        "[1/100] FAILED bug | 0",
        "    KeyError: 'x'",
        "[100/100] FAILED bug | 99",
        "    no message",
    ]


def test_a_stopped_sweep_reports_the_trials_left():
    stream, clock = io.StringIO(), FakeClock()
    progress = PlainProgress(stream, clock)
    first_half(progress, clock)
    progress.on(SweepFinished(interrupted=True))
    last = stream.getvalue().splitlines()[-1]
    assert last == "Stopped after 2 min 4 s: 1 completed, 1 failed, 3 left"


def test_json_numbers_without_a_value_are_null():
    stream = io.StringIO()
    progress = JsonProgress(stream, FakeClock())
    progress.on(EpochEnded("a", 1, float("nan")))
    assert json.loads(stream.getvalue())["val_dice"] is None


class _Recorder(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[str] = []

    def flush(self) -> None:
        self.flushed.append(self.getvalue())


def test_every_json_line_is_flushed_whole():
    stream = _Recorder()
    progress = JsonProgress(stream, FakeClock())
    progress.on(SweepStarted(2, 2, 0))
    progress.on(TrialStarted("a", "a"))
    assert [text.count("\n") for text in stream.flushed] == [1, 2]
    assert all(text.endswith("}\n") for text in stream.flushed)


class _Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_closed_stream_does_not_end_the_sweep():
    for display in (PlainProgress, JsonProgress):
        clock = FakeClock()
        progress = display(_Gone(), clock)
        first_half(progress, clock)
        second_half(progress, clock)


def test_a_character_outside_the_encoding_is_replaced():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    progress = PlainProgress(stream, FakeClock())
    progress.on(SweepStarted(1, 1, 0))
    progress.on(TrialFailed("é · x", "bug", "naïve"))
    assert raw.getvalue().decode().splitlines()[1:] == ["[1/1] FAILED bug | ? ? x", "    na?ve"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.text(max_size=200)), max_size=20))
def test_every_json_event_is_one_line(events):
    stream, clock = io.StringIO(), FakeClock()
    progress = JsonProgress(stream, clock)
    for key, text in events:
        progress.on(TrialStarted(key, text))
        progress.on(TrialFailed(key, "bug", text))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 * len(events)
    assert [json.loads(line)["event"] for line in lines] == [
        "trial_started",
        "trial_failed",
    ] * len(events)


def test_json_of_a_trial_of_another_driver_can_end_later():
    stream, clock = io.StringIO(), FakeClock()
    progress = JsonProgress(stream, clock)
    progress.on(SweepStarted(1, 1, 0))
    progress.on(TrialStarted("a", "a trial"))
    progress.on(TrialLeft("a", "process 7 on elsewhere is training it"))
    progress.on(TrialFinished("a", "completed", 0.5, 3.0))
    left, finished = (json.loads(line) for line in stream.getvalue().splitlines()[2:])
    assert (left["event"], left["label"]) == ("trial_left", "a trial")
    assert left["message"] == "process 7 on elsewhere is training it"
    assert (finished["ended"], finished["pending"], finished["label"]) == (1, 1, "a trial")
