"""How sure the answer is: bootstrap of each podium, and the tests over dataset x model blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from orchestrator.ranking.certainty import Certainty, PairCertainty, certainties
from orchestrator.ranking.choices import PodiumAxis
from orchestrator.ranking.significance import Significance, significance
from orchestrator.report.data import Sweep


@dataclass(frozen=True, kw_only=True)
class PairCell:
    """Loss A against loss B.

    Attributes:
        p_better: Probability that A has the better mean.
        p_better_by_margin: That it is better by more than the margin.
        p_equivalent: That the two differ by at most the margin.
        difference: Mean of A minus mean of B.
        effect_size: Cohen's d of the paired differences; None where there is none.
    """

    p_better: float
    p_better_by_margin: float
    p_equivalent: float
    difference: float
    effect_size: float | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the statistics say.

    Attributes:
        certainties: By axis of the podium, the main one first.
        significance: Tests of all losses against each other.
    """

    certainties: Mapping[str, Certainty]
    significance: Significance

    @property
    def main(self) -> Certainty:
        """That of the main podium."""
        return next(iter(self.certainties.values()))

    def pair(self, first: str, second: str) -> PairCell | None:
        """Returns two losses compared in this order, or None."""
        for found in self.main.pairs:
            if (found.first, found.second) == (first, second):
                return _cell(found)
            if (found.second, found.first) == (first, second):
                return _turned(found)
        return None


def evidence(sweep: Sweep) -> Evidence:
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
    return Evidence(
        certainties={str(axis): found[axis] for axis in axes},
        significance=significance(sweep.scores, alpha=how.alpha),
    )


def _cell(pair: PairCertainty) -> PairCell:
    return PairCell(
        p_better=pair.p_better,
        p_better_by_margin=pair.p_better_by_margin,
        p_equivalent=pair.p_equivalent,
        difference=pair.difference,
        effect_size=pair.effect_size,
    )


def _turned(pair: PairCertainty) -> PairCell:
    return PairCell(
        p_better=1 - pair.p_better,
        p_better_by_margin=pair.p_worse_by_margin,
        p_equivalent=pair.p_equivalent,
        difference=-pair.difference,
        effect_size=None if pair.effect_size is None else -pair.effect_size,
    )
