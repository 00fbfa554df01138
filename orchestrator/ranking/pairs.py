"""Pairs of losses: standard errors over datasets and models, intervals, and tests of all pairs.

A loss is better on some datasets and models than on others, so the standard error of a difference
adds the variances of loss x dataset and of loss x model; docs/ranking.md has the formulas.
Names of arrays end in their axes: D datasets, M models, L losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from orchestrator.ranking.lending import PairErrors, find_wild, lend, mean_of_pairs, pair_sums
from orchestrator.ranking.places import TIE_TOLERANCE
from orchestrator.ranking.scores import Scores, mean_over
from orchestrator.ranking.tukey import studentized_range

DIGITS = 12
"""Decimals kept of a difference; the order of a summation changes only later ones."""
FIT_SWEEPS = 50


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval, ends included."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Strata:
    """The differences between losses in a D x M table of cells, divided by what they vary with.

    Attributes:
        grams: Inner products (L, L) of the losses in each stratum, divided by its degrees of
            freedom: loss x dataset, loss x model, rest. One alone with one dataset or one model.
        dfs: Degrees of freedom of each.
        num_cells: D M.
    """

    grams: tuple[np.ndarray, ...]
    dfs: tuple[int, ...]
    num_cells: int


def centred(x_DML: np.ndarray) -> np.ndarray:
    """Returns the table without what the losses have in common in each cell."""
    return np.asarray(x_DML - x_DML.mean(axis=2, keepdims=True))


def strata(centred_DML: np.ndarray) -> Strata:
    """Returns the strata of a table without gaps, of two datasets or two models at least."""
    dataset_DL, model_ML, rest_DML = effects(centred_DML)
    num_datasets, num_models, _ = centred_DML.shape
    datasets, models = num_datasets - 1, num_models - 1
    found = [
        (num_models * dataset_DL.T @ dataset_DL, datasets),
        (num_datasets * model_ML.T @ model_ML, models),
        (np.einsum("dmi,dmj->ij", rest_DML, rest_DML), datasets * models),
    ]
    return Strata(
        grams=tuple(gram / df for gram, df in found if df),
        dfs=tuple(df for _, df in found if df),
        num_cells=num_datasets * num_models,
    )


def effects(centred_DML: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the effects by dataset, by model, and the rest, of which each sums to 0."""
    loss_L = centred_DML.mean(axis=(0, 1))
    dataset_DL = centred_DML.mean(axis=1) - loss_L
    model_ML = centred_DML.mean(axis=0) - loss_L
    return dataset_DL, model_ML, centred_DML - dataset_DL[:, None] - model_ML - loss_L


def cell_variance(mean_squares: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the variance of a mean over all cells, times their number, from its mean squares.

    With three strata the rest is in all of them, and a negative component counts as 0.
    """
    if len(mean_squares) == 1:
        return mean_squares[0]
    dataset, model, rest = mean_squares
    return np.asarray(rest + np.maximum(0, dataset - rest) + np.maximum(0, model - rest))


def wild_losses(found: Strata) -> np.ndarray:
    """Returns which losses vary more over datasets and models than the others, (L,) bool."""
    squares = [np.diagonal(gram) for gram in found.grams]
    variance_L = cell_variance(squares)
    spread_L = np.sum([s**2 / df for s, df in zip(squares, found.dfs, strict=True)], axis=0)
    freedom_L = np.divide(variance_L**2, spread_L, out=np.ones_like(variance_L), where=spread_L > 0)
    return find_wild(variance_L, freedom_L)


def pair_se(x_DML: np.ndarray) -> PairErrors:
    """Returns the errors of the differences between losses, for other datasets and networks.

    With one model, for other datasets and this network; with one dataset, for other models.

    Args:
        x_DML: Mean over the repeats of each cell and loss, without gaps.
    """
    found = strata(centred(x_DML))
    wild_L = wild_losses(found)
    num_kept = int((~wild_L).sum())
    squares = [pair_sums(gram) for gram in found.grams]
    lent = [np.array(mean_of_pairs(s, ~wild_L) if num_kept > 1 else 0.0) for s in squares]
    df = min(found.dfs[:2])
    return lend(
        cell_variance(squares) / found.num_cells,
        np.full(squares[0].shape, float(df)),
        lent=float(cell_variance(lent)) / found.num_cells,
        lent_freedom=df * (num_kept - 1),
        wild_L=wild_L,
    )


def half_widths(errors: PairErrors, level: float) -> np.ndarray:
    """Returns (L, L) half-widths of the intervals, each of which holds with this probability."""
    return np.asarray(t.ppf((1 + level) / 2, errors.df_LL) * errors.se_LL)


def tukey(
    difference_LL: np.ndarray, errors: PairErrors, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the p-values of all pairs, and half-widths that hold for all pairs at once.

    Both are by the studentised range (Tukey 1953): the smallest p-value is also that of the
    hypothesis that all losses are equal. NaN where the standard error is 0.
    """
    range_ = studentized_range(len(difference_LL))
    p_LL, widths_LL = np.full_like(errors.se_LL, np.nan), np.full_like(errors.se_LL, np.nan)
    spread_LL = errors.se_LL > TIE_TOLERANCE
    se, dfs = errors.se_LL[spread_LL], errors.df_LL[spread_LL]
    p_LL[spread_LL] = range_.sf(np.sqrt(2) * np.abs(difference_LL[spread_LL]) / se, dfs)
    df, place = np.unique(dfs, return_inverse=True)
    widths_LL[spread_LL] = range_.isf(1 - level, df)[place] / np.sqrt(2) * se
    return p_LL, widths_LL


def tie_group(difference_LL: np.ndarray, errors: PairErrors, alpha: float) -> np.ndarray:
    """Returns which losses cannot be told apart from the best, (L,) bool (Hsu 1981).

    With a probability of 1 - `alpha` or more, the truly best loss is one of them.

    Args:
        difference_LL: Mean of the first loss minus mean of the second.
        errors: Standard errors of these differences.
        alpha: Probability to exclude the truly best loss.
    """
    limit_LL = t.isf(alpha / max(len(difference_LL) - 1, 1), errors.df_LL) * errors.se_LL
    better_LL = (difference_LL > limit_LL) & (errors.se_LL > TIE_TOLERANCE)
    return np.asarray(~better_LL.any(axis=0))


def fill(x_DML: np.ndarray) -> np.ndarray:
    """Returns the table with an estimate in each gap: its cell, loss, loss x dataset, loss x model.

    The estimates are fitted to the other entries (expectation maximisation). A cell without any
    loss keeps the level 0, because only the differences between losses count.
    """
    there_DML = ~np.isnan(x_DML)
    if there_DML.all():
        return x_DML
    level_DM1 = np.nan_to_num(mean_over(x_DML, 2))[..., None]
    filled_DML = np.where(there_DML, x_DML, level_DM1)
    both = min(x_DML.shape[:2]) > 1
    for _ in range(FIT_SWEEPS):
        level_DM1 = filled_DML.mean(axis=2, keepdims=True)
        centred_DML = filled_DML - level_DM1
        fitted_DML = level_DM1 + centred_DML.mean(axis=(0, 1))
        if both:
            dataset_DL, model_ML, _ = effects(centred_DML)
            fitted_DML = fitted_DML + dataset_DL[:, None] + model_ML
        filled_DML = np.where(there_DML, x_DML, fitted_DML)
    return filled_DML


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


@dataclass(frozen=True, kw_only=True)
class PairCertainty:
    """Two losses compared by their mean over all cells (dataset x model).

    Attributes:
        first: Label of the loss with the better mean.
        second: Label of the other loss.
        difference: Mean of first minus mean of second; below 0 if first is better in a metric whose
            lower values are better.
        interval: Interval of the difference, for this pair alone; None without any spread.
        simultaneous: Interval that holds for all pairs at once.
        p_tukey: p-value of Tukey's test, corrected for all pairs.
        equivalent: Whether the difference is within the margin (two one-sided tests at `alpha`).
        corrected: Interval with the correction of Nadeau and Bengio for training images that the
            repeats share; only for other images, with two repeats or more.
        effect_size: Mean of the paired differences of the cells (repeats averaged), divided by
            their standard deviation (Cohen's d_z); None with fewer than two cells, or if all
            differences are equal.
        num_combinations: Cells that both losses have.
    """

    first: str
    second: str
    difference: float
    interval: Interval | None
    simultaneous: Interval | None
    p_tukey: float | None
    equivalent: bool | None
    corrected: Interval | None
    effect_size: float | None
    num_combinations: int


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Coverage of the intervals, level of the tests, and the margin of equivalence."""

    level: float
    alpha: float
    margin: float


def compare_pairs(
    scores: Scores,
    mean_L: np.ndarray,
    errors: PairErrors,
    levels: Levels,
    corrected: PairErrors | None = None,
) -> tuple[PairCertainty, ...]:
    """Returns every pair once, by the means of the losses, the better loss first.

    Args:
        scores: All trials.
        mean_L: Mean of each loss; higher is better.
        errors: Standard errors of the differences of these means.
        levels: Of intervals and tests.
        corrected: Errors with the correction for shared training images.
    """
    difference_LL = np.round(mean_L[:, None] - mean_L, DIGITS)
    p_LL, simultaneous_LL = tukey(difference_LL, errors, levels.level)
    width_LL = half_widths(errors, levels.level)
    equal_LL = np.abs(difference_LL) + half_widths(errors, 1 - 2 * levels.alpha) <= (
        levels.margin + TIE_TOLERANCE
    )
    corrected_LL = half_widths(corrected, levels.level) if corrected else None
    cells_NL = mean_over(scores.values_DMLR, 3).reshape(-1, len(scores.losses))
    present_NL = ~np.isnan(cells_NL)
    order = np.argsort(-np.round(mean_L, DIGITS), kind="stable")

    def around(difference: float, width: float) -> Interval:
        ends = [scores.shown(round(float(difference + side * width), DIGITS)) for side in (-1, 1)]
        return Interval(low=min(ends), high=max(ends))

    compared = []
    for rank, first in enumerate(order):
        for second in order[rank + 1 :]:
            pair = first, second
            difference = float(difference_LL[pair])
            spread = bool(errors.se_LL[pair] > TIE_TOLERANCE)
            effect = effect_size(cells_NL[:, first] - cells_NL[:, second])
            compared.append(
                PairCertainty(
                    first=scores.losses[first],
                    second=scores.losses[second],
                    difference=scores.shown(difference),
                    interval=around(difference, width_LL[pair]) if spread else None,
                    simultaneous=around(difference, simultaneous_LL[pair]) if spread else None,
                    p_tukey=float(p_LL[pair]) if spread else None,
                    equivalent=bool(equal_LL[pair]) if spread else None,
                    corrected=None
                    if corrected_LL is None
                    else around(difference, corrected_LL[pair]),
                    effect_size=None if effect is None else scores.shown(effect),
                    num_combinations=int((present_NL[:, first] & present_NL[:, second]).sum()),
                )
            )
    return tuple(compared)
