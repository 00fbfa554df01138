"""Maps of a mask that some losses need beside it; they depend on the mask alone.

A trial computes a map once per image and keeps it in the node's cache
(`workers.datasets.cache.load_arrays`). Augmentation changes the masks of every step; their maps are
then computed on the device of the batch. Distances are exact and Euclidean, in pixels, from pixel
centre to pixel centre. In an empty or a full mask there is no boundary, and every distance is 0. (A
distance transform alone returns distances to a point outside the image for a full mask.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from workers.catalogue.losses.entry import MapName

Distances = TypeVar("Distances", NDArray[np.float32], Tensor)


def signed_distance(to_lesion: Distances, to_rest: Distances) -> Distances:
    """Returns the signed distance of Kervadec's boundary loss (MIDL 2019, arXiv:1812.07032).

    Outside the lesion: the distance to the nearest lesion pixel. Inside: 1 minus the distance to
    the nearest pixel outside, so that lesion pixels at the boundary have 0.

    Args:
        to_lesion: Distance to the nearest lesion pixel, 0 inside the lesion.
        to_rest: Distance to the nearest pixel outside, 0 outside the lesion.
    """
    found: Distances = to_lesion - (to_rest - 1).clip(min=0)
    return found


def boundary_distance(to_lesion: Distances, to_rest: Distances) -> Distances:
    """Returns the distance to the nearest pixel on the other side of the boundary, at least 1.

    Hausdorff loss by distance transform (Karimi and Salcudean, TMI 2020, arXiv:1904.10030), and
    cross-entropy weighted by distance (Caliva et al., MIDL 2019, arXiv:1908.03679). Arguments as
    for `signed_distance`.
    """
    return to_lesion + to_rest


MAPS: Mapping[MapName, Callable[[Any, Any], Any]] = {
    "signed_distance": signed_distance,
    "boundary_distance": boundary_distance,
}


def map_of_mask(name: MapName, mask_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns a map of the mask of one image, 0 or 1."""
    lesion_HW = mask_HW > 0
    if lesion_HW.all() or not lesion_HW.any():
        return np.zeros(mask_HW.shape, dtype=np.float32)
    to_lesion, to_rest = (
        ndimage.distance_transform_edt(side_HW).astype(np.float32)
        for side_HW in (~lesion_HW, lesion_HW)
    )
    found: NDArray[np.float32] = MAPS[name](to_lesion, to_rest)
    return found


def map_of_batch(name: MapName, p_BCHW: Tensor) -> Tensor:
    """Returns a map of each channel of a batch, (B, C, H, W), without gradient.

    On a device the host does not wait; the values are those of `map_of_mask`.

    Args:
        name: Name of the map.
        p_BCHW: Membership or probability; a value above 0.5 counts as lesion.
    """
    lesion_BCHW = p_BCHW.detach() > 0.5
    if p_BCHW.device.type != "cpu":
        return MAPS[name](*distances(lesion_BCHW)).to(p_BCHW.dtype)  # type: ignore[no-any-return]
    masks = lesion_BCHW.flatten(0, 1).numpy().astype(np.uint8)
    found = torch.from_numpy(np.stack([map_of_mask(name, mask_HW) for mask_HW in masks]))
    return found.view(p_BCHW.shape).to(p_BCHW.dtype)


def distances(lesion_BCHW: Tensor) -> Tensor:
    """Returns the distances to the lesion and to the rest, (2, B, C, H, W) float32.

    First along each row, then over the rows of each column; exact, because squares of whole numbers
    are.

    Args:
        lesion_BCHW: bool, on any device.
    """
    height, width = lesion_BCHW.shape[-2:]
    targets = torch.stack((lesion_BCHW, ~lesion_BCHW))
    columns_W = torch.arange(width, dtype=torch.float32, device=lesion_BCHW.device)
    rows_H1 = torch.arange(height, dtype=torch.float32, device=lesion_BCHW.device)[:, None]
    before = torch.where(targets, columns_W, -torch.inf).cummax(-1).values
    after = -torch.where(targets, -columns_W, -torch.inf).flip(-1).cummax(-1).values.flip(-1)
    in_row = torch.minimum(columns_W - before, after - columns_W).square()
    nearest = torch.full_like(in_row, torch.inf)
    for row in range(height):
        nearest = torch.minimum(nearest, in_row[..., row, None, :] + (rows_H1 - row).square())
    return nearest.sqrt().nan_to_num(posinf=0.0)
