"""The statistics of a report: certainty, places over draws and methods, and leads without parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.ranking.certainty import Certainty, certainty
from orchestrator.ranking.leads import Leads, leads
from orchestrator.ranking.pairs import Interval, PairCertainty
from orchestrator.ranking.stability import (
    DrawnPlaces,
    RankingMethod,
    drawn_places,
    ranking_methods,
)
from orchestrator.report.data import RankedSweep


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What is certain about the losses, and how stable their order is.

    Attributes:
        certainty: Of the differences between the losses, and of each podium.
        compared: The losses that have a difference, the best mean first; empty with a refusal.
        drawn: Places in drawn new sweeps, one entry per podium; empty without draws.
        methods: Places by each ranking method.
        leads: The leaders without each dataset, model and loss.
    """

    certainty: Certainty
    compared: tuple[str, ...]
    drawn: tuple[DrawnPlaces, ...]
    methods: tuple[RankingMethod, ...]
    leads: Leads

    def pair(self, first: str, second: str) -> PairCertainty | None:
        """Returns the first loss against the second, or None if one of them is unknown."""
        for found in self.certainty.pairs:
            if (found.first, found.second) == (first, second):
                return found
            if (found.second, found.first) == (first, second):
                return _turned(found)
        return None

    def verdict(self, pair: PairCertainty) -> Literal["beats", "loses", ""]:
        """Returns what the test of all pairs says of the first loss; empty if it finds nothing."""
        if not _differs(pair, self.certainty.alpha):
            return ""
        better = self.compared.index(pair.first) < self.compared.index(pair.second)
        return "beats" if better else "loses"


def compute_statistics(sweep: RankedSweep) -> Statistics:
    """Computes all statistics."""
    how, ties = sweep.sampling, sweep.ranking.ties
    found = certainty(
        sweep.scores,
        ties=ties,
        num_draws=how.num_draws,
        seed=how.seed,
        level=how.level,
        alpha=how.alpha,
        margin=how.margin,
    )
    podiums = [podium for podium in (*sweep.ranking.podiums, sweep.ranking.both) if podium]
    compared = tuple(
        dict.fromkeys(name for pair in found.pairs for name in (pair.first, pair.second))
    )
    wins = Counter(pair.first for pair in found.pairs if _differs(pair, found.alpha))
    return Statistics(
        certainty=found,
        compared=compared,
        drawn=tuple(_drawn(sweep, found)),
        methods=ranking_methods(sweep.scores, podiums, wins if found.pairs else None),
        leads=leads(sweep.scores, ties=ties),
    )


def _differs(pair: PairCertainty, alpha: float) -> bool:
    """Returns whether the test of all pairs tells two losses apart."""
    return pair.p_tukey is not None and pair.p_tukey <= alpha


def _drawn(sweep: RankedSweep, found: Certainty) -> Iterator[DrawnPlaces]:
    for axis, places in found.draws.items():
        podium = sweep.ranking.podium(axis)
        if podium:
            losses = [entry.loss for entry in found.podiums[axis].losses]
            yield drawn_places(podium, losses, places, found.level)


def _turned(pair: PairCertainty) -> PairCertainty:
    """Returns the same pair with the losses exchanged."""

    def around(interval: Interval | None) -> Interval | None:
        return interval and Interval(low=-interval.high, high=-interval.low)

    return replace(
        pair,
        first=pair.second,
        second=pair.first,
        difference=-pair.difference,
        interval=around(pair.interval),
        simultaneous=around(pair.simultaneous),
        corrected=around(pair.corrected),
        effect_size=None if pair.effect_size is None else -pair.effect_size,
    )
