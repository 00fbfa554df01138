"""Counts, remaining time and durations."""

from __future__ import annotations

import pytest

from orchestrator.progress import SweepStarted, Tally, TrialFailed, TrialFinished
from orchestrator.progress.displays import cut, cut_label
from tests.unit.orchestrator.progress.story import FakeClock


def test_time_left_follows_from_the_rate_so_far():
    clock = FakeClock()
    tally = Tally(clock=clock)
    tally.on(SweepStarted(10, 4, 6))
    unknown = tally.eta_seconds
    assert unknown is None
    clock.wait(30)
    tally.on(TrialFinished("a", "completed", None, 1))
    assert tally.eta_seconds == 90
    tally.on(TrialFailed("b", "bug", "x"))
    assert tally.eta_seconds == 30
    tally.on(TrialFinished("c", "diverged", None, 1))
    tally.on(TrialFinished("d", "completed", None, 1))
    assert (tally.ended, tally.eta_seconds) == (4, 0)


def test_a_trial_without_a_start_is_shown_by_its_id():
    assert Tally(clock=FakeClock()).on(TrialFinished("abc", "completed", None, 1)) == "abc"


@pytest.mark.parametrize("width", [8, 20, 79, 80, 200])
def test_texts_are_cut_to_the_width(width):
    text = "0123456789" * 10
    assert len(cut(text, width)) == min(width, 100)
    assert len(cut_label(text, width)) == min(width, 100)


def test_a_label_is_shortened_at_its_dataset():
    label = "synthetic-ultrasound-malignant · unetpp-8 · iou+focal · 1"
    assert cut_label(label, 40) == "synthetic-... · unetpp-8 · iou+focal · 1"
    assert cut_label(label, 57) == label
    assert cut_label(label, 20) == "synthetic-ultraso..."
