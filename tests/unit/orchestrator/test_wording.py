"""Numbers as people read them."""

from __future__ import annotations

import pytest

from orchestrator.wording import (
    bytes_text,
    count_text,
    duration_text,
    hours_text,
    list_text,
    metric_text,
    metric_title,
    number_text,
    p_value_text,
    percent_text,
    plain_text,
    points_text,
    short_percent_text,
    signed_text,
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


@pytest.mark.parametrize(
    ("share", "text", "short"),
    [
        (0.414, "41 %", "41 %"),
        (0.995, "over 99 %", ">99 %"),
        (1.0, "over 99 %", ">99 %"),
        (0.0, "under 1 %", "<1 %"),
        (0.0049, "under 1 %", "<1 %"),
        (0.0051, "1 %", "1 %"),
        (0.006, "1 %", "1 %"),
    ],
)
def test_shares_never_claim_certainty(share, text, short):
    assert percent_text(share) == text
    assert short_percent_text(share) == short


def test_differences_have_a_sign_unless_they_round_to_nothing():
    assert [signed_text(value) for value in (0.01234, -0.5, -0.00001, 0.0)] == [
        "+0.0123", "-0.5000", "0.0000", "0.0000",
    ]  # fmt: skip


def test_numbers_for_people_and_for_programs():
    assert [hours_text(hours) for hours in (0.0421, 3.68, 1204.4)] == ["0.042", "3.7", "1,204"]
    assert [p_value_text(p) for p in (0.0004, 0.0123)] == ["< 0.001", "= 0.012"]
    assert (plain_text(0.005), plain_text(None)) == ("0.005", "–")  # noqa: RUF001
    assert float(number_text(0.1 + 0.2)) == 0.1 + 0.2
    assert number_text(None) == ""


def test_metric_titles():
    names = ("iou", "dice_pooled", "best_val_dice", "my_score")
    assert [metric_title(name) for name in names] == [
        "IoU", "Dice, pooled", "Best validation Dice", "my_score",
    ]  # fmt: skip
