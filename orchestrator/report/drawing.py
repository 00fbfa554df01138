"""Geometry of the page's inline drawings: learning curves and example tiles."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.report.curves import MAX_BANDS, CurvePanel
from orchestrator.report.examples import Example
from orchestrator.report.outlines import outlines, svg_path

WIDTH, HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 8, 24

MAX_TILES = 12
"""Losses shown of one example."""

_MAX_PATH_CHARACTERS = 40_000
"""A mask of salt and pepper is drawn coarser than this costs, or the page would be megabytes."""


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
    """The outline of one prediction."""

    loss: str
    dice: float
    path: str
    empty: bool


@dataclass(frozen=True, kw_only=True)
class DrawnExample:
    """One row of tiles; the image is embedded once."""

    example: Example
    width: int
    height: int
    image_base64: str
    truth_path: str
    tiles: tuple[DrawnTile, ...]


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


def draw_example(example: Example) -> DrawnExample:
    """Lays out one row of example tiles."""
    height, width = example.truth.shape
    return DrawnExample(
        example=example,
        width=width,
        height=height,
        image_base64=b64encode(example.image_jpeg).decode("ascii"),
        truth_path=_outline(example.truth),
        tiles=tuple(
            DrawnTile(
                loss=seen.loss,
                dice=seen.dice,
                path=_outline(seen.mask),
                empty=not bool(seen.mask.any()),
            )
            for seen in example.seen[:MAX_TILES]
        ),
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _outline(mask: np.ndarray) -> str:
    step = 1
    while True:
        lines = outlines(mask[::step, ::step])
        scaled = [[(x * step, y * step) for x, y in line] for line in lines]
        path = svg_path(scaled)
        if len(path) <= _MAX_PATH_CHARACTERS:
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
