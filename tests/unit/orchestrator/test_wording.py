"""Numbers as people read them."""

from __future__ import annotations

import pytest

from orchestrator.wording import (
    bytes_text,
    count_of_text,
    count_text,
    decimal_text,
    duration_text,
    hours_text,
    interval_text,
    list_text,
    mean_count_text,
    metric_title,
    number_text,
    p_equation_text,
    p_value_text,
    parameter_text,
    percent_text,
    plain_text,
    points_text,
    probability_text,
    signed_text,
)


@pytest.mark.parametrize(
    ("points", "text"), [(8, "8"), (8.0, "8"), (7.5, "7.5"), (1 / 3, "0.33"), (0, "0"), (15, "15")]
)
def test_points_have_at_most_two_decimals(points, text):
    assert points_text(points) == text


def test_decimals_are_fixed():
    assert decimal_text(0.79400001) == "0.7940"
    assert decimal_text(0.5, digits=3) == "0.500"
    assert decimal_text(None) == "–"  # noqa: RUF001


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "loss", "1 loss"), (2, "loss", "2 losses"), (3600, "trial", "3,600 trials")],
)
def test_counts_have_their_plural(number, noun, text):
    assert count_text(number, noun) == text


def test_counts_of_a_total_and_their_means():
    assert count_of_text(1200, 3600, "trial") == "1,200 of 3,600 trials"
    assert [mean_count_text(mean) for mean in (122.0, 121.75)] == ["122", "121.8"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-1, "0 s"),
        (0.00001, "0 s"),
        (0.25, "0.25 s"),
        (3.42, "3.4 s"),
        (9, "9 s"),
        (42.4, "42 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 1200, "1,200 d"),
        (None, "–"),  # noqa: RUF001
    ],
)
def test_durations_have_at_most_two_units(seconds, text):
    assert duration_text(seconds) == text


def test_sizes_are_in_binary_units():
    assert bytes_text(512) == "512 B"
    assert bytes_text(612 * 2**20) == "612 MiB"
    assert bytes_text(3 * 2**30) == "3.0 GiB"
    assert bytes_text(None) == "–"  # noqa: RUF001


def test_long_lists_are_cut_and_counted():
    assert list_text([]) == ""
    assert list_text(["a"]) == "a"
    assert list_text(["a", "b", "c"]) == "a, b and c"
    assert list_text(list("abcdefg")) == "a, b, c and 4 more"


@pytest.mark.parametrize(
    ("probability", "text", "with_decimal"),
    [
        (0.0, "<1 %", "<0.1 %"),
        (0.0049, "<1 %", "0.5 %"),
        (0.0051, "1 %", "0.5 %"),
        (0.414, "41 %", "41.4 %"),
        (0.9949, "99 %", "99.5 %"),
        (0.995, ">99 %", "99.5 %"),
        (1.0, ">99 %", ">99.9 %"),
    ],
)
def test_a_probability_never_claims_certainty(probability, text, with_decimal):
    assert probability_text(probability) == text
    assert probability_text(probability, 1) == with_decimal


def test_an_exact_fraction_may_be_all_of_it():
    assert [percent_text(level) for level in (0.95, 0.999, 1)] == ["95 %", "99.9 %", "100 %"]
    assert percent_text(1 / 7, decimals=1) == "14.3 %"


def test_differences_have_a_sign_unless_they_round_to_nothing():
    assert [signed_text(value) for value in (0.01234, -0.5, -0.00001, 0.0)] == [
        "+0.0123", "−0.5000", "0.0000", "0.0000",
    ]  # fmt: skip
    assert interval_text(-0.0312, 0.0622) == "−0.0312 to +0.0622"


def test_hours_have_as_many_digits_as_they_need():
    assert [hours_text(hours) for hours in (0.0421, 3.68, 1204.4)] == ["0.042", "3.7", "1,204"]


def test_p_values_have_three_decimals():
    assert [p_value_text(p) for p in (0.0004, 0.0123, 0.25)] == ["<0.001", "0.012", "0.250"]
    assert [p_equation_text(p) for p in (0.0004, 0.0123)] == ["p < 0.001", "p = 0.012"]


def test_numbers_for_people_and_for_programs():
    assert (plain_text(0.005), plain_text(None)) == ("0.005", "–")  # noqa: RUF001
    assert [parameter_text(value) for value in (0.123456, "sum", True)] == ["0.123", "sum", "true"]
    assert float(number_text(0.1 + 0.2)) == 0.1 + 0.2
    assert number_text(None) == ""


def test_metric_titles():
    names = ("iou", "dice_pooled", "best_val_dice", "my_score")
    assert [metric_title(name) for name in names] == [
        "IoU", "Dice, pooled", "Best validation Dice", "my_score",
    ]  # fmt: skip
