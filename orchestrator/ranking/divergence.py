"""How often trials diverge: rates that are plausible after the divergences seen, and their cost.

Names of arrays end in their axes: K draws, D datasets, M models, L losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import betaln

LIKENESS = np.array([0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0])
"""Weights of the common rate, in trials: the higher, the more alike are the rates."""


def draw_rates(
    diverged_G: np.ndarray,
    seen_G: np.ndarray,
    num_draws: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Returns (draws, G): plausible rates of divergence of G groups of trials.

    A beta-binomial model: the rates of the groups scatter around a common rate, and how much they
    scatter is drawn by its likelihood. A group with few trials therefore takes its rate from the
    others if their rates are alike. If no trial of any group has diverged, all rates are 0.

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
    rates = random.beta(
        like_B1 * common_B1 + diverged_G, like_B1 * (1 - common_B1) + seen_G - diverged_G
    )
    return np.asarray(rates)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lost:
    """What drawn sweeps lose by diverged trials.

    Attributes:
        true_KL: What a mean over other datasets and models loses, (K, L).
        dataset_KDL: By dataset.
        model_KML: By model.
    """

    true_KL: np.ndarray
    dataset_KDL: np.ndarray
    model_KML: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Divergence:
    """The diverged trials of a sweep, and what each costs its cell.

    The trials of a block and a loss share a rate. Blocks are the models or the datasets, whichever
    have the larger variance of counts in comparison with independent trials.

    Attributes:
        num_diverged_DML: Diverged trials of each combination.
        num_finished_DML: Finished trials, with those that diverged.
        cost_DM: Mean of the finished trials of a cell, minus the value of a diverged trial.
        num_repeats: Repeats of a combination in a new sweep.
    """

    num_diverged_DML: np.ndarray
    num_finished_DML: np.ndarray
    cost_DM: np.ndarray
    num_repeats: int

    @cached_property
    def axis(self) -> int:
        """0 if datasets are the blocks that share a rate, 1 if models are."""
        return max((1, 0), key=self._clustering)

    @cached_property
    def clustering(self) -> float:
        """Variance of the counts of the blocks over that of independent trials, at least 1."""
        return max(self._clustering(self.axis), 1.0)

    def _counts(self, axis: int) -> tuple[np.ndarray, np.ndarray]:
        return self.num_diverged_DML.sum(axis=1 - axis), self.num_finished_DML.sum(axis=1 - axis)

    def _clustering(self, axis: int) -> float:
        """Returns Pearson's statistic of the counts by block, divided by its degrees of freedom."""
        diverged_BL, finished_BL = self._counts(axis)
        rate_L = diverged_BL.sum(axis=0) / np.maximum(finished_BL.sum(axis=0), 1)
        expected_BL = finished_BL * rate_L
        variance_BL = expected_BL * (1 - rate_L)
        free = (len(diverged_BL) - 1) * np.count_nonzero(variance_BL.any(axis=0))
        square_BL = (diverged_BL - expected_BL) ** 2
        ratio_BL = np.divide(
            square_BL, variance_BL, out=np.zeros_like(square_BL), where=variance_BL > 0
        )
        return float(ratio_BL.sum()) / free if free else 0.0

    def lost(self, num_draws: int, random: np.random.Generator) -> Lost:
        """Draws what sweeps with other blocks lose."""
        diverged_L, finished_L = (counts.sum(axis=0) for counts in self._counts(self.axis))
        # As many independent trials as tell as much about the rate of a loss.
        rate_KL = draw_rates(
            diverged_L / self.clustering, finished_L / self.clustering, num_draws, random
        )
        return self._lost(rate_KL, random)

    def lost_by_equals(self, num_draws: int, random: np.random.Generator) -> Lost:
        """Draws what sweeps with other blocks lose if all losses have one rate."""
        diverged, finished = (counts.sum() / self.clustering for counts in self._counts(self.axis))
        rate_K1 = random.beta(diverged + 0.5, finished - diverged + 0.5, size=(num_draws, 1))
        num_losses = self.num_diverged_DML.shape[2]
        return self._lost(np.repeat(rate_K1, num_losses, axis=1), random)

    def _lost(self, rate_KL: np.ndarray, random: np.random.Generator) -> Lost:
        """Draws the trials of each block together, and spreads their sum over the other axis."""
        cost_BO = np.moveaxis(self.cost_DM, self.axis, 0)
        num_blocks, num_others = cost_BO.shape
        in_block = num_others * self.num_repeats
        rate_KBL = np.repeat(rate_KL[:, None], num_blocks, axis=1)
        if self.clustering > 1 and in_block > 1:
            # Beta-binomial counts, which vary as much more than independent trials.
            strength = max((in_block - 1) / (self.clustering - 1) - 1, 0.01)
            rate_KBL = np.clip(rate_KBL, 1e-9, 1 - 1e-9)
            rate_KBL = random.beta(strength * rate_KBL, strength * (1 - rate_KBL))
        number_KBL = random.binomial(in_block, rate_KBL)
        lost_KBL = number_KBL * (cost_BO.mean(axis=1) / in_block)[:, None]
        in_other, left_KL, spread = num_blocks * self.num_repeats, number_KBL.sum(axis=1), []
        for after in reversed(range(num_others)):
            spread.append(random.hypergeometric(in_other, in_other * after, left_KL))
            left_KL = left_KL - spread[-1]
        lost_KOL = np.stack(spread, axis=1) * (cost_BO.mean(axis=0) / in_other)[:, None]
        return Lost(
            true_KL=rate_KL * self.cost_DM.mean(),
            dataset_KDL=lost_KOL if self.axis else lost_KBL,
            model_KML=lost_KBL if self.axis else lost_KOL,
        )

    def lost_again(self, num_draws: int, random: np.random.Generator) -> Lost:
        """Draws what new repeats lose: each block keeps its own rates."""
        diverged_BL, finished_BL = self._counts(self.axis)
        rates = draw_rates(diverged_BL.ravel(), finished_BL.ravel(), num_draws, random)
        rate_KBL = rates.reshape(num_draws, *diverged_BL.shape)
        cost_BO = np.moveaxis(self.cost_DM, self.axis, 0)
        num_losses = rate_KBL.shape[2]
        lost_KBL = np.empty_like(rate_KBL)
        lost_KOL = np.zeros((num_draws, cost_BO.shape[1], num_losses))
        for block, cost_O in enumerate(cost_BO):
            # Numpy is twice as fast if the rate of the next draw is the same.
            size = (num_draws, num_losses, len(cost_O))
            lost_KLO = random.binomial(self.num_repeats, rate_KBL[:, block, :, None], size=size)
            lost_KLO = lost_KLO * (cost_O / self.num_repeats)
            lost_KBL[:, block] = lost_KLO.mean(axis=2)
            lost_KOL += np.moveaxis(lost_KLO, 1, 2) / len(cost_BO)
        return Lost(
            true_KL=lost_KBL.mean(axis=1),
            dataset_KDL=lost_KOL if self.axis else lost_KBL,
            model_KML=lost_KBL if self.axis else lost_KOL,
        )
