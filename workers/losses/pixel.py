"""Distribution losses: means over pixels of a function of the true class's probability p_t.

Arguments and letters are those of `workers.losses.region`. log p_t and log(1 - p_t) are taken from
the logits, so that no logit gives NaN or infinity. Powers of 1 - p_t are exp(gamma log(1 - p_t)):
for gamma below 1 the power rule has an infinite slope at p_t = 1, which this form avoids.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from workers.catalogue.losses.entry import Sums
from workers.losses.region import axes_of, smoothed, truth_of_classes


def cross_entropy_loss(logits_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    """Returns the mean over pixels of -log p of the truth.

    One channel: -(y log p + (1-y) log(1-p)). Several: -log p of the true class.
    """
    if logits_BCHW.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits_BCHW, truth_BCHW)
    return -(truth_BCHW * F.log_softmax(logits_BCHW, dim=1)).sum(dim=1).mean()


def of_true_class(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    function: Callable[[Tensor, Tensor], Tensor],
    *,
    foreground: float | Tensor = 1.0,
    background: float | Tensor = 1.0,
) -> Tensor:
    """Returns function(log p_t, log(1 - p_t)) per pixel, (B, H, W), times the class's weight.

    A soft truth y of one channel gives y times the value of the foreground plus 1 - y times that of
    the background. Of several classes, class 0 is the background.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        function: From two tensors of one shape to a tensor of this shape.
        foreground: Weight of foreground pixels, one for all or (B, 1, 1).
        background: Weight of background pixels, likewise.
    """
    if logits_BCHW.shape[1] == 1:
        log_p_BHW, log_q_BHW = (F.logsigmoid(z).squeeze(1) for z in (logits_BCHW, -logits_BCHW))
        truth_BHW = truth_BCHW.squeeze(1)
        return foreground * truth_BHW * function(log_p_BHW, log_q_BHW) + background * (
            1 - truth_BHW
        ) * function(log_q_BHW, log_p_BHW)
    log_p_BCHW = F.log_softmax(logits_BCHW, dim=1)
    log_true_BHW = (truth_BCHW * log_p_BCHW).sum(dim=1)
    # log(1 - p_t): the other classes' share, exact also where p_t rounds to 1.
    log_rest_BHW = log_p_BCHW.masked_fill(truth_BCHW.bool(), -torch.inf).logsumexp(dim=1)
    behind_BHW = truth_BCHW[:, 0]
    weight_BHW = foreground * (1 - behind_BHW) + background * behind_BHW
    return weight_BHW * function(log_true_BHW, log_rest_BHW)


def cross_entropy(log_true: Tensor, _: Tensor) -> Tensor:
    """Returns -log p_t, for `of_true_class`."""
    return -log_true


def focal(gamma: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns -(1 - p_t)^gamma log p_t, for `of_true_class`."""
    return lambda log_true, log_rest: -(gamma * log_rest).exp() * log_true


def focal_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Returns the mean over pixels of -alpha (1 - p_t)^gamma log p_t (Jang and Ahn, JBE 30(2)).

    One channel: -alpha [(1-p)^gamma y log p + p^gamma (1-y) log(1-p)]; alpha multiplies both
    terms, unlike alpha and 1 - alpha in `focal_lin_loss`.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: Factor of the whole loss.
        gamma: Exponent; 0 gives alpha times the cross-entropy.
    """
    return alpha * of_true_class(logits_BCHW, truth_BCHW, focal(gamma)).mean()


def focal_lin_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, alpha: float, gamma: float
) -> Tensor:
    """Returns the mean over pixels of -alpha_t (1 - p_t)^gamma log p_t (Lin et al., 1708.02002).

    The paper divides by the number of positives, segmentation divides by that of all pixels.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: alpha_t of the foreground; that of the background is 1 - alpha.
        gamma: Exponent.
    """
    value_BHW = of_true_class(
        logits_BCHW, truth_BCHW, focal(gamma), foreground=alpha, background=1 - alpha
    )
    return value_BHW.mean()


def weighted_cross_entropy_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, foreground: float, background: float
) -> Tensor:
    """Returns the mean over pixels of -w log p_t, with a fixed weight w for each class.

    Ronneberger et al., arXiv:1505.04597, without the weight of borders between cells. The sum is
    divided by the number of pixels, not by that of the weights.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        foreground: Weight of foreground pixels.
        background: Weight of background pixels.
    """
    value_BHW = of_true_class(
        logits_BCHW, truth_BCHW, cross_entropy, foreground=foreground, background=background
    )
    return value_BHW.mean()


def balanced_cross_entropy_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, sums: Sums, least_weight: float
) -> Tensor:
    """Returns the mean over pixels of -(1 - f) log p_t, f the fraction of the pixel's class.

    Xie and Tu, arXiv:1504.06375: foreground pixels are weighted by the fraction of the background,
    and background pixels by that of the foreground.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        sums: Pixels that the fraction is taken of; `image` gives each image its own.
        least_weight: Least weight of a class; 0 gives the loss 0 on an empty or full mask.
    """
    weight_BK11 = 1 - truth_of_classes(truth_BCHW).mean(axes_of(sums), keepdim=True)
    weight_BK11 = weight_BK11.clamp(least_weight, 1 - least_weight)
    if logits_BCHW.shape[1] == 1:
        value_BHW = of_true_class(
            logits_BCHW,
            truth_BCHW,
            cross_entropy,
            foreground=weight_BK11[:, 1],
            background=weight_BK11[:, 0],
        )
        return value_BHW.mean()
    return cross_entropy_loss(logits_BCHW, weight_BK11 * truth_BCHW)


def top_k_cross_entropy_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, percent: float) -> Tensor:
    """Returns the mean of the greatest cross-entropies of a batch (Wu et al., arXiv:1605.06885).

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        percent: Per cent of the pixels, rounded up to at least one pixel.
    """
    entropy_N = of_true_class(logits_BCHW, truth_BCHW, cross_entropy).flatten()
    number = max(1, math.ceil(percent * len(entropy_N) / 100 - 1e-9))
    return (entropy_N * _greatest(entropy_N, number)).sum() / number


def _greatest(value_N: Tensor, number: int) -> Tensor:
    """Returns 1 for the greatest values and 0 for all others; has no gradient."""
    chosen_K = value_N.detach().topk(number, sorted=False).indices
    return torch.zeros_like(value_N).scatter_(0, chosen_K, 1.0)


def hard_example_cross_entropy_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, threshold: float, least_fraction: float
) -> Tensor:
    """Returns the mean cross-entropy of the hard pixels of a batch: those with a small p_t.

    Online hard example mining (Shrivastava et al., arXiv:1604.03540), in its form for pixels.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        threshold: A pixel is hard if p_t is below it.
        least_fraction: Fraction of the pixels, rounded down to at least one pixel, that count as
            hard in any case: those with the least p_t.
    """
    entropy_N = of_true_class(logits_BCHW, truth_BCHW, cross_entropy).flatten()
    kept_N = _greatest(entropy_N, max(1, int(least_fraction * len(entropy_N))))
    kept_N = torch.where(entropy_N.detach() > -math.log(threshold), 1.0, kept_N)
    return (entropy_N * kept_N).sum() / kept_N.sum()


def smoothed_cross_entropy_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, smoothing: float
) -> Tensor:
    """Returns the cross-entropy with y' = (1 - e) y + e / K (Szegedy et al., arXiv:1512.00567).

    K is the number of classes; one channel has two.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        smoothing: e.
    """
    return cross_entropy_loss(logits_BCHW, smoothed(truth_BCHW, smoothing))


def poly_cross_entropy_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, epsilon: float) -> Tensor:
    """Returns the mean over pixels of -log p_t + epsilon (1 - p_t) (Leng et al., arXiv:2204.12511).

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        epsilon: Change of the first coefficient of the cross-entropy's series in 1 - p_t.
    """

    def poly(log_true: Tensor, log_rest: Tensor) -> Tensor:
        return epsilon * log_rest.exp() - log_true

    return of_true_class(logits_BCHW, truth_BCHW, poly).mean()


def poly_focal_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, alpha: float, gamma: float, epsilon: float
) -> Tensor:
    """Returns `focal_lin_loss` plus the mean of epsilon (1 - p_t)^(gamma + 1) (arXiv:2204.12511).

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: As in `focal_lin_loss`; the added term has no class weight.
        gamma: Exponent.
        epsilon: Weight of the added term.
    """
    added_BHW = of_true_class(
        logits_BCHW, truth_BCHW, lambda _, log_rest: ((gamma + 1) * log_rest).exp()
    )
    unchanged = focal_lin_loss(logits_BCHW, truth_BCHW, alpha=alpha, gamma=gamma)
    return unchanged + epsilon * added_BHW.mean()
