"""Every pair of losses by Wilcoxon's signed-rank test, adjusted by Holm, where that can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

DIGITS = 12
"""Decimals of a difference that count; fewer by those before the point where values go beyond 1."""


@dataclass(frozen=True, kw_only=True)
class WilcoxonPair:
    """Wilcoxon's signed-rank test of two losses over the blocks, two-sided.

    Attributes:
        first: Label; the one with the better mean rank.
        second: Label.
        p: Unadjusted.
        p_holm: Adjusted for all pairs (Holm 1979).
        significant: Whether p_holm is at most alpha.
    """

    first: str
    second: str
    p: float
    p_holm: float
    significant: bool


MAX_EXACT = 50
"""Up to this many differing blocks the p-value is exact; beyond, the normal curve is as good."""


def holm_impossible(num_blocks: int, num_losses: int, alpha: float) -> str | None:
    """Says why no pair can ever be significant, or returns None.

    The smallest two-sided p-value that N blocks can give is 2^(1-N); Holm compares the smallest of
    m = k (k - 1) / 2 p-values with alpha / m.
    """
    smallest = 2.0 ** (1 - num_blocks)
    num_pairs = num_losses * (num_losses - 1) // 2
    threshold = alpha / num_pairs
    if smallest <= threshold:
        return None
    return (
        f"Wilcoxon with Holm can never be significant here: {num_blocks} blocks give a p-value of "
        f"{smallest:.2g} at best, and the first threshold for {num_pairs} pairs of {num_losses} "
        f"losses is {threshold:.2g}."
    )


def wilcoxon_holm(
    values_NL: np.ndarray, losses: Sequence[str], alpha: float
) -> tuple[WilcoxonPair, ...]:
    """Tests every pair of losses over the same blocks.

    Args:
        values_NL: Value of each loss in each block; -inf where none of its trials finished.
        losses: Their names; in each pair the one listed first is `first`.
        alpha: Level after adjustment.
    """
    pairs = list(combinations(range(len(losses)), 2))
    p = np.array([_wilcoxon(values_NL[:, one], values_NL[:, other]) for one, other in pairs])
    adjusted = holm(p)
    return tuple(
        WilcoxonPair(
            first=losses[one],
            second=losses[other],
            p=float(p[number]),
            p_holm=float(adjusted[number]),
            significant=bool(adjusted[number] <= alpha),
        )
        for number, (one, other) in enumerate(pairs)
    )


def holm(p_P: np.ndarray) -> np.ndarray:
    """Returns p-values adjusted by Holm's step-down method (Holm 1979)."""
    order = np.argsort(p_P, kind="stable")
    factors = np.arange(len(p_P), 0, -1)
    stepped = np.minimum(np.maximum.accumulate(p_P[order] * factors), 1.0)
    adjusted = np.empty_like(stepped)
    adjusted[order] = stepped
    return adjusted


def _wilcoxon(one_N: np.ndarray, other_N: np.ndarray) -> float:
    """Returns the two-sided p-value; blocks where both are equal are dropped (Wilcoxon 1945)."""
    # What never finished is worse than nothing, and by more than any finished value.
    lost = np.isneginf(one_N) | np.isneginf(other_N)
    finite = np.concatenate([one_N[np.isfinite(one_N)], other_N[np.isfinite(other_N)]])
    floor = 2 * finite.min(initial=0.0) - finite.max(initial=0.0) if lost.any() else 0.0
    differences = _settled(
        np.where(np.isneginf(one_N), floor, one_N) - np.where(np.isneginf(other_N), floor, other_N),
        size=float(np.abs(finite).max(initial=1.0)),
    )
    differences = differences[differences != 0]
    if len(differences) > MAX_EXACT:
        return float(stats.wilcoxon(differences, method="asymptotic").pvalue)
    return exact_signed_rank(differences)


def _settled(differences_N: np.ndarray, size: float) -> np.ndarray:
    """Rounds away what the subtraction of floats adds: 0.82 - 0.8 is as large as 0.32 - 0.3."""
    return np.round(differences_N, DIGITS - math.ceil(math.log10(size)))


def exact_signed_rank(differences_N: np.ndarray) -> float:
    """Returns the two-sided p-value of differences other than 0, exact with equal sizes too.

    Under the null each sign is a toss of a coin: the sum of the positive ranks is that of a random
    subset, counted rank by rank. scipy does the same without ties; with ties it tries out every
    subset, which takes seconds for a pair.
    """
    # Twice the ranks: those of equal sizes are halves.
    ranks_N = np.round(2 * stats.rankdata(np.abs(differences_N))).astype(int)
    shares = np.zeros(ranks_N.sum() + 1)
    shares[0] = 1.0
    for rank in ranks_N:
        shares[rank:] = (shares[rank:] + shares[: len(shares) - rank]) / 2
        shares[:rank] /= 2
    positive = int(ranks_N[differences_N > 0].sum())
    tails = shares[: positive + 1].sum(), shares[positive:].sum()
    return min(1.0, 2 * float(min(tails)))
