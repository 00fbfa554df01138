"""Draws of new sweeps: what other datasets and networks, or new repeats here, would show.

Each draw takes anew the sizes of all effects, then the true effects of the losses, then a whole
sweep of the same size, as block means; docs/ranking.md has the formulas. Names of arrays end in
their axes: K draws, D datasets, M models, L losses, R repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from orchestrator.ranking.divergence import Divergence, Lost
from orchestrator.ranking.fixed import repeat_squares
from orchestrator.ranking.pairs import cell_variance, centred, strata, wild_losses

FAR_ALPHA = 0.01
FAR_FRACTION = 3
"""At most one loss in this many is far."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NewSweeps:
    """The drawn sweeps.

    Attributes:
        true_KL: True effect of each loss, up to a constant.
        dataset_KDL: Mean of each dataset, up to a constant; one dataset has the mean of all.
        model_KML: The same by model.
    """

    true_KL: np.ndarray
    dataset_KDL: np.ndarray
    model_KML: np.ndarray

    def without(self, lost: Lost) -> NewSweeps:
        """Returns the sweeps with what diverged trials cost."""
        return NewSweeps(
            true_KL=self.true_KL - lost.true_KL,
            dataset_KDL=self.dataset_KDL - lost.dataset_KDL,
            model_KML=self.model_KML - lost.model_KML,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Components:
    """Drawn variances of the effects of one loss and of its mean, (K, 1) or (K, L)."""

    dataset: np.ndarray
    model: np.ndarray
    rest: np.ndarray
    of_mean: np.ndarray


def peculiar(x_DML: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which losses are far and which wild, two arrays (L,) bool.

    The mean of a far loss is an outlier among the means (Grubbs 1950, repeated); a wild loss varies
    more over datasets and models than the others. What is common to the losses is estimated
    without them.
    """
    mean_L = x_DML.mean(axis=(0, 1))
    found = strata(centred(x_DML))
    wild_L = wild_losses(found)
    far_L = _outliers(mean_L)
    kept_L = ~(far_L | wild_L)
    if wild_L.any() and kept_L.sum() > 1:
        own_L = cell_variance([np.diagonal(gram) for gram in found.grams]) / found.num_cells
        limit_L = 3 * np.sqrt(own_L + mean_L[kept_L].var(ddof=1))
        far_L |= wild_L & (np.abs(mean_L - mean_L[kept_L].mean()) > limit_L)
    return (far_L, wild_L) if kept_L.sum() > 1 else (far_L & False, wild_L & False)


def _outliers(mean_L: np.ndarray) -> np.ndarray:
    out_L = np.zeros(len(mean_L), dtype=bool)
    for _ in range(len(mean_L) // FAR_FRACTION):
        left = mean_L[~out_L]
        n, deviation = len(left), left.std(ddof=1) if len(left) > 2 else 0.0
        if deviation == 0:
            break
        distance_L = np.where(out_L, 0.0, np.abs(mean_L - left.mean())) / deviation
        quantile = t.isf(FAR_ALPHA / (2 * n), n - 2) ** 2
        limit = (n - 1) / np.sqrt(n) * np.sqrt(quantile / (n - 2 + quantile))
        if distance_L.max() <= limit:
            break
        out_L[distance_L.argmax()] = True
    return out_L


def chances(
    x_DML: np.ndarray,
    *,
    num_draws: int,
    random: np.random.Generator,
    divergence: Divergence | None = None,
) -> NewSweeps:
    """Draws sweeps of the same size with other datasets and networks.

    With one dataset or one model, its axis has the same one in each sweep.

    Args:
        x_DML: Mean of the finished trials of each cell and loss, without gaps.
        num_draws: K.
        random: Source of the draws.
        divergence: Trials that diverged; None if none did.
    """
    far_L, wild_L = peculiar(x_DML)
    kept_L = ~(far_L | wild_L)
    centred_DML = x_DML - x_DML[..., kept_L].mean(axis=2, keepdims=True)
    common = _components(centred_DML[..., kept_L], int(kept_L.sum()) - 1, num_draws, random)
    mean_L = centred_DML.mean(axis=(0, 1))
    shrink_K1 = _shrinkage(common.of_mean, mean_L[kept_L], random)
    # Variance between the true effects of the losses; infinite where the means have no error.
    between_K1 = np.where(shrink_K1 < 1, common.of_mean * shrink_K1, np.inf) / np.where(
        shrink_K1 < 1, 1 - shrink_K1, 1
    )
    shape = (num_draws, x_DML.shape[2])
    known_KL = np.broadcast_to(shrink_K1, shape).copy()
    drawn = {name: np.broadcast_to(part, shape).copy() for name, part in vars(common).items()}
    for loss in np.flatnonzero(~kept_L):
        own = _components(centred_DML[..., [loss]], 1, num_draws, random)
        for name, part in vars(own).items():
            drawn[name][:, loss] = part[:, 0]
        known_KL[:, loss] = 1.0 if far_L[loss] else _fraction(between_K1, own.of_mean)[:, 0]
    components = _Components(**drawn)
    true_KL = known_KL * mean_L
    true_KL += np.sqrt(known_KL * components.of_mean) * random.standard_normal(shape)
    sweeps = _new_sweeps(true_KL, components, x_DML.shape, random)
    if divergence is None:
        return sweeps
    return sweeps.without(divergence.lost(num_draws, random))


def null_sweeps(
    x_DML: np.ndarray,
    *,
    num_draws: int,
    random: np.random.Generator,
    divergence: Divergence | None = None,
) -> NewSweeps:
    """Draws sweeps of the same size in which all losses are equal; see `chances`."""
    num_losses = x_DML.shape[2]
    common = _components(centred(x_DML), num_losses - 1, num_draws, random)
    equal_KL = np.zeros((num_draws, num_losses))
    sweeps = _new_sweeps(equal_KL, common, x_DML.shape, random)
    if divergence is None:
        return sweeps
    return sweeps.without(divergence.lost_by_equals(num_draws, random))


def _components(
    centred_DML: np.ndarray, num_free: int, num_draws: int, random: np.random.Generator
) -> _Components:
    """Draws the variances: each mean square times df / chi2(df); negative components are 0.

    Args:
        centred_DML: The losses whose variance is pooled.
        num_free: Degrees of freedom between them.
        num_draws: K.
        random: Source of the draws.
    """
    num_datasets, num_models, _ = centred_DML.shape
    found = strata(centred_DML)
    drawn = [
        np.trace(gram) * df / random.chisquare(df * num_free, size=(num_draws, 1))
        for gram, df in zip(found.grams, found.dfs, strict=True)
    ]
    rest_K1 = drawn[-1]
    dataset_K1, model_K1 = drawn[:2] if len(drawn) > 1 else (rest_K1, rest_K1)
    return _Components(
        dataset=np.maximum(0, dataset_K1 - rest_K1) / num_models,
        model=np.maximum(0, model_K1 - rest_K1) / num_datasets,
        rest=rest_K1,
        of_mean=cell_variance(drawn) / found.num_cells,
    )


def _shrinkage(error_K1: np.ndarray, mean_L: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns (K, 1): the fraction of the seen differences between losses that is true."""
    total = float((mean_L**2).sum())
    if total == 0:
        return np.zeros_like(error_K1)
    noise_K1 = error_K1 * random.chisquare(len(mean_L) - 1, size=error_K1.shape)
    return np.maximum(0, 1 - noise_K1 / total)


def _fraction(true: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Returns true / (true + noise), 1 where `true` is infinite."""
    finite = np.isfinite(true)
    total = np.where(finite, true, 1) + noise
    return np.where(finite & (total > 0), np.where(finite, true, 0) / np.maximum(total, 1e-300), 1)


def _new_sweeps(
    true_KL: np.ndarray,
    components: _Components,
    shape: tuple[int, ...],
    random: np.random.Generator,
) -> NewSweeps:
    """Draws the block means of whole sweeps: exactly as means of drawn cells, without the cells."""
    num_datasets, num_models = shape[:2]
    num_draws, num_losses = true_KL.shape

    def normal(variance_K: np.ndarray, number: int) -> np.ndarray:
        noise = random.standard_normal((num_draws, number, num_losses))
        return np.asarray(noise * np.sqrt(variance_K)[:, None])

    def deviations(variance_K: np.ndarray, number: int) -> np.ndarray:
        noise = normal(variance_K, number)
        return np.asarray(noise - noise.mean(axis=1, keepdims=True))

    dataset_KDL = normal(components.dataset, num_datasets)
    model_KML = normal(components.model, num_models)
    of_models_KL, of_datasets_KL = model_KML.mean(axis=1), dataset_KDL.mean(axis=1)
    all_K1L = true_KL[:, None] + normal(components.rest / (num_datasets * num_models), 1)
    dataset_KDL += deviations(components.rest / num_models, num_datasets)
    dataset_KDL += all_K1L + of_models_KL[:, None]
    model_KML += deviations(components.rest / num_datasets, num_models)
    model_KML += all_K1L + of_datasets_KL[:, None]
    return NewSweeps(true_KL=true_KL, dataset_KDL=dataset_KDL, model_KML=model_KML)


def again_sweeps(
    x_DML: np.ndarray,
    values_DMLR: np.ndarray,
    *,
    num_draws: int,
    random: np.random.Generator,
    divergence: Divergence | None = None,
) -> NewSweeps:
    """Draws sweeps of the same datasets and networks with new repeats; needs two repeats.

    Args:
        x_DML: See `chances`.
        values_DMLR: The finished trials; NaN elsewhere.
        num_draws: K.
        random: Source of the draws.
        divergence: Trials that diverged; None if none did.
    """
    split_K1, training_K1 = _repeat_noise(values_DMLR, num_draws, random)
    num_datasets, num_models, num_losses = x_DML.shape
    centred_DML = centred(x_DML)
    mean_L = centred_DML.mean(axis=(0, 1))
    free = num_losses - 1
    loss_K1L = _new_repeats(mean_L[None], free, num_datasets * num_models, split_K1, random)
    dataset_KDL = model_KML = np.zeros((1, 1, 1))
    if num_datasets > 1:
        seen_DL = centred_DML.mean(axis=1) - mean_L
        dataset_KDL = _new_repeats(seen_DL, free * (num_datasets - 1), num_models, split_K1, random)
    if num_models > 1:
        seen_ML = centred_DML.mean(axis=0) - mean_L
        model_KML = _new_repeats(
            seen_ML, free * (num_models - 1), num_datasets, training_K1, random
        )
    sweeps = NewSweeps(
        true_KL=loss_K1L[:, 0], dataset_KDL=loss_K1L + dataset_KDL, model_KML=loss_K1L + model_KML
    )
    if divergence is None:
        return sweeps
    return sweeps.without(divergence.lost_again(num_draws, random))


def _repeat_noise(
    values_DMLR: np.ndarray, num_draws: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the mean squares of split and of training, (K, 1), for a mean over the repeats."""
    found, size = repeat_squares(values_DMLR), (num_draws, 1)
    mean_repeats = (~np.isnan(values_DMLR)).sum(axis=3).mean()
    split_K1 = found.split / random.chisquare(found.split_df, size=size) / mean_repeats
    if not found.training_df:
        return split_K1, split_K1
    chi2_K1 = random.chisquare(found.training_df, size=size)
    return split_K1, found.training / chi2_K1 / mean_repeats


def _new_repeats(
    seen_NL: np.ndarray,
    free: int,
    num_cells: int,
    noise_K1: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """Draws (K, N, L) effects that new repeats show: the true ones given the seen ones, and noise.

    Args:
        seen_NL: Effects of the losses in N blocks; with several, their sum over the blocks is 0.
        free: Degrees of freedom of these effects.
        num_cells: Cells in a block.
        noise_K1: Mean square of the noise.
        random: Source of the draws.
    """
    square_K1 = num_cells * float((seen_NL**2).sum()) / random.chisquare(free, size=noise_K1.shape)
    kept_K1 = np.maximum(
        0, 1 - np.divide(noise_K1, square_K1, out=np.ones_like(noise_K1), where=square_K1 > 0)
    )
    error_K1 = np.sqrt((kept_K1 + 1) * noise_K1 / num_cells)  # of the true effects, and new
    noise = random.standard_normal((len(noise_K1), *seen_NL.shape))
    if len(seen_NL) > 1:
        noise -= noise.mean(axis=1, keepdims=True)
    return np.asarray(kept_K1[..., None] * seen_NL + error_K1[..., None] * noise)
