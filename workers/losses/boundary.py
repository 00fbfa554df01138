"""Boundary losses: they use the distance of each pixel to the boundary, or the shape of a region.

Arguments and letters are those of `workers.losses.region`. A keyword that ends in `distance_BCHW`
is a map of the truth (`workers.losses.maps`), in pixels and without gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor

from workers.catalogue.losses.entry import Sums
from workers.losses.maps import map_of_batch
from workers.losses.pixel import cross_entropy, of_true_class
from workers.losses.region import axes_of, probabilities, ratio, truth_of_classes

_FLAT = 1e-8
"""Added to the squared slope, whose square root has an infinite slope at 0."""


def boundary_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,  # noqa: ARG001 - every loss takes it; here its map is enough
    *,
    signed_distance_BCHW: Tensor,
) -> Tensor:
    """Returns the mean of p times the signed distance (Kervadec et al., arXiv:1812.07032).

    The distance is negative inside the truth, so that negative values are normal. Several channels:
    the mean over all classes, the background included.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        signed_distance_BCHW: Distance of the truth, 0 everywhere if a class has no boundary.
    """
    return (probabilities(logits_BCHW) * signed_distance_BCHW).mean()


def hausdorff_distance_loss(
    logits_BCHW: Tensor,
    truth_BCHW: Tensor,
    *,
    alpha: float,
    one_sided: bool,
    boundary_distance_BCHW: Tensor,
) -> Tensor:
    """Returns the mean of (p - y)^2 (d_p^alpha + d_y^alpha) (Karimi and Salcudean, 1904.10030).

    d_p and d_y are the distances to the boundaries of p > 0.5 and of the truth; 0 without one.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: Exponent of the distances.
        one_sided: Leaves out d_p, which takes the distances of every prediction.
        boundary_distance_BCHW: d_y.
    """
    p_BCHW = probabilities(logits_BCHW)
    distance_BCHW = boundary_distance_BCHW**alpha
    if not one_sided:
        distance_BCHW = distance_BCHW + map_of_batch("boundary_distance", p_BCHW) ** alpha
    return ((p_BCHW - truth_BCHW).square() * distance_BCHW).mean()


def hausdorff_erosion_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, alpha: float, num_erosions: int
) -> Tensor:
    """Returns the mean of sum_k k^alpha E_k, k from 1 to K (Karimi and Salcudean, 1904.10030).

    E_0 = (p - y)^2, and E_k = max(0, mean of E_{k-1} over a cross of 5 pixels - 0.5), with 0
    outside the image. Only errors that are thick and certain count.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership.
        alpha: Exponent of k.
        num_erosions: K.
    """
    error_BCHW = (probabilities(logits_BCHW) - truth_BCHW).square()
    total_BCHW = torch.zeros_like(error_BCHW)
    for k in range(1, num_erosions + 1):
        padded = F.pad(error_BCHW, (1, 1, 1, 1))
        rows, columns = padded[..., 1:-1], padded[..., 1:-1, :]
        cross = rows[..., :-2, :] + rows[..., 2:, :] + columns[..., :-2] + columns[..., 2:]
        error_BCHW = ((cross + error_BCHW) / 5 - 0.5).relu()
        total_BCHW = total_BCHW + k**alpha * error_BCHW
    return total_BCHW.mean()


def distance_cross_entropy_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, boundary_distance_BCHW: Tensor
) -> Tensor:
    """Returns the mean over pixels of -(1 + w) log p_t, with w in [0, 1] great at boundaries.

    Caliva et al., arXiv:1908.03679. In the region of each class and image, w falls from 1 at the
    least distance to the boundary to 0 at the greatest; a region of one distance has w = 0.

    Args:
        logits_BCHW: Raw outputs.
        truth_BCHW: Membership; a soft truth is rounded for w.
        boundary_distance_BCHW: Distance to the boundary of each class.
    """
    region = truth_of_classes(truth_BCHW) > 0.5
    least = boundary_distance_BCHW.masked_fill(~region, torch.inf).amin((2, 3), keepdim=True)
    greatest = boundary_distance_BCHW.masked_fill(~region, 0).amax((2, 3), keepdim=True)
    width = greatest - least
    inverted = (greatest - boundary_distance_BCHW) / torch.where(width > 0, width, torch.inf)
    weight_BHW = 1 + (inverted * region).sum(1)
    return (weight_BHW * of_true_class(logits_BCHW, truth_BCHW, cross_entropy)).mean()


def centreline_dice_loss(
    logits_BCHW: Tensor, truth_BCHW: Tensor, *, iterations: int, sums: Sums, smooth: float
) -> Tensor:
    """Returns 1 - the harmonic mean of topological precision and sensitivity, in [0, 1].

    Soft clDice (Shit et al., arXiv:2003.07311): precision is the fraction of the prediction's
    skeleton inside the truth, sensitivity that of the truth's skeleton inside the prediction.

    Args:
        logits_BCHW: Raw outputs of one channel.
        truth_BCHW: Membership.
        iterations: Erosions of the soft skeleton; half the thickness of the thickest vessel.
        sums: Pixels that each sum runs over; `image` gives the mean over images.
        smooth: Added to numerators and denominators.
    """
    p_BCHW, axes = probabilities(logits_BCHW), axes_of(sums)
    own_BCHW, true_BCHW = _skeleton(p_BCHW, iterations), _skeleton(truth_BCHW, iterations)
    precision = ratio((own_BCHW * truth_BCHW).sum(axes), own_BCHW.sum(axes), smooth)
    sensitivity = ratio((true_BCHW * p_BCHW).sum(axes), true_BCHW.sum(axes), smooth)
    return 1 - ratio(2 * precision * sensitivity, precision + sensitivity, 0).mean()


def _skeleton(map_BCHW: Tensor, iterations: int) -> Tensor:
    """Returns the soft skeleton: what openings of ever more eroded maps remove."""
    skeleton_BCHW = torch.zeros_like(map_BCHW)
    for number in range(iterations + 1):
        eroded_BCHW = _erode(map_BCHW)
        ridge_BCHW = (map_BCHW - _dilate(eroded_BCHW)).relu()
        added_BCHW = (ridge_BCHW - skeleton_BCHW * ridge_BCHW).relu()
        skeleton_BCHW = skeleton_BCHW + (added_BCHW if number else ridge_BCHW)
        map_BCHW = eroded_BCHW
    return skeleton_BCHW


def _erode(map_BCHW: Tensor) -> Tensor:
    """Returns the minimum over a cross of 5 pixels."""
    vertical, horizontal = (_of_three(map_BCHW, axis, torch.minimum) for axis in (-2, -1))
    return torch.minimum(vertical, horizontal)


def _dilate(map_BCHW: Tensor) -> Tensor:
    """Returns the maximum over 3 x 3 pixels."""
    return _of_three(_of_three(map_BCHW, -2, torch.maximum), -1, torch.maximum)


def _of_three(map_BCHW: Tensor, axis: int, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Returns the minimum or maximum of each pixel and its two neighbours along an axis.

    Written without a pool, whose gradient has no deterministic form on CUDA if windows overlap.
    """
    side = map_BCHW.shape[axis]
    if side == 1:
        return map_BCHW
    inner, outer = map_BCHW.narrow(axis, 0, side - 1), map_BCHW.narrow(axis, 1, side - 1)
    pairs = choose(inner, outer)
    first, last = pairs.narrow(axis, 0, 1), pairs.narrow(axis, side - 2, 1)
    middle = choose(pairs.narrow(axis, 0, side - 2), pairs.narrow(axis, 1, side - 2))
    return torch.cat((first, middle, last), dim=axis)


def active_contour_loss(logits_BCHW: Tensor, truth_BCHW: Tensor, *, region_weight: float) -> Tensor:
    """Returns the mean length of the contour of p plus a weight times the mean of |p - y|.

    Chen et al., CVPR 2019, with c1 = 1 and c2 = 0. Length: sqrt(dx^2 + dy^2 + 1e-8) of forward
    differences, which are 0 in the last row and column.

    Args:
        logits_BCHW: Raw outputs of one channel.
        truth_BCHW: Membership.
        region_weight: Weight of the region term.
    """
    p_BCHW, q_BCHW = logits_BCHW.sigmoid(), (-logits_BCHW).sigmoid()
    down_BCHW = F.pad(p_BCHW.diff(dim=-2), (0, 0, 0, 1))
    right_BCHW = F.pad(p_BCHW.diff(dim=-1), (0, 1))
    length = (down_BCHW.square() + right_BCHW.square() + _FLAT).sqrt().mean()
    region = (p_BCHW * (1 - truth_BCHW) + q_BCHW * truth_BCHW).mean()
    return length + region_weight * region
