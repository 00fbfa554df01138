"""The probability that a trial diverges, drawn for each group of trials from how many diverged.

Names of arrays end in their axes: K draws, U groups of trials (such as losses; one axis or
several), C distinct counts, S strengths.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

STRENGTHS = np.array([0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])
"""How alike the groups may be: as many trials of a group as the common rate counts for in it."""


def rate_prior(
    num_diverged_U: np.ndarray,
    num_finished_U: np.ndarray,
    num_draws: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns two arrays (K,), a and b: the rate of a group is Beta(a + diverged, b + others).

    The common rate p has the posterior of all trials together (Jeffreys' prior). The strength g is
    drawn by its beta-binomial likelihood; a = g p and b = g (1 - p).

    Args:
        num_diverged_U: Diverged trials of each group.
        num_finished_U: Finished trials of each group, with those that diverged.
        num_draws: K.
        random: Source of the draws.
    """
    others_U = num_finished_U - num_diverged_U
    common_K = random.beta(num_diverged_U.sum() + 0.5, others_U.sum() + 0.5, size=num_draws)
    pairs_C2, number_C = np.unique(
        np.stack([num_diverged_U, others_U], axis=-1).reshape(-1, 2), axis=0, return_counts=True
    )
    a_KS = common_K[:, None] * STRENGTHS
    b_KS = (1 - common_K[:, None]) * STRENGTHS
    log_KS = -number_C.sum() * betaln(a_KS, b_KS)
    for (diverged, others), number in zip(pairs_C2, number_C, strict=True):
        log_KS += number * betaln(a_KS + diverged, b_KS + others)
    # The largest of log-weights with Gumbel noise is a draw by these weights.
    chosen_K1 = (log_KS + random.gumbel(size=log_KS.shape)).argmax(axis=1)[:, None]
    a_K = np.take_along_axis(a_KS, chosen_K1, axis=1)[:, 0]
    b_K = np.take_along_axis(b_KS, chosen_K1, axis=1)[:, 0]
    return a_K, b_K
