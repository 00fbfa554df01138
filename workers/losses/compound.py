"""Compound losses: published formulas that join a region loss with a distribution loss.

Arguments and letters are those of `workers.losses.region`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from workers.catalogue.losses.entry import Sums
from workers.losses.pixel import cross_entropy, focal, of_true_class
from workers.losses.region import bounded_power, dice_loss, over_classes, ratio, region_sums


def combo_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    alpha: float,
    beta: float,
    sums: Sums,
    smooth: float,
) -> Tensor:
    """Returns alpha times a weighted cross-entropy minus 1 - alpha times the soft Dice score.

    Taghanaki et al., arXiv:1805.02798. Its minimum is -(1 - alpha).

    Args:
        logits_BCHW: Raw outputs of one channel.
        truth_BCHW: Membership.
        alpha: Weight of the cross-entropy.
        beta: Weight of foreground pixels in the cross-entropy; the background's is 1 - beta.
        sums: Pixels that the sums of the Dice score run over.
        smooth: Added to numerator and denominator of the Dice score.
    """
    entropy_BHW = of_true_class(
        logits_BCHW, truth_BCHW, cross_entropy, foreground=beta, background=1 - beta
    )
    dice = 1 - dice_loss(logits_BCHW, truth_BCHW, sums=sums, smooth=smooth)
    return alpha * entropy_BHW.mean() - (1 - alpha) * dice


def unified_focal_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    weight: float,
    delta: float,
    gamma: float,
    sums: Sums,
    smooth: float,
) -> Tensor:
    """Returns weight x focal loss + (1 - weight) x focal Tversky loss, in their symmetric forms.

    Yeung et al., arXiv:2102.04525: mean of delta_c (1-p_t)^(1-gamma) (-log p_t), and mean over the
    classes of (1 - TI_c)^gamma with TI_c = TP / (TP + delta FN + (1-delta) FP). delta_c is delta
    for the foreground and 1 - delta for the background; one channel has both.

    Args:
        logits_BCHW: Raw outputs; of several classes, class 0 is the background.
        truth_BCHW: Membership.
        weight: Weight of the focal loss.
        delta: Weight of foreground pixels, and of false negatives.
        gamma: Strength of both focal terms; 1 suppresses no easy pixel, 0 suppresses most.
        sums: Pixels that the sums of the Tversky index run over.
        smooth: Added to numerator and denominator of the Tversky index.
    """
    focal_BHW = of_true_class(
        logits_BCHW,
        truth_BCHW,
        focal(1 - gamma),
        foreground=delta,
        background=1 - delta,
    )
    distance = _tversky_distance(logits_BCHW, truth_BCHW, delta, sums, smooth)
    region = bounded_power(distance, gamma).mean()
    return weight * focal_BHW.mean() + (1 - weight) * region


def asymmetric_focal_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    weight: float,
    delta: float,
    gamma: float,
    sums: Sums,
    smooth: float,
) -> Tensor:
    """Returns the asymmetric form of `unified_focal_loss` (Yeung et al., arXiv:2102.04525).

    Only background pixels have the factor (1-p_t)^gamma, and only the foreground's Tversky distance
    has the exponent 1 - gamma, so that the foreground is never suppressed.

    Args:
        logits_BCHW: Raw outputs; of several classes, class 0 is the background.
        truth_BCHW: Membership.
        weight: Weight of the focal loss.
        delta: Weight of foreground pixels, and of false negatives.
        gamma: Strength of both focal terms; 0 switches them off.
        sums: Pixels that the sums of the Tversky index run over.
        smooth: Added to numerator and denominator of the Tversky index.
    """
    foreground_BHW = of_true_class(
        logits_BCHW, truth_BCHW, cross_entropy, foreground=delta, background=0.0
    )
    background_BHW = of_true_class(
        logits_BCHW,
        truth_BCHW,
        focal(gamma),
        foreground=0.0,
        background=1 - delta,
    )
    distance = _tversky_distance(logits_BCHW, truth_BCHW, delta, sums, smooth)
    lesion = bounded_power(distance[..., 1:], 1 - gamma)
    region = torch.cat((distance[..., :1], lesion), dim=-1).mean()
    return weight * (foreground_BHW + background_BHW).mean() + (1 - weight) * region


def _tversky_distance(
    logits_BCHW: Tensor, truth_BCHW: Tensor, delta: float, sums: Sums, smooth: float
) -> Tensor:
    """Returns 1 - TP / (TP + delta FN + (1-delta) FP) per class; one channel has two classes."""
    both, predicted, true = region_sums(*over_classes(logits_BCHW, truth_BCHW), sums)
    wrong = delta * (true - both) + (1 - delta) * (predicted - both)
    return 1 - ratio(both, both + wrong, smooth)


def structure_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, radius: int, weight: float
) -> Tensor:
    """Returns weighted BCE plus weighted IoU loss, with greater weights at the boundary.

    Wei et al., arXiv:1911.11445; Fan et al., arXiv:2006.11392. w = 1 + weight |mean(y) - y|, the
    mean over a window in which pixels outside the image count 0. Per image: sum w BCE / sum w
    + 1 - (sum w p y + 1) / (sum w (p + y) - sum w p y + 1); then the mean over images.

    Args:
        logits_BCHW: Raw outputs of one channel.
        truth_BCHW: Membership.
        radius: The window has 2 radius + 1 pixels per side.
        weight: Weight of the boundary.
    """
    mean_B1HW = F.avg_pool2d(truth_BCHW, (2 * radius + 1, 1), stride=1, padding=(radius, 0))
    mean_B1HW = F.avg_pool2d(mean_B1HW, (1, 2 * radius + 1), stride=1, padding=(0, radius))
    weight_BHW = (1 + weight * (mean_B1HW - truth_BCHW).abs()).squeeze(1)
    entropy_BHW = of_true_class(logits_BCHW, truth_BCHW, cross_entropy)
    entropy_B = (weight_BHW * entropy_BHW).sum((1, 2)) / weight_BHW.sum((1, 2))
    p_BHW, truth_BHW = logits_BCHW.sigmoid().squeeze(1), truth_BCHW.squeeze(1)
    both_B = (weight_BHW * p_BHW * truth_BHW).sum((1, 2))
    total_B = (weight_BHW * (p_BHW + truth_BHW)).sum((1, 2))
    return (entropy_B + 1 - ratio(both_B, total_B - both_B, 1.0)).mean()
