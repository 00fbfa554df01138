"""Colours and dashes: legible to colour-blind readers, the same on the page and in figures."""

from __future__ import annotations

from dataclasses import dataclass

# Okabe and Ito's colours, without black and yellow, which vanish on dark and on white pages;
# grey closes the row. Beyond seven losses the dash tells them apart.
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555B66")
LINE_COLOURS_ON_DARK = (
    "#56A8E0", "#F0814A", "#35C39B", "#E09CC2", "#F0B73E", "#8FD0F5", "#7C828C",
)  # fmt: skip
LINE_DASHES = ("", "6 3", "2 2.5", "9 3 2 3")

GOLD, SILVER, BRONZE = "#C99A2E", "#8E99A6", "#B06C3A"
MEDALS = (GOLD, SILVER, BRONZE)

# Light enough for dark text on every shade; lightness alone tells high from low.
HEAT_LOW, HEAT_HIGH, WORSE = "#F6F3EB", "#6DBAB3", "#E0A878"
TRUTH_COLOUR, PREDICTION_COLOUR = "#5CC8FF", "#FF9F1C"
INK, MUTED, RULE = "#1F2328", "#68707A", "#D9D6CE"

COMPOUND_COLOUR, SINGLE_COLOUR, OTHER_COLOUR = "#1F4E79", "#CFE0F0", "#8A8F98"
"""Bars of the study's figure 2A: compound losses dark, single ones light and hatched."""

TRUTH_LINE = "#E69F00"
"""Outline of the true mask over a black and white prediction."""


@dataclass(frozen=True, kw_only=True)
class LineStyle:
    """How one loss is drawn.

    Attributes:
        index: Place of the loss in the grid, from 0.
        colour: Hexadecimal colour.
        dash: SVG dash pattern in points; empty for a full line.
    """

    index: int
    colour: str
    dash: str


def line_styles(labels: tuple[str, ...]) -> dict[str, LineStyle]:
    """Gives each label its own colour and dash by its place, so that a report stays comparable."""
    num_colours, num_dashes = len(LINE_COLOURS), len(LINE_DASHES)
    return {
        label: LineStyle(
            index=index,
            colour=LINE_COLOURS[index % num_colours],
            dash=LINE_DASHES[index // num_colours % num_dashes],
        )
        for index, label in enumerate(labels)
    }


def mix(low: str, high: str, share: float) -> str:
    """Returns the colour at a share (0 to 1) of the way from `low` to `high`."""
    pairs = zip(_channels(low), _channels(high), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
