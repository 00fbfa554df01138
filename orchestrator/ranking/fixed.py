"""Noise and standard errors for these datasets and networks: new repeats, other test images.

Names of arrays end in their axes: D datasets, M models, L losses, R repeats, N images of a dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.ranking.lending import PairErrors, find_wild, lend, mean_of_pairs, pair_sums
from orchestrator.ranking.scores import mean_over, paired_estimates


@dataclass(frozen=True, kw_only=True)
class RepeatSquares:
    """Sums of squares of trials around the mean of their combination, between the losses.

    Attributes:
        split: M times that of the means over the M models. Per degree of freedom, it is the
            variance of a training plus M times that of loss x split.
        split_df: Its degrees of freedom; 0 with one repeat.
        training: That of the rest; per degree of freedom, it is the variance of a training.
        training_df: Its degrees of freedom; 0 with one model, whose split is not told apart.
    """

    split: float
    split_df: int
    training: float
    training_df: int


def repeat_squares(values_DMLR: np.ndarray) -> RepeatSquares:
    """Returns how much trials that differ only in their repeat vary.

    Args:
        values_DMLR: The finished trials; NaN elsewhere.
    """
    _, num_models, num_losses, _ = values_DMLR.shape
    there_DMLR = ~np.isnan(values_DMLR)
    num_repeats_D = there_DMLR.any(axis=(1, 2)).sum(axis=1)
    filled_DMLR = np.where(there_DMLR, values_DMLR, paired_estimates(values_DMLR, there_DMLR))
    rest_DMLR = np.nan_to_num(filled_DMLR - filled_DMLR.mean(axis=3, keepdims=True))
    rest_DMLR -= rest_DMLR.mean(axis=2, keepdims=True)
    split_DLR = rest_DMLR.mean(axis=1)
    # An estimate shows no noise: it costs a degree of freedom, and shrinks the mean over models.
    num_all = int(num_repeats_D.sum()) * num_models * num_losses
    num_there = int(there_DMLR.sum())
    free = int((num_repeats_D - 1).sum()) * (num_losses - 1)
    of_split = num_models * float((split_DLR**2).sum()) * num_all / num_there
    left = max(free * (num_models - 1) - (num_all - num_there), 1)
    return RepeatSquares(
        split=of_split,
        split_df=free,
        training=float(((rest_DMLR - split_DLR[:, None]) ** 2).sum()),
        training_df=left if num_models > 1 else 0,
    )


def fixed_se(values_DMLR: np.ndarray) -> PairErrors:
    """Returns the errors for these datasets and networks: what more repeats converge to.

    A repeat of a dataset is one split of all models, so its unit is the mean over the models. If
    a loss lacks trials of a dataset, estimates fill them, and the variance of its pairs there grows
    with the number of trials that the loss lacks.

    Args:
        values_DMLR: The metric; NaN without a trained trial. Every combination has a trial, and
            every dataset at least two repeats.
    """
    parts = [_repeat_parts(values_MLR) for values_MLR in values_DMLR]
    pairs_DLL, own_DL, num_repeats = (np.array(part) for part in zip(*parts, strict=True))
    shares_D = 1 / (num_repeats * len(parts) ** 2)
    variance_DLL = pairs_DLL * shares_D[:, None, None]
    variance_DL = own_DL * shares_D[:, None]
    freedom_D = num_repeats - 1
    wild_L = find_wild(variance_DL.sum(axis=0), _freedom(variance_DL, freedom_D))
    variance_LL = variance_DLL.sum(axis=0)
    num_kept = int((~wild_L).sum())
    return lend(
        variance_LL,
        _freedom(variance_DLL, freedom_D),
        lent=mean_of_pairs(variance_LL, ~wild_L) if num_kept > 1 else 0.0,
        lent_freedom=float(freedom_D.sum()) * (num_kept - 1),
        wild_L=wild_L,
    )


def _repeat_parts(all_MLR: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the variance over the repeats of a dataset, of pairs and losses, and their number."""
    values_MLR = all_MLR[:, :, ~np.isnan(all_MLR).all(axis=(0, 1))]
    num_models, num_losses, num_repeats = values_MLR.shape
    trained_MLR = ~np.isnan(values_MLR)
    guess_MLR = paired_estimates(values_MLR[None], trained_MLR[None])[0]
    rest_LR = np.where(trained_MLR, values_MLR, guess_MLR).mean(axis=0)
    rest_LR = rest_LR - rest_LR.mean(axis=0)
    rest_LR -= rest_LR.mean(axis=1, keepdims=True)
    own_LL = rest_LR @ rest_LR.T / (num_repeats - 1)
    pairs_LL = pair_sums(own_LL)
    # An estimate has no residual, so the variance is too small by the fraction of trials, squared.
    lacking_L = num_models * num_repeats / trained_MLR.sum(axis=(0, 2))
    lacking_LL = (lacking_L[:, None] + lacking_L) / 2
    pairs_LL = pairs_LL * lacking_LL**2
    whole_L = lacking_L == 1
    if not whole_L.all():
        kept_L = whole_L if whole_L.sum() > 1 else np.ones(num_losses, dtype=bool)
        least_LL = mean_of_pairs(pairs_LL, kept_L) * lacking_LL
        pairs_LL = np.where(lacking_LL == 1, pairs_LL, np.maximum(pairs_LL, least_LL))
    return pairs_LL, np.diagonal(own_LL), num_repeats


def image_se(scores_DLRN: Sequence[np.ndarray], units_DN: Sequence[np.ndarray]) -> PairErrors:
    """Returns the errors for these networks and other images; one repeat is enough.

    With one repeat, the noise of training is not in the errors.

    Args:
        scores_DLRN: For each dataset (L, R, N): the score of each test image, averaged over the
            models; NaN where the image is not in the test set of the repeat, which is the same for
            all losses.
        units_DN: For each dataset the unit of each image, whole numbers: images of one patient or
            video share a unit. Every dataset has two units or more.
    """
    parts = [_image_parts(*each) for each in zip(scores_DLRN, units_DN, strict=True)]
    images_DLL, repeats_DLL, both_DLL = (np.stack(part) for part in zip(*parts, strict=True))
    num_units_D = np.array([len(np.unique(units)) for units in units_DN])
    num_repeats_D = np.array([scores.shape[1] for scores in scores_DLRN])
    variance_LL = (images_DLL + np.maximum(0, repeats_DLL - both_DLL)).sum(axis=0)
    squares_LL = (images_DLL**2 / (num_units_D - 1)[:, None, None]).sum(axis=0)
    squares_LL += (repeats_DLL**2 / np.maximum(num_repeats_D - 1, 1)[:, None, None]).sum(axis=0)
    least = np.where(num_repeats_D > 1, num_repeats_D, num_units_D).min() - 1
    with np.errstate(invalid="ignore"):
        freedom_LL = np.maximum(np.nan_to_num(variance_LL**2 / squares_LL), least)
    return PairErrors(se_LL=np.sqrt(variance_LL) / len(parts), df_LL=freedom_LL)


def corrected_se(scores_DLRN: Sequence[np.ndarray], tested_per_trained_D: np.ndarray) -> PairErrors:
    """Returns the errors with the correction for overlapping training sets; two repeats or more.

    Source: Nadeau and Bengio, Machine Learning 52:239-281 (2003), section 3.

    Args:
        scores_DLRN: See `image_se`.
        tested_per_trained_D: Test images per training image.
    """
    variances = []
    for scores_LRN, ratio in zip(scores_DLRN, tested_per_trained_D, strict=True):
        means_LR = mean_over(scores_LRN, 2)
        num_repeats = means_LR.shape[1]
        rest_LR = means_LR - means_LR.mean(axis=1, keepdims=True)
        spread_LL = pair_sums(rest_LR @ rest_LR.T) / (num_repeats - 1)
        variances.append(spread_LL * (1 / num_repeats + ratio))
    freedom_D = np.array([scores.shape[1] - 1 for scores in scores_DLRN])
    variance_DLL = np.stack(variances)
    return PairErrors(
        se_LL=np.sqrt(variance_DLL.sum(axis=0)) / len(variances),
        df_LL=_freedom(variance_DLL, freedom_D),
    )


def _image_parts(
    scores_LRN: np.ndarray, units_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the variance (L, L) of a dataset's means by image, by repeat, and by both."""
    num_losses, num_repeats, _ = scores_LRN.shape
    tested_RN = ~np.isnan(scores_LRN[0])
    means_LR = mean_over(scores_LRN, 2)
    rest_LRN = np.nan_to_num(scores_LRN - means_LR.mean(axis=1)[:, None, None])
    rest_LRN /= tested_RN.sum(axis=1)[:, None] * num_repeats
    by_unit_N = np.argsort(units_N, kind="stable")
    starts_U = np.unique(units_N[by_unit_N], return_index=True)[1]
    num_units = len(starts_U)
    both_LRU = np.add.reduceat(rest_LRN[..., by_unit_N], starts_U, axis=2)
    images_LU, repeats_LR = both_LRU.sum(axis=1), both_LRU.sum(axis=2)
    both_LC = both_LRU.reshape(num_losses, -1)
    # One repeat has the sum 0, because its mean is the estimate.
    return (
        pair_sums(images_LU @ images_LU.T) * num_units / (num_units - 1),
        pair_sums(repeats_LR @ repeats_LR.T) * num_repeats / max(num_repeats - 1, 1),
        pair_sums(both_LC @ both_LC.T),
    )


def _freedom(variance_D: np.ndarray, freedom_D: np.ndarray) -> np.ndarray:
    """Returns the degrees of freedom of a sum over the first axis (Satterthwaite 1946)."""
    freedom = freedom_D.reshape(-1, *(1,) * (variance_D.ndim - 1))
    squares = np.square(variance_D) / freedom
    with np.errstate(invalid="ignore"):
        found = np.nan_to_num(np.square(variance_D.sum(axis=0)) / squares.sum(axis=0))
    return np.asarray(np.maximum(found, freedom_D.min()))
