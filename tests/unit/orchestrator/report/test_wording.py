"""Numbers as people read them."""

from __future__ import annotations

import pytest

from orchestrator.report.wording import (
    bytes_text,
    count_text,
    duration_text,
    list_text,
    metric_text,
    points_text,
)


@pytest.mark.parametrize(
    ("points", "text"), [(8, "8"), (8.0, "8"), (7.5, "7.5"), (1 / 3, "0.33"), (0, "0"), (15, "15")]
)
def test_points(points, text):
    assert points_text(points) == text


def test_metrics_keep_their_digits():
    assert metric_text(0.79400001) == "0.7940"
    assert metric_text(0.5, digits=3) == "0.500"
    assert metric_text(None) == "–"  # noqa: RUF001


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "loss", "1 loss"), (2, "loss", "2 losses"), (3600, "trial", "3,600 trials")],
)
def test_counts(number, noun, text):
    assert count_text(number, noun) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.25 s"),
        (59.94, "59.9 s"),
        (61, "1 min 1 s"),
        (3661, "1 h 1 min"),
        (3_600_000, "1,000 h"),
    ],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_sizes():
    assert bytes_text(512) == "512 B"
    assert bytes_text(612 * 2**20) == "612 MiB"
    assert bytes_text(3 * 2**30) == "3.0 GiB"


def test_lists():
    assert list_text([]) == ""
    assert list_text(["a"]) == "a"
    assert list_text(["a", "b", "c"]) == "a, b and c"
    assert list_text(list("abcdefg")) == "a, b, c and 4 more"
