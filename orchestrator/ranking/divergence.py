"""How often trials diverge: rates that are plausible after the divergences seen, and their cost.

Names of arrays end in their axes: K draws, D datasets, M models, L losses.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    return random.beta(
        like_B1 * common_B1 + diverged_G, like_B1 * (1 - common_B1) + seen_G - diverged_G
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Divergence:
    """The diverged trials of a sweep, and what each costs its cell.

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

    @property
    def clustering(self) -> float:
        """How many trials count as one, at least 1, because a dataset or a model shares its rate.

        The variance of the counts by dataset and by model over that of independent trials.
        """
        found = 1.0
        for axis in (0, 1):
            diverged_BL = self.num_diverged_DML.sum(axis=1 - axis)
            finished_BL = self.num_finished_DML.sum(axis=1 - axis)
            rate_L = diverged_BL.sum(axis=0) / np.maximum(finished_BL.sum(axis=0), 1)
            variance_BL = finished_BL * rate_L * (1 - rate_L)
            square_BL = (diverged_BL - finished_BL * rate_L) ** 2
            free = (len(diverged_BL) - 1) * np.count_nonzero(variance_BL.any(axis=0))
            if free:
                ratio_BL = np.divide(
                    square_BL, variance_BL, out=np.zeros_like(square_BL), where=variance_BL > 0
                )
                found += max(0.0, float(ratio_BL.sum()) / free - 1)
        return found

    def rates_by_loss(self, num_draws: int, random: np.random.Generator) -> np.ndarray:
        """Draws the rate (K, L) of each loss over other datasets and models."""
        diverged_L = self.num_diverged_DML.sum(axis=(0, 1)) / self.clustering
        finished_L = self.num_finished_DML.sum(axis=(0, 1)) / self.clustering
        return draw_rates(diverged_L, finished_L, num_draws, random)

    def common_rates(self, num_draws: int, random: np.random.Generator) -> np.ndarray:
        """Draws one rate (K, 1) of all losses."""
        diverged = self.num_diverged_DML.sum() / self.clustering
        finished = self.num_finished_DML.sum() / self.clustering
        return np.asarray(random.beta(diverged + 0.5, finished - diverged + 0.5, (num_draws, 1)))

    def lost(
        self, rate_KL: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws what the blocks of a new sweep lose, (K, D, L) and (K, M, L).

        The trials of a loss that diverge are drawn together, then spread over its blocks.
        """
        number = self.num_repeats * self.cost_DM.size
        if self.clustering > 1:  # the rate on the datasets and models of one sweep
            weight = max(number / (self.clustering - 1) - 1, 0.1)
            rate_KL = np.clip(rate_KL, 1e-9, 1 - 1e-9)
            rate_KL = random.beta(weight * rate_KL, weight * (1 - rate_KL))
        total_KL = random.binomial(number, rate_KL)

        def spread(cost_B: np.ndarray) -> np.ndarray:
            in_block = number // len(cost_B)
            left_KL = total_KL.copy()
            parts = []
            for after in reversed(range(len(cost_B))):
                parts.append(random.hypergeometric(in_block, in_block * after, left_KL))
                left_KL -= parts[-1]
            return np.stack(parts, axis=1) * (cost_B[:, None] / in_block)

        return spread(self.cost_DM.mean(axis=1)), spread(self.cost_DM.mean(axis=0))

    def lost_again(
        self, num_draws: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draws what the blocks lose in new repeats: each model and loss keeps its own rate."""
        diverged_ML, finished_ML = (
            self.num_diverged_DML.sum(axis=0),
            self.num_finished_DML.sum(axis=0),
        )
        (num_datasets, num_models), num_losses = self.cost_DM.shape, diverged_ML.shape[1]
        rates = draw_rates(diverged_ML.ravel(), finished_ML.ravel(), num_draws, random)
        rate_KML = rates.reshape(num_draws, num_models, num_losses)
        dataset_KDL = np.zeros((num_draws, num_datasets, num_losses))
        model_KML = np.empty_like(rate_KML)
        for model, cost_D in enumerate(self.cost_DM.T):
            # Numpy is twice as fast if the rate of the next draw is the same.
            rate_KL1 = rate_KML[:, model, :, None]
            size = (num_draws, num_losses, num_datasets)
            lost_KLD = random.binomial(self.num_repeats, rate_KL1, size=size)
            lost_KLD = lost_KLD * (cost_D / self.num_repeats)
            model_KML[:, model] = lost_KLD.mean(axis=2)
            dataset_KDL += np.moveaxis(lost_KLD, 1, 2) / num_models
        return dataset_KDL, model_KML
