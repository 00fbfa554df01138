"""Entries of the distribution losses; the code is in workers/losses/pixel.py."""

from __future__ import annotations

from pydantic import Field

from workers.catalogue import Options
from workers.catalogue.losses.entry import LossEntry
from workers.catalogue.losses.region import FRACTION, ImageOptions
from workers.catalogue.spaces import Range


class FocalOptions(Options):
    """Focal loss of the study: alpha multiplies both terms."""

    alpha: float = Field(default=0.8, gt=0)
    gamma: float = Field(default=0.2, ge=0)


class FocalLinOptions(Options):
    """Focal loss of Lin et al.: alpha for the foreground, 1 - alpha for the background."""

    alpha: float = Field(default=0.25, ge=0, le=1)
    gamma: float = Field(default=2.0, ge=0)


class WeightedOptions(Options):
    """Weights of foreground and background pixels; no default is published."""

    foreground: float = Field(default=2.0, gt=0)
    background: float = Field(default=1.0, gt=0)


class BalancedOptions(ImageOptions):
    """Least weight of a class; the published 0 gives no gradient on an empty mask."""

    least_weight: float = Field(default=0.0, ge=0, le=0.5)


class TopKOptions(Options):
    """Per cent of the pixels of a batch that count."""

    percent: float = Field(default=10.0, gt=0, le=100)


class HardExampleOptions(Options):
    """p of the truth below which a pixel counts, and the least fraction of pixels that do."""

    threshold: float = Field(default=0.7, gt=0, le=1)
    least_fraction: float = Field(default=0.0625, gt=0, le=1)


class SmoothedOptions(Options):
    """Fraction of each label that is spread over all classes."""

    smoothing: float = Field(default=0.1, ge=0, lt=1)


class PolyOptions(Options):
    """Change of the first coefficient; -1 would remove it."""

    epsilon: float = Field(default=1.0, gt=-1)


class PolyFocalOptions(FocalLinOptions):
    """Focal loss of Lin et al. and the weight of the added term."""

    epsilon: float = Field(default=1.0, gt=-1)


_LINEAR = "Empty and full: finite; wrong logits cost in proportion to their size."
_GAMMA = Range(low=0.0, high=5.0)
_EPSILON = Range(low=-0.9, high=5.0)

ENTRIES = (
    LossEntry(
        name="bce",
        title="BCE",
        compute="workers.losses.pixel:cross_entropy_loss",
        options=Options,
        kind="distribution",
        citation="Jang and Ahn, JBE 30(2) 2025, doi 10.5909/JBE.2025.30.2.104",
        formula="-log p_t",
        edges=_LINEAR,
        use="The reference: every pixel counts the same.",
        fails="A small foreground is outvoted by the background.",
        agrees="torch, smp.",
        values=(0.240714, 0.865714, 1.240714, 0.255223, 0.555223),
    ),
    LossEntry(
        name="focal",
        title="Focal",
        compute="workers.losses.pixel:focal_loss",
        options=FocalOptions,
        kind="distribution",
        citation="Lin et al., ICCV 2017, arXiv:1708.02002; alpha as in Jang and Ahn 2025",
        space={
            "alpha": Range(low=0.1, high=1.0, in_sums=False),
            "gamma": _GAMMA,
        },
        formula="-alpha (1 - p_t)^gamma log p_t",
        edges=_LINEAR,
        use="Many easy pixels. This is the form of the study.",
        fails="alpha is only a scale. The mean over pixels is small: search the learning rate.",
        agrees="smp and MONAI without their `alpha`, times ours. For several classes MONAI divides "
        "by their number too.",
        values=(0.148083, 0.645377, 0.945144, 0.157011, 0.395157),
    ),
    LossEntry(
        name="focal-lin",
        title="Focal (Lin)",
        compute="workers.losses.pixel:focal_lin_loss",
        options=FocalLinOptions,
        kind="distribution",
        citation="Lin et al., ICCV 2017, arXiv:1708.02002",
        space={"alpha": FRACTION, "gamma": _GAMMA},
        formula="-alpha_t (1 - p_t)^gamma log p_t, alpha_t = alpha for y = 1, 1 - alpha for y = 0",
        edges=_LINEAR,
        use="The focal loss of detection, with a weight for each class.",
        fails="The published alpha 0.25 favours the background. The paper divides by the number of "
        "positive examples, segmentation by that of pixels.",
        agrees="smp and MONAI with `alpha`.",
        values=(0.008605, 0.384423, 0.221095, 0.008017, 0.165397),
    ),
    LossEntry(
        name="weighted-ce",
        title="Weighted CE",
        compute="workers.losses.pixel:weighted_cross_entropy_loss",
        options=WeightedOptions,
        kind="distribution",
        citation="Ronneberger et al., MICCAI 2015, arXiv:1505.04597",
        space={"foreground": Range(low=0.5, high=50.0, log=True)},
        formula="-w_t log p_t, w_t = `foreground` for y = 1 and `background` for y = 0",
        edges=_LINEAR,
        use="A known cost of each kind of error; weights from the frequencies in the data set.",
        fails="U-Net's weight of borders between cells needs instances and is not part of it. "
        "torch's class weights divide by their sum, here the sum is divided by the pixels.",
        agrees="torch (`pos_weight`).",
        values=(0.390965, 0.865714, 2.481427, 0.438076, 0.580609),
    ),
    LossEntry(
        name="balanced-ce",
        title="Balanced CE",
        compute="workers.losses.pixel:balanced_cross_entropy_loss",
        options=BalancedOptions,
        kind="distribution",
        citation="Xie and Tu, ICCV 2015, arXiv:1504.06375",
        formula="-(1 - f_t) log p_t, f_t the fraction of the image that belongs to the class",
        edges="Empty and full: 0, without gradient, so that false positives cost nothing; "
        "`least_weight` prevents this.",
        use="Images with lesions of any size, each with a lesion.",
        fails="Empty images teach nothing. A lesion of one pixel weighs as much as all others.",
        agrees="pytorch-toolbelt's balanced BCE with the fraction of a batch.",
        values=(0.120357, 0.0, 0.0, 0.116563, 0.126276),
    ),
    LossEntry(
        name="top-k-ce",
        title="TopK CE",
        compute="workers.losses.pixel:top_k_cross_entropy_loss",
        options=TopKOptions,
        kind="distribution",
        citation="Wu et al., 2016, arXiv:1605.06885",
        space={"percent": Range(low=1.0, high=100.0, log=True)},
        formula="mean of the greatest k % of -log p_t",
        edges="Empty: the worst false positives count. Full: the worst misses.",
        use="Most pixels are easy.",
        fails="Wrong labels are among the worst pixels. Other pixels get no gradient.",
        agrees="nnU-Net's rule (k % of all pixels of a batch), which gives NaN below 10 pixels; "
        "here the number of pixels is rounded up.",
        values=(0.474077, 2.126928, 3.048587, 0.474077, 1.313262),
    ),
    LossEntry(
        name="ohem-ce",
        title="OHEM CE",
        compute="workers.losses.pixel:hard_example_cross_entropy_loss",
        options=HardExampleOptions,
        kind="distribution",
        citation="Shrivastava et al., CVPR 2016, arXiv:1604.03540",
        space={"threshold": Range(low=0.5, high=0.95)},
        formula="mean of -log p_t over pixels with p_t < threshold, at least `least_fraction`",
        edges="Empty and full: finite; at least one pixel counts.",
        use="As TopK, with a number of pixels that falls while the network learns.",
        fails="Wrong labels count to the end. A fixed least number of pixels (100,000 in "
        "mmsegmentation) switches the mining off for small images; here it is a fraction.",
        agrees="No code that was run: CoinCheung's pytorch-loss has the same rule; mmsegmentation "
        "divides by all pixels.",
        values=(0.474077, 1.550502, 1.611975, 0.474077, 1.143669),
    ),
    LossEntry(
        name="smoothed-ce",
        title="Label-smoothed CE",
        compute="workers.losses.pixel:smoothed_cross_entropy_loss",
        options=SmoothedOptions,
        kind="distribution",
        citation="Szegedy et al., CVPR 2016, arXiv:1512.00567",
        space={"smoothing": Range(low=0.0, high=0.3)},
        formula="-sum_c y'_c log p_c, y' = (1 - e) y + e / K",
        edges="Empty and full: finite; the least value is not 0.",
        use="Uncertain boundaries; probabilities that should not be extreme.",
        fails="The value of a perfect network is above 0.",
        agrees="torch (`label_smoothing`), smp (its `smooth_factor` is half of e for one channel).",
        values=(0.321964, 0.884464, 1.221964, 0.330223, 0.600223),
    ),
    LossEntry(
        name="poly-ce",
        title="PolyLoss CE",
        compute="workers.losses.pixel:poly_cross_entropy_loss",
        options=PolyOptions,
        kind="distribution",
        citation="Leng et al., ICLR 2022, arXiv:2204.12511",
        space={"epsilon": _EPSILON},
        formula="-log p_t + epsilon (1 - p_t)",
        edges=_LINEAR,
        use="Cross-entropy with one parameter to search.",
        fails="epsilon has no good default for every task.",
        agrees="abhuse's polyloss-pytorch.",
        values=(0.443991, 1.320619, 1.785808, 0.471634, 0.913041),
    ),
    LossEntry(
        name="poly-focal",
        title="PolyLoss focal",
        compute="workers.losses.pixel:poly_focal_loss",
        options=PolyFocalOptions,
        kind="distribution",
        citation="Leng et al., ICLR 2022, arXiv:2204.12511",
        space={"alpha": FRACTION, "gamma": _GAMMA, "epsilon": _EPSILON},
        formula="-alpha_t (1 - p_t)^gamma log p_t + epsilon (1 - p_t)^(gamma + 1)",
        edges=_LINEAR,
        use="Focal loss with one more parameter to search.",
        fails="The paper's detection setting has a negative epsilon.",
        agrees="abhuse's polyloss-pytorch (alpha multiplies the focal term only).",
        values=(0.027372, 0.620438, 0.548741, 0.026921, 0.296025),
    ),
)
