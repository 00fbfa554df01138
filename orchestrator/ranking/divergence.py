"""How often trials diverge: rates that are plausible after the divergences seen."""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

LIKENESS = np.array([0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])
"""Weights of the common rate, in trials: the higher, the more alike are the rates."""


def draw_rates(
    diverged_G: np.ndarray,
    seen_G: np.ndarray,
    num_draws: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Returns (draws, G): plausible rates of divergence of G groups of trials.

    A beta-binomial model (section 5b of CERTAINTY.md): the rates of the groups scatter around a
    common rate, and how much they scatter is drawn by its likelihood. A group with few trials
    therefore takes its rate from the others if their rates are alike. Where no trial of any group
    has diverged, all rates are 0.

    Args:
        diverged_G: Number of diverged trials of each group.
        seen_G: Number of finished trials of each group, diverged ones included.
        num_draws: Number of draws.
        random: The source of the draws.
    """
    diverged, seen = diverged_G.sum(), seen_G.sum()
    if not diverged:
        return np.zeros((num_draws, len(seen_G)))
    common_B = random.beta(diverged + 0.5, seen - diverged + 0.5, num_draws)
    common_B = np.clip(common_B, 1e-9, 1 - 1e-9)
    # Many groups have the same numbers: the likelihood of each pair of numbers is needed once.
    pairs, times = np.unique(np.stack([diverged_G, seen_G]), axis=1, return_counts=True)
    alpha_BH1 = (common_B[:, None] * LIKENESS)[..., None]
    beta_BH1 = ((1 - common_B)[:, None] * LIKENESS)[..., None]
    likelihood = betaln(alpha_BH1 + pairs[0], beta_BH1 + pairs[1] - pairs[0])
    likelihood = ((likelihood - betaln(alpha_BH1, beta_BH1)) * times).sum(axis=2)
    # The largest of log-likelihood + Gumbel noise is a draw in proportion to the likelihood.
    chosen_B = (likelihood + random.gumbel(size=likelihood.shape)).argmax(axis=1)
    like_B1, common_B1 = LIKENESS[chosen_B][:, None], common_B[:, None]
    return np.asarray(
        random.beta(
            like_B1 * common_B1 + diverged_G, like_B1 * (1 - common_B1) + seen_G - diverged_G
        )
    )
