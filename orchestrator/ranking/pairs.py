"""Pairs of losses in the bootstrap: which loss is better, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.ranking.bootstrap import observed_differences
from orchestrator.ranking.places import TIE_TOLERANCE
from orchestrator.ranking.scores import Scores, mean_over

DIGITS = 12
"""Decimals kept of a difference; the order of a summation changes only later ones."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A percentile interval of the bootstrap samples, ends included."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PairCertainty:
    """Two losses compared by their mean over the cells (dataset x model) that both have.

    Attributes:
        first: Label of the loss with the better place.
        second: Label of the other loss.
        difference: Mean of first minus mean of second; below 0 if first is better in a metric whose
            lower values are better.
        difference_interval: Interval of the difference in the samples.
        p_better: Fraction of samples in which first has the better mean; equal means count half.
        p_equivalent: Fraction of samples in which the difference is at most the margin in either
            direction.
        p_better_by_margin: Fraction of samples in which first is better by more than the margin.
        p_worse_by_margin: Fraction of samples in which second is better by more than the margin.
        effect_size: Mean of the paired differences of the cells (repeats averaged), divided by
            their standard deviation (Cohen's d_z); None with fewer than two cells, or if all
            differences are equal.
        num_combinations: Cells that both losses have.
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
    """Returns the comparison of each pair of losses that shares a cell.

    Args:
        scores: All trials.
        differences_BP: Difference of each pair in each sample; NaN without a shared cell.
        pairs: (2, P) positions of the losses.
        level: Fraction of the samples inside an interval.
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
    """Returns Cohen's d_z: the mean of paired differences divided by their standard deviation.

    Source: Cohen 1988, section 2.3.5. NaN entries do not count; None for fewer than two, or if all
    are equal.
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
    """Returns the same comparison with the losses exchanged."""
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
