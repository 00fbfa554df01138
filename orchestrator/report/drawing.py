"""Geometry of the page's inline drawings: learning curves and example tiles."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from orchestrator.ranking.significance import CriticalDifference
from orchestrator.report.curves import MAX_BANDS, CurvePanel
from orchestrator.report.predictions import Example, outlines, svg_path

WIDTH, HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 8, 24

MAX_TILES = 12
"""Losses shown of one example."""

MAX_PATH_CHARACTERS = 40_000
"""A mask of salt and pepper is drawn coarser than this costs, or the page would be megabytes."""

_ALL_PATH_CHARACTERS = 3_000_000
_MAX_IMAGE_BYTES = 120_000
_SMALLER_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One mark on an axis: its position in the drawing and its text."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class DrawnCurve:
    """One line: SVG path data; `band` is empty where it would hide the lines or has no width."""

    loss: str
    line: str
    band: str
    last: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class DrawnPanel:
    """One panel of learning curves in a drawing of `WIDTH` by `HEIGHT`."""

    axis: str
    label: str
    num_trials: int
    curves: tuple[DrawnCurve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = HEIGHT - _BOTTOM


@dataclass(frozen=True, kw_only=True)
class DrawnTile:
    """The outline of one prediction in one binarisation."""

    loss: str
    dice: float
    path: str
    empty: bool


@dataclass(frozen=True, kw_only=True)
class DrawnExample:
    """One image; it is embedded once.

    Attributes:
        tiles: Each loss, binarised where the sigmoid is over 0.5.
        mean_tiles: Each loss, binarised at the mean of the raw output.
    """

    example: Example
    width: int
    height: int
    image_base64: str
    truth_path: str
    tiles: tuple[DrawnTile, ...]
    mean_tiles: tuple[DrawnTile, ...]


def draw_panel(panel: CurvePanel) -> DrawnPanel:
    """Lays out one panel of learning curves."""
    low, high = panel.dice_range()
    last = max(panel.num_epochs, 2)

    def place(epoch: float, value: float) -> tuple[float, float]:
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * (epoch - 1) / (last - 1)
        share = (min(max(value, low), high) - low) / (high - low)
        return round(x, 1), round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 1)

    with_bands = len(panel.curves) <= MAX_BANDS
    curves = []
    for curve in panel.curves:
        line = [place(index + 1, value) for index, value in enumerate(curve.mean.tolist())]
        upper = [place(index + 1, value) for index, value in enumerate(curve.high.tolist())]
        lower = [place(index + 1, value) for index, value in enumerate(curve.low.tolist())]
        band = (
            _path([*upper, *reversed(lower)]) + "Z" if with_bands and curve.num_trials > 1 else ""
        )
        curves.append(DrawnCurve(loss=curve.loss, line=_path(line), band=band, last=line[-1]))
    return DrawnPanel(
        axis=panel.axis,
        label=panel.label,
        num_trials=panel.num_trials,
        curves=tuple(curves),
        x_ticks=tuple(Tick(at=place(x, low)[0], text=f"{x:g}") for x in _epoch_ticks(last)),
        y_ticks=tuple(Tick(at=place(1, y)[1], text=f"{y:.2f}") for y in _dice_ticks(low, high)),
    )


def draw_examples(examples: Sequence[Example]) -> list[DrawnExample]:
    """Lays out all examples; together their outlines stay within a few megabytes."""
    num_tiles = sum(1 + 2 * len(example.seen[:MAX_TILES]) for example in examples)
    limit = min(MAX_PATH_CHARACTERS, _ALL_PATH_CHARACTERS // max(num_tiles, 1))
    return [draw_example(example, limit) for example in examples]


def draw_example(example: Example, limit: int = MAX_PATH_CHARACTERS) -> DrawnExample:
    """Lays out the tiles of one image.

    Args:
        example: The image and what each loss made of it.
        limit: Characters of one outline; where it needs more, it is drawn coarser.
    """
    height, width = example.truth.shape
    seen = example.seen[:MAX_TILES]
    return DrawnExample(
        example=example,
        width=width,
        height=height,
        image_base64=b64encode(_small_jpeg(example)).decode("ascii"),
        truth_path=outline_path(example.truth, limit),
        tiles=tuple(_tile(one.loss, one.mask, one.dice, limit) for one in seen),
        mean_tiles=tuple(_tile(one.loss, one.mean_mask, one.mean_dice, limit) for one in seen),
    )


def _tile(loss: str, mask: np.ndarray, dice: float, limit: int) -> DrawnTile:
    return DrawnTile(
        loss=loss, dice=dice, path=outline_path(mask, limit), empty=not bool(mask.any())
    )


def _small_jpeg(example: Example) -> bytes:
    if len(example.image_jpeg) <= _MAX_IMAGE_BYTES:
        return example.image_jpeg
    picture = Image.fromarray(example.pixels)
    picture.thumbnail((_SMALLER_SIDE, _SMALLER_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def outline_path(mask: np.ndarray, limit: int = MAX_PATH_CHARACTERS) -> str:
    """Returns the outline of a mask as SVG path data; coarser if it would be longer than that."""
    step = 1
    while True:
        lines = outlines(mask[::step, ::step])
        scaled = [[(x * step, y * step) for x, y in line] for line in lines]
        path = svg_path(scaled)
        if len(path) <= limit:
            return path
        step *= 2


def _epoch_ticks(last: int) -> list[int]:
    step = _round_step(last / 4)
    return [1, *range(step, last + 1, step)] if step > 1 else list(range(1, last + 1))


def _dice_ticks(low: float, high: float) -> list[float]:
    step = _round_step((high - low) * 100 / 5)
    first = math.ceil(round(low * 100) / step) * step
    return [tick / 100 for tick in range(first, round(high * 100) + 1, step)]


def _round_step(wanted: float) -> int:
    """Returns the least of 1, 2, 5, 10, 20, … that is at least `wanted`."""
    scale = 1
    while True:
        for digit in (1, 2, 5):
            if digit * scale >= wanted:
                return digit * scale
        scale *= 10


WIDTH = 900
_MARGIN = 230
_AXIS_Y = 66
_BAR_STEP = 9
_ROW = 24
_MAX_LABEL = 22


@dataclass(frozen=True, kw_only=True)
class RankTick:
    """One whole rank on the axis."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class RankedLabel:
    """One loss: where it stands on the axis and where its name is.

    Attributes:
        path: From the axis down and out to the name.
        anchor: `end` left of the axis, `start` right of it.
        full: The name; `text` is cut where it is too long to print.
    """

    full: str
    text: str
    rank: float
    path: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True, kw_only=True)
class GroupBar:
    """Losses that do not differ significantly: a bar from the first to the last."""

    x1: float
    x2: float
    y: float


@dataclass(frozen=True, kw_only=True)
class CriticalDiagram:
    """The diagram in a drawing of `WIDTH` by `height`; the best rank is on the left.

    Attributes:
        ruler: Ends (x1, x2) of the line as long as the critical difference.
    """

    ticks: tuple[RankTick, ...]
    labels: tuple[RankedLabel, ...]
    bars: tuple[GroupBar, ...]
    ruler: tuple[float, float]
    height: float
    axis_y: float = _AXIS_Y
    left: float = _MARGIN
    right: float = WIDTH - _MARGIN


def draw_critical(found: CriticalDifference, titles: Mapping[str, str]) -> CriticalDiagram:
    """Lays out the diagram.

    Args:
        found: Mean ranks of at least two losses, and which do not differ.
        titles: What to call the losses.
    """
    ranks = found.mean_ranks
    ordered = sorted(ranks, key=lambda loss: (ranks[loss], loss))
    number = len(ordered)

    def place(rank: float) -> float:
        return round(_MARGIN + (WIDTH - 2 * _MARGIN) * (rank - 1) / (number - 1), 1)

    spans = [[ranks[loss] for loss in group] for group in found.groups if len(group) > 1]
    bars = tuple(
        GroupBar(
            x1=place(min(span)) - 4, x2=place(max(span)) + 4, y=_AXIS_Y + 10 + _BAR_STEP * index
        )
        for index, span in enumerate(spans)
    )
    first_row = _AXIS_Y + 26 + _BAR_STEP * len(bars)
    half = math.ceil(number / 2)
    labels = [
        _label(
            titles.get(loss, loss),
            ranks[loss],
            x=place(ranks[loss]),
            y=first_row + _ROW * (index if index < half else number - 1 - index),
            on_left=index < half,
        )
        for index, loss in enumerate(ordered)
    ]
    return CriticalDiagram(
        ticks=tuple(RankTick(x=place(rank), text=str(rank)) for rank in range(1, number + 1)),
        labels=tuple(labels),
        bars=bars,
        ruler=(_MARGIN, min(place(1 + found.difference), WIDTH - 10)),
        height=first_row + _ROW * (half - 1) + 14,
    )


def _label(title: str, rank: float, *, x: float, y: float, on_left: bool) -> RankedLabel:
    end = _MARGIN - 14 if on_left else WIDTH - _MARGIN + 14
    return RankedLabel(
        full=title,
        text=title if len(title) <= _MAX_LABEL else f"{title[: _MAX_LABEL - 1]}…",
        rank=rank,
        path=f"M{x:g} {_AXIS_Y}V{y:g}H{end:g}",
        x=end + (-6 if on_left else 6),
        y=y + 4,
        anchor="end" if on_left else "start",
    )
