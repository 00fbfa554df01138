"""Geometry of the critical-difference diagram (Demšar, JMLR 7, 2006, figure 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.ranking.significance import CriticalDifference

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
