"""Maps of a mask that some losses need beside it; they depend on the mask alone.

A map takes the mask of one image, (H, W), 0 or 1, and returns float32 (H, W). A trial computes it
once per image and keeps it in the node's cache (`workers.datasets.cache.load_arrays`). Distances
are exact and Euclidean, in pixels, from pixel centre to pixel centre. In an empty or a full mask
there is no boundary, and every distance is 0. (A distance transform alone returns distances to a
point outside the image for a full mask.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from workers.catalogue.losses.entry import MapName


def signed_distance(mask_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the signed distance of Kervadec's boundary loss (MIDL 2019, arXiv:1812.07032).

    Outside the lesion: the distance to the nearest lesion pixel. Inside: 1 minus the distance to
    the nearest pixel outside, so that lesion pixels at the boundary have 0.
    """
    outside_HW, inside_HW = _distances(mask_HW)
    return np.where(mask_HW > 0, np.minimum(1 - inside_HW, 0), outside_HW).astype(np.float32)


def boundary_distance(mask_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns the distance to the nearest pixel on the other side of the boundary, at least 1.

    Hausdorff loss by distance transform (Karimi and Salcudean, TMI 2020, arXiv:1904.10030), and
    cross-entropy weighted by distance (Caliva et al., MIDL 2019, arXiv:1908.03679).
    """
    outside_HW, inside_HW = _distances(mask_HW)
    return (outside_HW + inside_HW).astype(np.float32)


def _distances(mask_HW: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the distances to the lesion and to the outside; 0 for pixels that belong to them."""
    lesion_HW = mask_HW > 0
    if lesion_HW.all() or not lesion_HW.any():
        return np.zeros(mask_HW.shape), np.zeros(mask_HW.shape)
    return (
        ndimage.distance_transform_edt(~lesion_HW),
        ndimage.distance_transform_edt(lesion_HW),
    )


MAPS: Mapping[MapName, Callable[[NDArray[np.uint8]], NDArray[np.float32]]] = {
    "signed_distance": signed_distance,
    "boundary_distance": boundary_distance,
}


def maps_of_truth(name: MapName, truth_BCHW: Tensor) -> Tensor:
    """Returns a map of each channel of the truth, (B, C, H, W), without gradient.

    The host waits for the truth. Trials do not call this function: their maps come from the cache.

    Args:
        name: Name of the map.
        truth_BCHW: Membership; a soft value above 0.5 counts as lesion.
    """
    masks = (truth_BCHW.detach() > 0.5).flatten(0, 1).cpu().numpy().astype(np.uint8)
    found = torch.from_numpy(np.stack([MAPS[name](mask_HW) for mask_HW in masks]))
    return found.view(truth_BCHW.shape).to(truth_BCHW)
