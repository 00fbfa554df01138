"""The statistics of a report: bootstrap of each podium, tests over blocks, and their diagram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from orchestrator.ranking.certainty import Certainty, certainties
from orchestrator.ranking.choices import PodiumAxis
from orchestrator.ranking.pairs import PairCertainty
from orchestrator.ranking.significance import CriticalDifference, Significance, significance
from orchestrator.report.data import RankedSweep

DIAGRAM_WIDTH = 900
"""Width of the critical-difference diagram on the page, in SVG units."""

_DIAGRAM_MARGIN = 230
_AXIS_Y = 66
_BAR_STEP = 9
_ROW = 24
_MAX_LABEL = 22


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Certainty of each podium, and tests.

    Attributes:
        certainties: By axis of the podium, the main one first.
        significance: Tests of all losses against each other.
    """

    certainties: Mapping[str, Certainty]
    significance: Significance

    @property
    def main(self) -> Certainty:
        """The certainty of the main podium."""
        return next(iter(self.certainties.values()))

    def pair(self, first: str, second: str) -> PairCertainty | None:
        """Returns the first loss against the second, or None if one of them is unknown."""
        for found in self.main.pairs:
            if (found.first, found.second) == (first, second):
                return found
            if (found.second, found.first) == (first, second):
                return _turned(found)
        return None


@dataclass(frozen=True, kw_only=True)
class RankTick:
    """One whole rank on the axis."""

    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class RankedLabel:
    """One loss: its position on the axis and that of its name.

    Attributes:
        path: From the axis down and out to the name.
        anchor: `end` left of the axis, `start` right of it.
        full: The name; `text` is cut if it is too long.
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
    """The diagram in a drawing of `DIAGRAM_WIDTH` by `height`; the best rank is on the left.

    Attributes:
        ruler: Ends (x1, x2) of the line as long as the critical difference.
    """

    ticks: tuple[RankTick, ...]
    labels: tuple[RankedLabel, ...]
    bars: tuple[GroupBar, ...]
    ruler: tuple[float, float]
    height: float
    axis_y: float = _AXIS_Y
    left: float = _DIAGRAM_MARGIN
    right: float = DIAGRAM_WIDTH - _DIAGRAM_MARGIN


def compute_statistics(sweep: RankedSweep) -> Statistics:
    """Computes the certainty of each podium and the tests."""
    how = sweep.sampling
    podiums = (*sweep.ranking.podiums, *([sweep.ranking.both] if sweep.ranking.both else []))
    axes = [cast("PodiumAxis", podium.axis) for podium in podiums]
    found = certainties(
        sweep.scores,
        ties=sweep.ranking.ties,
        axes=axes,
        num_samples=how.num_samples,
        seed=how.seed,
        level=how.level,
        margin=how.margin,
    )
    return Statistics(
        certainties={str(axis): found[axis] for axis in axes},
        significance=significance(sweep.scores, alpha=how.alpha),
    )


def _turned(pair: PairCertainty) -> PairCertainty:
    """Returns the same pair with the losses exchanged."""
    interval = pair.difference_interval
    return replace(
        pair,
        first=pair.second,
        second=pair.first,
        p_better=1 - pair.p_better,
        p_better_by_margin=pair.p_worse_by_margin,
        p_worse_by_margin=pair.p_better_by_margin,
        difference=-pair.difference,
        difference_interval=replace(interval, low=-interval.high, high=-interval.low),
        effect_size=None if pair.effect_size is None else -pair.effect_size,
    )


def draw_critical(found: CriticalDifference, titles: Mapping[str, str]) -> CriticalDiagram:
    """Lays out the critical-difference diagram.

    Args:
        found: Mean ranks of at least two losses, and the groups that do not differ.
        titles: Of the losses.
    """
    ranks = found.mean_ranks
    ordered = sorted(ranks, key=lambda loss: (ranks[loss], loss))
    number = len(ordered)

    def place(rank: float) -> float:
        return round(
            _DIAGRAM_MARGIN + (DIAGRAM_WIDTH - 2 * _DIAGRAM_MARGIN) * (rank - 1) / (number - 1), 1
        )

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
        ruler=(_DIAGRAM_MARGIN, min(place(1 + found.difference), DIAGRAM_WIDTH - 10)),
        height=first_row + _ROW * (half - 1) + 14,
    )


def _label(title: str, rank: float, *, x: float, y: float, on_left: bool) -> RankedLabel:
    end = _DIAGRAM_MARGIN - 14 if on_left else DIAGRAM_WIDTH - _DIAGRAM_MARGIN + 14
    return RankedLabel(
        full=title,
        text=title if len(title) <= _MAX_LABEL else f"{title[: _MAX_LABEL - 1]}…",
        rank=rank,
        path=f"M{x:g} {_AXIS_Y}V{y:g}H{end:g}",
        x=end + (-6 if on_left else 6),
        y=y + 4,
        anchor="end" if on_left else "start",
    )
