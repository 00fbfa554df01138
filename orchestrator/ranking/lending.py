"""Standard errors of all pairs of losses, and what the pairs lend to each other.

Names of arrays end in their axes: L losses; (L, L) is symmetric, its diagonal has no meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import f

LENT = 4.0
"""Degrees of freedom with which the mean variance of the other pairs counts in that of a pair."""
WILD_LEVEL = 0.99
MIN_LOSSES_FOR_WILD = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class PairErrors:
    """Standard errors of the difference of each pair of losses.

    Attributes:
        se_LL: In units of the metric.
        df_LL: Degrees of freedom.
    """

    se_LL: np.ndarray
    df_LL: np.ndarray


def pair_sums(gram_LL: np.ndarray) -> np.ndarray:
    """Returns (..., L, L) sums of squares of the differences, from inner products of the losses."""
    own = np.diagonal(gram_LL, axis1=-2, axis2=-1)
    return np.asarray(own[..., :, None] + own[..., None, :] - 2 * gram_LL)


def mean_of_pairs(values_LL: np.ndarray, kept_L: np.ndarray) -> float:
    """Returns the mean over all pairs of the kept losses."""
    first, second = np.triu_indices(int(kept_L.sum()), 1)
    return float(values_LL[np.ix_(kept_L, kept_L)][first, second].mean())


def find_wild(variance_L: np.ndarray, freedom_L: np.ndarray) -> np.ndarray:
    """Returns which losses have a larger spread than the others, (L,) bool; needs four losses.

    The variance of a wild loss is above the quantile 0.99 of F for its ratio to the mean variance
    of the others. Its pairs neither lend nor borrow.
    """
    num_losses = len(variance_L)
    if num_losses < MIN_LOSSES_FOR_WILD:
        return np.zeros(num_losses, dtype=bool)
    others_L = (variance_L.sum() - variance_L) / (num_losses - 1)
    limit_L = f.ppf(WILD_LEVEL, freedom_L, freedom_L * (num_losses - 1))
    return np.asarray(variance_L > limit_L * others_L)


def lend(
    variance_LL: np.ndarray,
    freedom_LL: np.ndarray,
    *,
    lent: float,
    lent_freedom: float,
    wild_L: np.ndarray,
) -> PairErrors:
    """Returns the errors of all pairs, each variance drawn towards the mean variance of the pairs.

    Args:
        variance_LL: Variance of each difference of means, from this pair alone.
        freedom_LL: Its degrees of freedom.
        lent: The same variance from all pairs without a wild loss.
        lent_freedom: Its degrees of freedom.
        wild_L: Losses whose pairs keep their own variance. With fewer than three other losses, all
            pairs do.
    """
    if (~wild_L).sum() < 3:
        return PairErrors(se_LL=np.sqrt(variance_LL), df_LL=freedom_LL)
    weight = min(LENT, lent_freedom)
    joined_LL = (weight * lent + freedom_LL * variance_LL) / (weight + freedom_LL)
    own_LL = wild_L[:, None] | wild_L[None, :]
    return PairErrors(
        se_LL=np.sqrt(np.where(own_LL, variance_LL, joined_LL)),
        df_LL=np.where(own_LL, freedom_LL, np.minimum(weight + freedom_LL, lent_freedom)),
    )
