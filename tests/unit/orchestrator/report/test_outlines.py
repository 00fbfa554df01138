"""Outlines of masks, by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.report.outlines import outlines, svg_path


def area(line):
    """Signed area of a closed line; holes have the opposite sign."""
    following = [*line[1:], line[0]]
    return sum(x * v - u * y for (x, y), (u, v) in zip(line, following, strict=True)) / 2


def mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def test_one_pixel_is_a_diamond():
    (line,) = outlines(mask("...", ".#.", "..."))
    assert set(line) == {(1.5, 1.0), (2.0, 1.5), (1.5, 2.0), (1.0, 1.5)}
    assert svg_path([line]) == "M1.5 1L2 1.5L1.5 2L1 1.5Z"


def test_straight_runs_keep_only_their_ends():
    (line,) = outlines(mask("####", "####"))
    assert len(line) == 8
    assert area(line) == 8 - 4 * 0.125


def test_inner_and_separate_areas_have_their_own_outlines():
    ring = outlines(mask("###", "#.#", "###"))
    assert sorted(area(line) for line in ring) == [-0.5, 8.5]
    assert len(outlines(mask("#.#"))) == 2
    # Pixels that touch at a corner: the walk must still close.
    assert sum(area(line) for line in outlines(mask("#.", ".#"))) > 0


def test_outlines_of_an_empty_and_of_a_full_mask():
    assert outlines(np.zeros((3, 3), dtype=bool)) == []
    assert svg_path([]) == ""
    (line,) = outlines(np.ones((3, 3), dtype=bool))
    assert min(x for x, _ in line) == 0
    assert max(x for x, _ in line) == 3


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_the_area_inside_is_about_the_number_of_pixels(rows):
    pixels = np.array(rows)
    lines = outlines(pixels)
    corners = sum(len(line) for line in lines)
    inside = sum(area(line) for line in lines)
    assert abs(inside - pixels.sum()) <= corners / 8 + 1e-9
