"""Draws of the trials of a dataset that have no result yet, given those that have one.

The trials of a dataset are jointly normal. Two of them are alike if they share the model (its level
is unknown), model and repeat (a split of the model), the loss, model and loss, loss and repeat, or
all three (docs/race.md; scores from 0 to 1):

    1 [m] + 0.01 [m, r] + A [l] + C [m, l] + S [l, r] + E [m, l, r]

Arrays end in their axes: M models, L losses, R repeats, B draws, N trials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from orchestrator.ranking.scores import mean_over, split_effects

LEVEL_VARIANCE, SPLIT_VARIANCE = 1.0, 0.01
"""Variances that stand for unknown: of the level of a model, and of a split of a model."""
SETS = 3
"""The variances are drawn anew for this many parts of the draws."""
TINY = 1e-10
MAX_SWEEPS = 50


@dataclass(frozen=True, kw_only=True)
class _Squares:
    """Mean squares of the first repeats, with their degrees of freedom.

    Attributes:
        split: Loss x repeat; NaN with one model.
        rest: Model x loss x repeat.
        loss: Losses.
        pair: Model x loss; NaN with one model.
    """

    split: tuple[float, int]
    rest: tuple[float, int]
    loss: tuple[float, int]
    pair: tuple[float, int]


@dataclass(frozen=True, kw_only=True)
class _Variances:
    """Variances of loss, model x loss, loss x repeat and the single trial."""

    loss: float
    pair: float
    split: float
    rest: float


def draw_unseen(
    values_MLR: np.ndarray, num_draws: int, random: np.random.Generator, *, first_repeats: int
) -> np.ndarray | None:
    """Returns (B, M, L, R): the values with a draw where there is none.

    Args:
        values_MLR: Values of the trials that finished and did not diverge; NaN elsewhere.
        num_draws: B.
        first_repeats: Repeats that every combination was given; they show the variances.
        random: The source of the draws.

    Returns:
        None if the first repeats do not show how much trials vary.
    """
    seen_N = ~np.isnan(values_MLR).ravel()
    if seen_N.all():
        return np.broadcast_to(values_MLR, (num_draws, *values_MLR.shape))
    squares = _squares(values_MLR[..., :first_repeats])
    if squares is None:
        return None
    values_N = values_MLR.ravel()
    level = values_N[seen_N].mean()
    drawn_BN = np.repeat(values_N[None], num_draws, axis=0)
    alike = _alike(values_MLR.shape)
    for part in np.array_split(np.arange(num_draws), SETS):
        variances = _drawn_variances(squares, values_MLR.shape[0], random)
        covariance = _covariance(alike, variances)
        factor = linalg.cho_factor(covariance[np.ix_(seen_N, seen_N)], lower=True)
        across = covariance[np.ix_(seen_N, ~seen_N)]
        weights = linalg.cho_solve(factor, across)
        mean = level + weights.T @ (values_N[seen_N] - level)
        rest = covariance[np.ix_(~seen_N, ~seen_N)] - across.T @ weights
        rest[np.diag_indices_from(rest)] += TINY
        noise = random.standard_normal((len(part), len(rest)))
        drawn_BN[np.ix_(part, ~seen_N)] = mean + noise @ linalg.cholesky(rest)
    return drawn_BN.reshape(num_draws, *values_MLR.shape)


def _squares(first_MLR: np.ndarray) -> _Squares | None:
    """Returns the mean squares of the first repeats; None if they show no noise.

    Losses and models without a value show nothing and do not count.
    """
    there_MLR = ~np.isnan(first_MLR)
    first_MLR = first_MLR[there_MLR.any(axis=(1, 2))][:, there_MLR.any(axis=(0, 2))]
    if min(first_MLR.shape[0], first_MLR.shape[1] - 1, first_MLR.shape[2] - 1) < 1:
        return None
    missing = int(np.isnan(first_MLR).sum())
    x_MLR = stand_ins(first_MLR)
    num_models, num_losses, num_repeats = x_MLR.shape
    rest_MLR = x_MLR - x_MLR.mean(axis=2, keepdims=True)
    rest_MLR = rest_MLR - rest_MLR.mean(axis=1, keepdims=True)
    free_split = (num_losses - 1) * (num_repeats - 1)
    free_rest = (num_models - 1) * free_split - missing if num_models > 1 else free_split - missing
    if free_rest < 1:
        return None
    common_LR = rest_MLR.mean(axis=0)
    means_ML = x_MLR.mean(axis=2)
    means_ML = means_ML - means_ML.mean(axis=1, keepdims=True)
    common_L = means_ML.mean(axis=0)
    loss = float(num_models * (common_L**2).sum() / (num_losses - 1)), num_losses - 1
    if num_models == 1:
        rest = float((rest_MLR**2).sum() / free_rest), free_rest
        return _Squares(split=rest, rest=rest, loss=loss, pair=(0.0, 1))
    free_pair = (num_models - 1) * (num_losses - 1)
    return _Squares(
        split=(float(num_models * (common_LR**2).sum() / free_split), free_split),
        rest=(float(((rest_MLR - common_LR) ** 2).sum() / free_rest), free_rest),
        loss=loss,
        pair=(float(((means_ML - common_L) ** 2).sum() / free_pair), free_pair),
    )


def stand_ins(values_MLR: np.ndarray) -> np.ndarray:
    """Returns the values with an estimate where there is none; each loss and model has a value.

    A trial of a combination with others is estimated as loss + split of its model. A combination
    without any is estimated from the other models and losses.
    """
    finished_MLR = ~np.isnan(values_MLR)
    split_MR = split_effects(values_MLR[None], finished_MLR[None])[0]
    centre_ML = mean_over(values_MLR - split_MR[:, None], 2)
    there_ML = ~np.isnan(centre_ML)
    filled_ML = np.where(there_ML, centre_ML, np.nanmean(centre_ML))
    for _ in range(MAX_SWEEPS if not there_ML.all() else 0):
        sums_ML = filled_ML.mean(axis=1, keepdims=True) + filled_ML.mean(axis=0) - filled_ML.mean()
        filled_ML = np.where(there_ML, centre_ML, sums_ML)
    return np.where(finished_MLR, values_MLR, filled_ML[..., None] + split_MR[:, None])


def _drawn_variances(squares: _Squares, num_models: int, random: np.random.Generator) -> _Variances:
    """Returns variances that are plausible after the mean squares (scaled inverse chi-squared)."""
    num_repeats = 1 + squares.split[1] // max(1, squares.loss[1])
    split, rest, loss, pair = (
        square * free / random.chisquare(free)
        for square, free in (squares.split, squares.rest, squares.loss, squares.pair)
    )
    if num_models == 1:
        split = rest
    rest = max(TINY, rest)
    of_split = max(0.0, (split - rest) / num_models)
    of_pair = max(TINY, pair - rest / num_repeats)
    of_loss = (loss - of_pair - rest / num_repeats) / num_models - of_split / num_repeats
    return _Variances(loss=max(TINY, of_loss), pair=of_pair, split=of_split, rest=rest)


def _alike(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns which trials share model, loss and repeat, each (N, N) bool."""
    same = [axis.ravel()[:, None] == axis.ravel() for axis in np.indices(shape)]
    return same[0], same[1], same[2]


def _covariance(
    alike: tuple[np.ndarray, np.ndarray, np.ndarray], variances: _Variances
) -> np.ndarray:
    model, loss, repeat = alike
    pair = model & loss
    return np.asarray(
        LEVEL_VARIANCE * model
        + SPLIT_VARIANCE * (model & repeat)
        + variances.loss * loss
        + variances.pair * pair
        + variances.split * (loss & repeat)
        + variances.rest * (pair & repeat)
    )
