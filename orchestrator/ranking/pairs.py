"""Two losses against each other in the bootstrap: which is better, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.ranking.bootstrap import observed_differences
from orchestrator.ranking.places import TIE_TOLERANCE
from orchestrator.ranking.scores import Scores, mean_over

DIGITS = 12
"""Digits kept of a difference: what the order of a summation may change is beyond them."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The middle part of the bootstrap samples, ends included: a percentile interval."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PairCertainty:
    """Two losses compared by their mean over the dataset x model combinations that both have.

    Attributes:
        first: Label; the one that stands higher on the podium.
        second: Label.
        difference: Mean of first minus mean of second; below 0 where first is better and lower
            values are.
        difference_interval: Of the difference in the samples.
        p_better: Share of samples in which first has the better mean; equal means count half.
        p_equivalent: Share of samples in which the difference is at most the margin either way.
        p_better_by_margin: Share of samples in which first is better by more than the margin.
        p_worse_by_margin: Share of samples in which second is better by more than the margin.
        effect_size: Mean of the paired differences of the combinations (repeats averaged) by
            their standard deviation (Cohen's d_z); None with fewer than two combinations, or
            where all differences are equal.
        num_combinations: Dataset x model combinations that both losses have.
    """

    first: str
    second: str
    difference: float
    difference_interval: Interval
    p_better: float
    p_equivalent: float
    p_better_by_margin: float
    p_worse_by_margin: float
    effect_size: float | None
    num_combinations: int


def interval(samples_B: np.ndarray, level: float) -> Interval:
    """Returns the percentile interval; its ends are values that occurred."""
    tail = (1 - level) / 2
    low, high = np.nanquantile(samples_B, [tail, 1 - tail], method="inverted_cdf")
    return Interval(low=round(float(low), DIGITS), high=round(float(high), DIGITS))


def compare_pairs(
    scores: Scores, differences_BP: np.ndarray, pairs: np.ndarray, *, level: float, margin: float
) -> list[PairCertainty]:
    """Returns what the samples say of each pair that shares a dataset x model combination.

    Args:
        scores: All trials.
        differences_BP: Difference of each pair in each sample; NaN where they share nothing.
        pairs: (2, P) positions of the losses.
        level: Share of samples inside an interval.
        margin: Differences up to this are equivalent in practice.
    """
    observed_P, together_P = observed_differences(scores, pairs)
    cells_NL = mean_over(scores.values_DMLR, 3).reshape(-1, len(scores.losses))
    compared = []
    for column, (first, second) in enumerate(pairs.T):
        if not together_P[column]:
            continue
        differences_B = differences_BP[:, column]
        differences_B = differences_B[~np.isnan(differences_B)]
        within = interval(differences_B, level)
        shown = [scores.shown(end) for end in (within.low, within.high)]
        effect = effect_size(cells_NL[:, first] - cells_NL[:, second])
        compared.append(
            PairCertainty(
                first=scores.losses[first],
                second=scores.losses[second],
                difference=scores.shown(round(float(observed_P[column]), DIGITS)),
                difference_interval=Interval(low=min(shown), high=max(shown)),
                p_better=_p_better(differences_B),
                p_equivalent=float((np.abs(differences_B) <= margin + TIE_TOLERANCE).mean()),
                p_better_by_margin=float((differences_B > margin + TIE_TOLERANCE).mean()),
                p_worse_by_margin=float((differences_B < -margin - TIE_TOLERANCE).mean()),
                effect_size=None if effect is None else scores.shown(effect),
                num_combinations=int(together_P[column]),
            )
        )
    return compared


def effect_size(differences_N: np.ndarray | Sequence[float]) -> float | None:
    """Returns Cohen's d_z: mean of paired differences by their standard deviation.

    Source: Cohen 1988, section 2.3.5. NaN entries are left out; None for fewer than two, or when
    all are equal.
    """
    differences = np.asarray(differences_N, dtype=float)
    differences = differences[~np.isnan(differences)]
    if len(differences) < 2:
        return None
    deviation = float(differences.std(ddof=1))
    if deviation <= TIE_TOLERANCE:
        return None
    return round(float(differences.mean()) / deviation, DIGITS)


def turn_round(pair: PairCertainty) -> PairCertainty:
    """Returns the same comparison seen from the other loss."""
    return replace(
        pair,
        first=pair.second,
        second=pair.first,
        difference=-pair.difference,
        difference_interval=Interval(
            low=-pair.difference_interval.high, high=-pair.difference_interval.low
        ),
        p_better=1 - pair.p_better,
        p_better_by_margin=pair.p_worse_by_margin,
        p_worse_by_margin=pair.p_better_by_margin,
        effect_size=None if pair.effect_size is None else -pair.effect_size,
    )


def _p_better(differences_B: np.ndarray) -> float:
    higher = (differences_B > TIE_TOLERANCE).mean()
    equal = (np.abs(differences_B) <= TIE_TOLERANCE).mean()
    return float(higher + equal / 2)
