"""Time left: by hand, then against a simulated sweep, then what could mislead it."""

from __future__ import annotations

import heapq
import random

import pytest

from orchestrator.progress import (
    Forecast,
    SweepStarted,
    Tally,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)
from tests.unit.orchestrator.progress.story import FakeClock


def test_time_left_by_hand():
    forecast = Forecast({"a": 10, "b": 10, "c": 4, "d": 2})
    forecast.begin("a", 0)
    forecast.begin("b", 0)
    assert forecast.seconds_left(20) is None  # nothing has ended
    forecast.end("a", 20, has_result=True)
    forecast.begin("c", 20)
    # Both took two seconds for each expected: a is done, b has done all it was expected to.
    # Waiting is d, 4 s; c has 8 s left and cannot be shared out.
    assert forecast.seconds_left(20) == pytest.approx(8)
    forecast.end("b", 20, has_result=True)
    forecast.begin("d", 20)
    assert forecast.seconds_left(22) == pytest.approx(6)
    forecast.end("d", 24, has_result=True)
    assert forecast.seconds_left(24) == pytest.approx(4)
    forecast.end("c", 28, has_result=True)
    assert forecast.seconds_left(28) == 0


@pytest.mark.parametrize("slots", [1, 2, 7, 14])
def test_forecast_after_a_twentieth_errs_below_ten_percent(slots):
    """Longest expected first; trials stop early at random and models are misjudged."""
    draw = random.Random(7)
    expected = {f"{i}": 1000 / (1 + i) ** 0.7 for i in range(800)}
    actual = {key: value * 3 * draw.uniform(0.4, 1) for key, value in expected.items()}
    clock = FakeClock()
    tally = Tally(clock=clock, forecast=Forecast(expected))
    tally.on(SweepStarted(800, 800, 0))
    queue, began = list(expected), clock.now
    running: list[tuple[float, str]] = []
    predicted = []
    while queue or running:
        while queue and len(running) < slots:
            trial = queue.pop(0)
            tally.on(TrialStarted(trial, trial))
            heapq.heappush(running, (clock.now + actual[trial], trial))
        ends, trial = heapq.heappop(running)
        clock.now = ends
        tally.on(TrialFinished(trial, "completed", None, 1))
        if tally.ended >= 40:
            predicted.append(clock.now - began + (tally.eta_seconds or 0))
    whole = clock.now - began
    assert max(abs(value / whole - 1) for value in predicted) < 0.1


def test_an_early_failure_does_not_change_the_pace():
    clock = FakeClock()
    tally = Tally(clock=clock, forecast=Forecast(dict.fromkeys("abc", 10.0)))
    tally.on(SweepStarted(3, 3, 0))
    tally.on(TrialStarted("a", "a"))
    tally.on(TrialFailed("a", "bug", "x"))
    tally.on(TrialStarted("b", "b"))
    clock.wait(20)
    tally.on(TrialFinished("b", "completed", None, 1))
    assert tally.eta_seconds == pytest.approx(20)


def test_unexpected_trials_are_forecast_by_their_number():
    clock = FakeClock()
    tally = Tally(clock=clock, forecast=Forecast({}))
    tally.on(SweepStarted(2, 2, 0))
    tally.on(TrialStarted("a", "a"))
    clock.wait(30)
    tally.on(TrialFinished("a", "completed", None, 1))
    assert tally.eta_seconds == 30
