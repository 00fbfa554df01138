"""Region losses: from sums over pixels that compare the prediction with the truth as sets.

Every function of the rooms `region`, `pixel`, `boundary` and `compound` takes logits_BCHW and
truth_BCHW of one shape and one type, float32 or float64, and returns a scalar of that type. One
channel means a sigmoid, several a softmax; the truth is the membership that
`workers.losses.target.membership` gives. p is the probability, q = 1 - p, y the truth; TP, FP, FN
and TN are soft counts: the sums of p y, p (1-y), q y and q (1-y).
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.catalogue.losses.entry import Sums

_TINY = 1e-7
"""Least base of a power below 1, whose slope at 0 is infinite."""

_LEAST_FRACTION = 1e-12
"""Least fraction of pixels in a square root of the Matthews correlation."""


def probabilities(logits_BCHW: Tensor) -> Tensor:
    """Returns the sigmoid of one channel, or the softmax of several."""
    return logits_BCHW.sigmoid() if logits_BCHW.shape[1] == 1 else logits_BCHW.softmax(dim=1)


def over_classes(logits_BCHW: Tensor, truth_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Returns probability and truth per class, (B, K, H, W): one channel gives K = 2."""
    if logits_BCHW.shape[1] == 1:
        p_BKHW = torch.cat((-logits_BCHW, logits_BCHW), dim=1).sigmoid()
    else:
        p_BKHW = logits_BCHW.softmax(dim=1)
    return p_BKHW, truth_of_classes(truth_BCHW)


def truth_of_classes(truth_BCHW: Tensor) -> Tensor:
    """Returns the truth per class: one channel gives background and foreground."""
    if truth_BCHW.shape[1] > 1:
        return truth_BCHW
    return torch.cat((1 - truth_BCHW, truth_BCHW), dim=1)


def axes_of(sums: Sums) -> tuple[int, ...]:
    """Returns the axes of (B, C, H, W) that a sum runs over."""
    return (0, 2, 3) if sums == "batch" else (2, 3)


def region_sums(p_BCHW: Tensor, truth_BCHW: Tensor, sums: Sums) -> tuple[Tensor, Tensor, Tensor]:
    """Returns soft |A and B|, |A| and |B| per channel: (C,) over the batch, (B, C) by image."""
    axes = axes_of(sums)
    return (p_BCHW * truth_BCHW).sum(axes), p_BCHW.sum(axes), truth_BCHW.sum(axes)


def ratio(numerator: Tensor, denominator: Tensor, smooth: float) -> Tensor:
    """Returns (numerator + smooth) / (denominator + smooth).

    Without smoothing, 0/0 counts as full agreement: nothing predicted where nothing is.
    """
    numerator, denominator = numerator + smooth, denominator + smooth
    empty = denominator == 0
    return torch.where(empty, 1.0, numerator / torch.where(empty, 1.0, denominator))


def _mean_distance(numerator: Tensor, denominator: Tensor, smooth: float) -> Tensor:
    """Returns the mean of 1 - `ratio`.

    The quotient is subtracted last, as in the formula: rounding would otherwise swamp the gradient
    (about smooth / |A|^2) where the truth is empty, and Adam scales small gradients up.
    """
    return 1 - ratio(numerator, denominator, smooth).mean()


def bounded_power(base: Tensor, exponent: float) -> Tensor:
    """Returns base^exponent with a finite slope: a base below 1e-7 counts as 1e-7."""
    return base.clamp(min=_TINY) ** exponent


def iou_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums, smooth: float) -> Tensor:
    """Returns 1 - |A and B| / |A or B|, in [0, 1] (Jang and Ahn, JBE 30(2), 2025).

    A_i = p_i is the soft prediction, |A or B| = |A| + |B| - |A and B|. Several channels: the mean
    over all classes, background and classes absent from the images included.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
        smooth: Added to numerator and denominator.
    """
    both, predicted, true = region_sums(probabilities(logits_BCHW), truth_BCHW, sums)
    return _mean_distance(both, predicted + true - both, smooth)


def dice_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums, smooth: float) -> Tensor:
    """Returns 1 - 2 |A and B| / (|A| + |B|), in [0, 1]; arguments as for `iou_loss`."""
    both, predicted, true = region_sums(probabilities(logits_BCHW), truth_BCHW, sums)
    return _mean_distance(2 * both, predicted + true, smooth)


def squared_dice_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums, smooth: float
) -> Tensor:
    """Returns 1 - 2 TP / (sum p^2 + sum y^2), in [0, 1] (Milletari et al., arXiv:1606.04797).

    Arguments as for `iou_loss`.
    """
    probability_BCHW, axes = probabilities(logits_BCHW), axes_of(sums)
    both = (probability_BCHW * truth_BCHW).sum(axes)
    squares = (probability_BCHW.square() + truth_BCHW.square()).sum(axes)
    return _mean_distance(2 * both, squares, smooth)


def log_cosh_dice_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums, smooth: float
) -> Tensor:
    """Returns log(cosh(`dice_loss`)), in [0, 0.434] (Jadon, arXiv:2006.14822).

    Written as log(1 + 2 sinh^2(D/2)), which keeps its digits near 0. Arguments as for `iou_loss`.
    """
    dice = dice_loss(logits_BCHW, truth_BCHW, sums=sums, smooth=smooth)
    return (2 * (dice / 2).sinh().square()).log1p()


def _tversky_ratio(
    logits_BCHW: Tensor, truth_BCHW: Tensor, alpha: float, beta: float, sums: Sums, smooth: float
) -> Tensor:
    both, predicted, true = region_sums(probabilities(logits_BCHW), truth_BCHW, sums)
    wrong = alpha * (predicted - both) + beta * (true - both)
    return ratio(both, both + wrong, smooth)


def tversky_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    alpha: float,
    beta: float,
    sums: Sums,
    smooth: float,
) -> Tensor:
    """Returns 1 - TP / (TP + alpha FP + beta FN), in [0, 1] (Salehi et al., arXiv:1706.05721).

    alpha = beta = 1 is `iou_loss`; alpha = beta = 0.5 without smoothing is `dice_loss`.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
        smooth: Added to numerator and denominator.
    """
    return 1 - _tversky_ratio(logits_BCHW, truth_BCHW, alpha, beta, sums, smooth).mean()


def focal_tversky_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    sums: Sums,
    smooth: float,
) -> Tensor:
    """Returns (1 - Tversky index)^(1/gamma), in [0, 1] (Abraham and Khan, arXiv:1810.07842).

    Several channels: the mean of the powers. The slope of a power below 1 is infinite at 0, so a
    base below 1e-7 counts as 1e-7.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        gamma: The exponent is 1 / gamma.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
        smooth: Added to numerator and denominator.
    """
    found = _tversky_ratio(logits_BCHW, truth_BCHW, alpha, beta, sums, smooth)
    return bounded_power(1 - found, 1 / gamma).mean()


def generalised_dice_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums) -> Tensor:
    """Returns 1 - 2 sum w TP / sum w (|A| + |B|), w = 1/|B|^2 (Sudre et al., arXiv:1707.03237).

    The sums run over the classes; one channel gives foreground and background. A class absent from
    the truth gets the weight of the rarest present class.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
    """
    both, predicted, true = region_sums(*over_classes(logits_BCHW, truth_BCHW), sums)
    # Only ratios of the weights matter: the rarest present class has 1.
    least = true.masked_fill(true == 0, torch.inf).amin(-1, keepdim=True)
    weight = (least / torch.where(true == 0, least, true)).square()
    return 1 - (2 * (weight * both).sum(-1) / (weight * (predicted + true)).sum(-1)).mean()


def jaccard_metric_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    label_smoothing: float,
    sums: Sums,
    smooth: float,
) -> Tensor:
    """Returns 1 - (|p| + |y| - d + 2s) / (|p| + |y| + d + 2s), d = |p - y| (sums of pixels).

    Jaccard metric loss (Wang et al., arXiv:2302.05666). For a hard truth it equals `iou_loss`; for
    a soft truth its minimum is at p = y, which is not so for `iou_loss`.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership, hard or soft.
        label_smoothing: e in y' = (1 - e) y + e / K, with K = 2 for one channel; 0 keeps the truth.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
        smooth: s.
    """
    soft_BCHW = smoothed(truth_BCHW, label_smoothing)
    probability_BCHW, axes = probabilities(logits_BCHW), axes_of(sums)
    total = (probability_BCHW + soft_BCHW).sum(axes)
    apart = (probability_BCHW - soft_BCHW).abs().sum(axes)
    return _mean_distance(total - apart, total + apart, 2 * smooth)


def smoothed(truth_BCHW: Tensor, amount: float) -> Tensor:
    """Returns (1 - amount) y + amount / K; K = 2 for one channel."""
    return (1 - amount) * truth_BCHW + amount / max(2, truth_BCHW.shape[1])


def sensitivity_specificity_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, ratio: float, sums: Sums
) -> Tensor:
    """Returns r sum (y-p)^2 y / sum y + (1-r) sum (y-p)^2 (1-y) / sum (1-y), in [0, 1].

    Brosch et al., MICCAI 2015. A term without pixels counts 0.

    Args:
        logits_BCHW: Raw outputs of one channel.
        truth_BCHW: Membership.
        ratio: r, the weight of the error inside the lesion (sensitivity).
        sums: Pixels that each sum runs over; `image` gives the mean over images.
    """
    error_B1HW = (truth_BCHW - logits_BCHW.sigmoid()).square()
    axes = axes_of(sums)

    def mean_over(mask_B1HW: Tensor) -> Tensor:
        size = mask_B1HW.sum(axes)
        return (error_B1HW * mask_B1HW).sum(axes) / torch.where(size == 0, 1.0, size)

    return (ratio * mean_over(truth_BCHW) + (1 - ratio) * mean_over(1 - truth_BCHW)).mean()


def mcc_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums) -> Tensor:
    """Returns 1 - Matthews correlation, in [0, 2] (Abhishek and Hamarneh, arXiv:2010.13454).

    (TP TN - FP FN) / sqrt((TP+FP) (TP+FN) (TN+FP) (TN+FN)). The counts are fractions of the pixels,
    because products of four counts lose all digits in float32.

    Args:
        logits_BCHW: Raw outputs of one channel.
        truth_BCHW: Membership.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
    """
    axes = axes_of(sums)
    p, q = logits_BCHW.sigmoid(), (-logits_BCHW).sigmoid()
    tp, fp, fn, tn = (
        (predicted * true).mean(axes)
        for predicted, true in (
            (p, truth_BCHW), (p, 1 - truth_BCHW), (q, truth_BCHW), (q, 1 - truth_BCHW),
        )
    )  # fmt: skip
    scale = torch.ones_like(tp)
    for margin in (tp + fp, tp + fn, tn + fp, tn + fn):
        scale = scale * margin.clamp(min=_LEAST_FRACTION).sqrt()
    return 1 - ((tp * tn - fp * fn) / scale).mean()


def lovasz_hinge_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums) -> Tensor:
    """Returns the Lovász extension of 1 - IoU at the hinge errors max(0, 1 - z (2y - 1)).

    Yu and Blaschko, arXiv:1512.07797. Unbounded; a soft truth is rounded.

    Args:
        logits_BCHW: Raw outputs z of one channel.
        truth_BCHW: Membership.
        sums: Pixels that are sorted together; `image` gives the mean over images.
    """
    hard_BCHW = truth_BCHW > 0.5
    error_BCHW = (1 - logits_BCHW * (2 * hard_BCHW.to(logits_BCHW.dtype) - 1)).relu()
    return _lovasz(error_BCHW, hard_BCHW, sums).mean()


def lovasz_softmax_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums) -> Tensor:
    """Returns the Lovász extension of 1 - IoU at the errors |y - p| (Berman, arXiv:1705.08790).

    One channel: of the foreground. Several: the mean over the classes that the truth contains. A
    soft truth is rounded.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        sums: Pixels that are sorted together; `image` gives the mean over images.
    """
    hard_BCHW = truth_BCHW > 0.5
    error_BCHW = (hard_BCHW.to(logits_BCHW.dtype) - probabilities(logits_BCHW)).abs()
    found = _lovasz(error_BCHW, hard_BCHW, sums)
    if logits_BCHW.shape[1] == 1:
        return found.mean()
    present = hard_BCHW.any(axes_of(sums))
    return ((found * present).sum(-1) / present.sum(-1)).mean()


def _lovasz(error_BCHW: Tensor, hard_BCHW: Tensor, sums: Sums) -> Tensor:
    """Returns the Lovász extension of 1 - IoU per channel: (C,) over the batch, (B, C) by image.

    The i-th greatest error has the weight J_i - J_{i-1}, J_i being 1 - IoU if the first i pixels
    are wrong: 1 / union for a lesion pixel, intersection / (union before x union after) for another
    pixel. The weights are put back in the order of the pixels, so that the gradient is that of a
    product (on CUDA, sums of floating numbers and sorts can lack a deterministic form).
    """
    if sums == "batch":
        error_BCHW, hard_BCHW = error_BCHW.transpose(0, 1), hard_BCHW.transpose(0, 1)
        error, hard = error_BCHW.flatten(1), hard_BCHW.flatten(1)
    else:
        error, hard = error_BCHW.flatten(2), hard_BCHW.flatten(2)
    order = error.detach().argsort(dim=-1, descending=True, stable=True)
    lesion = hard.gather(-1, order).long()
    size = lesion.sum(-1, keepdim=True)
    intersection = (size - lesion.cumsum(-1)).to(error.dtype)
    union = (size + (1 - lesion).cumsum(-1)).to(error.dtype)
    # Without a lesion, the first pixel makes 1 - IoU jump from 0 to 1.
    before = union - 1
    other = torch.where(before == 0, 1.0, intersection / (union * before.clamp(min=1)))
    weight = torch.where(lesion.bool(), 1 / union.clamp(min=1), other)
    return (error * weight.gather(-1, order.argsort(dim=-1))).sum(-1)
