"""Colours as people without red or green cones see them (Machado et al., IEEE TVCG 15(6), 2009)."""

import itertools

import numpy as np
import pytest

from orchestrator.report.figures.bars import _LOOKS
from orchestrator.report.figures.heat import _BADGES
from orchestrator.report.palette import (
    COMPOUND_COLOUR,
    HEAT_HIGH,
    HEAT_LOW,
    INK,
    LINE_COLOURS,
    LINE_COLOURS_ON_DARK,
    MUTED,
    SINGLE_COLOUR,
    TRUTH_LINE,
    line_styles,
    mix,
)

SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "no colour": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
NAMED = {"white": "#FFFFFF"}


def seen(colour, sight):
    """Returns linear RGB as this sight has it."""
    text = NAMED.get(colour, colour)
    rgb = np.array([int(text[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.clip(SIGHTS[sight] @ linear, 0, 1)


def contrast(first, second, sight):
    """Returns the contrast ratio of WCAG 2.1, from 1 to 21."""
    light = sorted(TO_XYZ[1] @ seen(colour, sight) for colour in (first, second))
    return (light[1] + 0.05) / (light[0] + 0.05)


def difference(first, second, sight):
    """Returns the distance in CIELAB (1976); about 2 is just noticeable."""

    def lab(colour):
        ratio = TO_XYZ @ seen(colour, sight) / TO_XYZ.sum(axis=1)
        cube = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
        return np.array([116 * cube[1] - 16, 500 * (cube[0] - cube[1]), 200 * (cube[1] - cube[2])])

    return float(np.linalg.norm(lab(first) - lab(second)))


def test_the_measures_by_hand():
    assert contrast("#000000", "#FFFFFF", "normal") == pytest.approx(21)
    assert difference("#000000", "#FFFFFF", "normal") == pytest.approx(100, abs=0.1)
    # Red and green differ for most, much less without green cones.
    assert difference("#C00000", "#607000", "deuteranopia") < difference(
        "#C00000", "#607000", "normal"
    )


@pytest.mark.parametrize("sight", SIGHTS)
def test_text_is_legible_on_every_shade(sight):
    for share in np.linspace(0, 1, 11):
        assert contrast(INK, mix(HEAT_LOW, HEAT_HIGH, share), sight) >= 4.5
    assert contrast(MUTED, "white", sight) >= 4.5
    for face, ink in _BADGES:
        assert contrast(face, ink, sight) >= 4.5


@pytest.mark.parametrize("sight", SIGHTS)
def test_compound_and_single_bars_differ_in_lightness(sight):
    assert contrast(COMPOUND_COLOUR, SINGLE_COLOUR, sight) >= 4.5
    assert contrast(COMPOUND_COLOUR, "white", sight) >= 4.5
    assert len({hatch for _, hatch, _ in (_LOOKS["compound"], _LOOKS["single"])}) == 2


@pytest.mark.parametrize("sight", SIGHTS)
def test_badges_differ_in_lightness(sight):
    faces = [face for face, _ in _BADGES]
    for first, second in itertools.pairwise(faces):
        assert contrast(first, second, sight) >= 2.5


@pytest.mark.parametrize("sight", ["normal", "protanopia", "deuteranopia"])
def test_line_colours_differ(sight):
    for colours, least in ((LINE_COLOURS, 15), (LINE_COLOURS_ON_DARK, 12)):
        for first, second in itertools.combinations(colours, 2):
            assert difference(first, second, sight) >= least, (first, second)
    for colour in LINE_COLOURS:
        assert contrast(colour, "white", sight) >= 1.9


def test_lines_are_told_apart_without_colour():
    styles = line_styles(tuple(f"loss {number}" for number in range(28)))
    assert len({(style.colour, style.dash) for style in styles.values()}) == 28


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_true_outline_is_visible_on_black_and_on_white(sight):
    assert contrast(TRUTH_LINE, "#000000", sight) >= 4.5
