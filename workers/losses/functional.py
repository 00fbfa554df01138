"""The pure functions behind the losses, from logits and membership.

Every function takes logits_BCHW and truth_BCHW of one shape and one type, float32 or float64, and
returns a scalar of that type. One channel means a sigmoid, several a softmax; the truth is the
membership that `workers.losses.target.membership` gives. Formulas: Jang and Ahn, JBE 30(2), 2025.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

Sums = Literal["batch", "image"]


def _region_sums(
    logits_BCHW: Tensor, truth_BCHW: Tensor, sums: Sums
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns soft |A and B|, |A| and |B| per channel: (C,) over the batch, (B, C) by image."""
    if logits_BCHW.shape[1] == 1:
        probability_BCHW = logits_BCHW.sigmoid()
    else:
        probability_BCHW = logits_BCHW.softmax(dim=1)
    axes = (0, 2, 3) if sums == "batch" else (2, 3)
    both = (probability_BCHW * truth_BCHW).sum(axes)
    return both, probability_BCHW.sum(axes), truth_BCHW.sum(axes)


def _mean_distance(numerator: Tensor, denominator: Tensor, smooth: float) -> Tensor:
    """Returns the mean of 1 - (numerator + smooth) / (denominator + smooth).

    Without smoothing, 0/0 counts as full agreement: nothing predicted where nothing is. The
    quotient is subtracted last, as in the formula: rounding would otherwise swamp the gradient
    (about smooth / |A|^2) where the truth is empty, and Adam scales small gradients up.
    """
    numerator, denominator = numerator + smooth, denominator + smooth
    empty = denominator == 0
    ratio = torch.where(empty, 1.0, numerator / torch.where(empty, 1.0, denominator))
    return 1 - ratio.mean()


def iou_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums, smooth: float) -> Tensor:
    """Returns 1 - |A and B| / |A or B|, in [0, 1].

    A_i = p_i is the soft prediction, |A or B| = |A| + |B| - |A and B|. Several channels: the mean
    over all classes, background and classes absent from the images included.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
        smooth: Added to numerator and denominator.
    """
    both, predicted, true = _region_sums(logits_BCHW, truth_BCHW, sums)
    return _mean_distance(both, predicted + true - both, smooth)


def dice_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums, smooth: float) -> Tensor:
    """Returns 1 - 2 |A and B| / (|A| + |B|), in [0, 1]; arguments as for `iou_loss`."""
    both, predicted, true = _region_sums(logits_BCHW, truth_BCHW, sums)
    return _mean_distance(2 * both, predicted + true, smooth)


def cross_entropy_loss(logits_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Returns the mean over pixels of -log p of the truth.

    One channel: -(B log p + (1 - B) log(1 - p)). Several: -log p of the true class.
    """
    if logits_BCHW.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits_BCHW, truth_BCHW)
    log_p_BCHW = F.log_softmax(logits_BCHW, dim=1)
    return -(truth_BCHW * log_p_BCHW).sum(dim=1).mean()


def focal_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Returns the mean over pixels of -alpha (1 - p_t)^gamma log p_t, p_t being p of the truth.

    One channel: -alpha [(1-p)^gamma B log p + p^gamma (1-B) log(1-p)]; alpha multiplies both
    terms, unlike alpha and 1 - alpha in most libraries. Powers are exp(gamma log(1 - p_t)) with
    the logarithm taken from the logits: for gamma below 1 the power rule has an infinite slope at
    p_t = 1, which this form avoids.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: Factor of the whole loss.
        gamma: Exponent; 0 gives alpha times the cross-entropy.
    """
    if logits_BCHW.shape[1] == 1:
        log_p_BCHW, log_q_BCHW = F.logsigmoid(logits_BCHW), F.logsigmoid(-logits_BCHW)
        lesion_BCHW = truth_BCHW * (gamma * log_q_BCHW).exp() * log_p_BCHW
        rest_BCHW = (1 - truth_BCHW) * (gamma * log_p_BCHW).exp() * log_q_BCHW
        return -alpha * (lesion_BCHW + rest_BCHW).mean()
    log_p_BCHW = F.log_softmax(logits_BCHW, dim=1)
    log_true_BHW = (truth_BCHW * log_p_BCHW).sum(dim=1)
    # log(1 - p_t): the other classes' share, exact also where p_t rounds to 1.
    log_rest_BHW = log_p_BCHW.masked_fill(truth_BCHW.bool(), -torch.inf).logsumexp(dim=1)
    return -alpha * ((gamma * log_rest_BHW).exp() * log_true_BHW).mean()
