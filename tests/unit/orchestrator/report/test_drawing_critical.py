"""The critical-difference diagram: where things stand in it."""

from __future__ import annotations

import pytest

from orchestrator.ranking.significance import CriticalDifference
from orchestrator.report.drawing import WIDTH, draw_critical

FOUND = CriticalDifference(
    difference=0.8,
    mean_ranks={"a": 1.5, "b": 2.0, "c": 3.5, "d": 3.0},
    groups=(("a", "b"), ("d", "c")),
    alpha=0.05,
    num_blocks=12,
)


def test_positions_by_hand():
    drawn = draw_critical(FOUND, {"a": "Alpha"})
    assert [(label.full, label.rank, label.anchor) for label in drawn.labels] == [
        ("Alpha", 1.5, "end"), ("b", 2.0, "end"), ("d", 3.0, "start"), ("c", 3.5, "start"),
    ]  # fmt: skip
    unit = (drawn.right - drawn.left) / 3
    assert [tick.text for tick in drawn.ticks] == ["1", "2", "3", "4"]
    assert drawn.ticks[1].x == pytest.approx(drawn.left + unit, abs=0.1)
    assert drawn.ruler[1] - drawn.ruler[0] == pytest.approx(0.8 * unit, abs=0.1)
    first, second = drawn.bars
    assert first.x1 + 4 == pytest.approx(drawn.left + 0.5 * unit, abs=0.1)
    assert second.x2 - 4 == pytest.approx(drawn.left + 2.5 * unit, abs=0.1)
    assert second.y > first.y > drawn.axis_y
    # The outermost of each side are highest, so that no line crosses a name.
    left, right = drawn.labels[:2], drawn.labels[2:]
    assert left[0].y < left[1].y
    assert right[1].y < right[0].y
    assert all(label.y < drawn.height for label in drawn.labels)


def test_long_names_and_wide_differences_stay_inside():
    found = CriticalDifference(
        difference=9.0, mean_ranks={"x" * 60: 1.0, "y": 2.0}, groups=(), alpha=0.05, num_blocks=3
    )
    drawn = draw_critical(found, {})
    assert len(drawn.labels[0].text) == 22
    assert drawn.labels[0].full == "x" * 60
    assert drawn.ruler[1] <= WIDTH
