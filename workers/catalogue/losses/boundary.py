"""Entries of the boundary losses; the code is in workers/losses/boundary.py."""

from __future__ import annotations

from pydantic import Field

from workers.catalogue import Options
from workers.catalogue.losses.entry import LossEntry
from workers.catalogue.losses.region import RegionOptions
from workers.catalogue.spaces import Choices, Range


class HausdorffDistanceOptions(Options):
    """Exponent of the distances; `one_sided` leaves out those of the prediction."""

    alpha: float = Field(default=2.0, gt=0)
    one_sided: bool = False


class HausdorffErosionOptions(Options):
    """Exponent of the number of an erosion, and how many erosions there are."""

    alpha: float = Field(default=2.0, gt=0)
    num_erosions: int = Field(default=10, ge=1, le=100)


class CentrelineOptions(RegionOptions):
    """Erosions of the soft skeleton; the smoothing term of the authors' code."""

    smooth: float = Field(default=1.0, ge=0)
    iterations: int = Field(default=3, ge=1, le=100)


class ActiveContourOptions(Options):
    """Weight of the region against the length of the contour."""

    region_weight: float = Field(default=1.0, gt=0)


_FRAME = "its weights depend on the distance to the frame of the image"
_ALPHA = Range(low=0.5, high=3.0)

ENTRIES = (
    LossEntry(
        name="boundary",
        title="Boundary",
        compute="workers.losses.boundary:boundary_loss",
        options=Options,
        kind="boundary",
        citation="Kervadec et al., MedIA 67, 2021, arXiv:1812.07032",
        needs=("signed_distance",),
        formula="mean of p phi, phi the signed distance to the boundary, negative inside",
        edges="Empty and full: 0, without gradient: the other loss must act.",
        use="Very small foregrounds, with a region loss. Published schedule of `weights`: the "
        "region loss from 1 to 0.01 and boundary from 0 to 0.99 in 100 epochs.",
        fails="It does not learn alone. Its size grows with that of the image; negative values are "
        "normal.",
        agrees="Kervadec's code, except for a full mask, where its distances refer to a point "
        "outside the image.",
        partner="dice",
        values=(0.079092, 0.0, 0.0, -0.425772, 0.594501),
    ),
    LossEntry(
        name="hausdorff-dt",
        title="Hausdorff (distance)",
        compute="workers.losses.boundary:hausdorff_distance_loss",
        options=HausdorffDistanceOptions,
        kind="boundary",
        citation="Karimi and Salcudean, TMI 39(2), 2020, arXiv:1904.10030",
        space={"alpha": _ALPHA},
        needs=("boundary_distance",),
        formula="mean of (p - y)^2 (d_p^alpha + d_y^alpha), d the distance to the boundary of "
        "p > 0.5, and of y",
        edges="Empty or full: the truth has distance 0; if no p is above 0.5 either, the loss and "
        "its gradient are 0.",
        use="Errors far from the boundary, with a region loss.",
        fails="Squared distances reach 10,000 at 256 px, so the weight in a sum matters. The "
        "distances of the prediction cost two transforms per step; `one_sided` leaves them out.",
        agrees="MONAI (excludes the background of several classes).",
        partner="dice",
        values=(0.115662, 0.309459, 0.399648, 0.256426, 1.103977),
    ),
    LossEntry(
        name="hausdorff-erosion",
        title="Hausdorff (erosion)",
        compute="workers.losses.boundary:hausdorff_erosion_loss",
        options=HausdorffErosionOptions,
        kind="boundary",
        citation="Karimi and Salcudean, TMI 39(2), 2020, arXiv:1904.10030",
        space={"alpha": _ALPHA},
        formula="mean of sum_k k^alpha E_k, E_k = max(0, mean of E_{k-1} over a cross - 0.5), "
        "E_0 = (p - y)^2",
        edges="Empty and full: as any other mask; 0 while no error is thick and certain.",
        use="As Hausdorff (distance), without a distance transform.",
        fails="It does not learn alone: 0, without gradient, while errors are thin or uncertain.",
        agrees="No public code: PatRyg99 and kornia divide each E_k by its range, and PatRyg99's "
        "code has no gradient.",
        partner="dice",
        values=(0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    LossEntry(
        name="distance-ce",
        title="Distance-weighted CE",
        compute="workers.losses.boundary:distance_cross_entropy_loss",
        options=Options,
        kind="boundary",
        citation="Caliva et al., MIDL 2019, arXiv:1908.03679",
        needs=("boundary_distance",),
        formula="-(1 + w) log p_t, w from 1 at the boundary to 0 at the pixels farthest from it",
        edges="Empty and full: w = 0, as BCE.",
        use="Boundaries matter more than the inside.",
        fails="The paper does not state how distances become weights.",
        agrees="No public code: SegLossOdyssey computes the same map, but returns BCE without it.",
        values=(0.240714, 0.865714, 1.240714, 0.444017, 0.968637),
        exempt={"translation": _FRAME},
    ),
    LossEntry(
        name="cldice",
        title="clDice",
        compute="workers.losses.boundary:centreline_dice_loss",
        options=CentrelineOptions,
        kind="boundary",
        citation="Shit et al., CVPR 2021, arXiv:2003.07311",
        space={"iterations": Choices(values=(3, 5, 10))},
        formula="1 - 2 P S / (P + S), P = (sum skel(p) y + s) / (sum skel(p) + s), "
        "S = (sum skel(y) p + s) / (sum skel(y) + s)",
        edges="Empty: S is 1, and P gives a gradient. Full: no skeleton; 0, without gradient.",
        use="Vessels and other thin structures that must stay connected: `dice+cldice`, published "
        "with `weights: [0.5, 0.5]` and `dice: {smooth: 1}`.",
        fails="`iterations` must cover half of the thickest vessel. A prediction without structure "
        "has no skeleton. Slow: 12 passes over the image per erosion.",
        agrees="The authors' code (always 10 iterations); MONAI (sums by image, 1e-4 in the "
        "harmonic mean).",
        one_channel="the skeleton of a background has no meaning",
        partner="dice",
        values=(0.090264, 0.344553, 0.0, 0.030716, 0.030716),
    ),
    LossEntry(
        name="active-contour",
        title="Active contour",
        compute="workers.losses.boundary:active_contour_loss",
        options=ActiveContourOptions,
        kind="boundary",
        citation="Chen et al., CVPR 2019, doi 10.1109/CVPR.2019.01190",
        space={"region_weight": Range(low=0.1, high=10.0, log=True)},
        formula="mean of sqrt(dx^2 + dy^2) of p + `region_weight` x mean of |p - y|",
        edges="Empty and full: finite, with the gradient of the mean error.",
        use="Smooth outlines of compact lesions.",
        fails="Thin structures shrink. Confident errors get little gradient. The authors advise a "
        "start from trained weights.",
        agrees="No public code: the authors' code has a fixed size of 256 px, and its differences "
        "dx and dy do not belong to one pixel.",
        one_channel="its two regions are one foreground and its background",
        values=(0.568479, 0.820108, 0.910296, 0.383105, 0.524512),
    ),
)
