"""Entries of the region losses; the code is in workers/losses/region.py."""

from __future__ import annotations

from pydantic import Field

from workers.catalogue import Options
from workers.catalogue.losses.entry import LossEntry, Sums
from workers.catalogue.spaces import Range


class SumsOptions(Options):
    """Pixels that the sums of a loss run over: the whole batch, or each image by itself."""

    sums: Sums = "batch"


class RegionOptions(SumsOptions):
    """Pixels that the sums of a region loss run over, and its smoothing term.

    The study's text states neither. Defaults: one sum over the whole batch, and 1e-6 added to
    numerator and denominator. With `image` the loss is the mean over the images' own losses.
    """

    smooth: float = Field(default=1e-6, ge=0)


class ImageOptions(Options):
    """Pixels that the sums of a loss run over; each image by itself, as in its publication."""

    sums: Sums = "image"


class TverskyOptions(RegionOptions):
    """Weights of false positives and of false negatives; these defaults favour recall."""

    alpha: float = Field(default=0.3, ge=0)
    beta: float = Field(default=0.7, ge=0)


class FocalTverskyOptions(TverskyOptions):
    """Tversky loss to the power 1 / gamma."""

    gamma: float = Field(default=4 / 3, gt=0)


class JaccardMetricOptions(RegionOptions):
    """The smoothing term has the default of the authors' code; no label is smoothed."""

    smooth: float = Field(default=1e-3, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class SensitivityOptions(SumsOptions):
    """Weight of the error inside the lesion; the rest is the weight of the error outside."""

    ratio: float = Field(default=0.05, ge=0, le=1)


SMOOTH = Range(low=1e-6, high=10.0, log=True)
FRACTION = Range(low=0.05, high=0.95)
NO_GRADIENT = "Empty: near 1, almost without gradient (about `smooth` / |A|^2)."

ENTRIES = (
    LossEntry(
        name="iou",
        title="IoU",
        compute="workers.losses.region:iou_loss",
        options=RegionOptions,
        kind="region",
        citation="Rahman and Wang, ISVC 2016, doi 10.1007/978-3-319-50835-1_22",
        space={"smooth": SMOOTH},
        formula="1 - TP / (TP + FP + FN)",
        edges=f"{NO_GRADIENT} Full: as any other mask.",
        use="IoU or Dice is the measure, and lesions cover a small part of the image.",
        fails="Confident errors get little gradient. Sums over a batch hide empty images.",
        agrees="smp (`smooth`; smp gives a class absent from the truth the loss 0), MONAI (its "
        "`smooth_nr` is twice ours, sums by image).",
        values=(0.351028, 0.999999, 0.545094, 0.326276, 0.670099),
    ),
    LossEntry(
        name="dice",
        title="Dice",
        compute="workers.losses.region:dice_loss",
        options=RegionOptions,
        kind="region",
        citation="Milletari et al., 3DV 2016, arXiv:1606.04797",
        space={"smooth": SMOOTH},
        formula="1 - 2 TP / (2 TP + FP + FN)",
        edges=f"{NO_GRADIENT} Full: as any other mask.",
        use="The default for a small foreground.",
        fails="Confident errors get little gradient; the networks' probabilities are extreme.",
        agrees="smp (its `smooth` is half of ours; absent classes as for `iou`), MONAI (sums by "
        "image). Milletari's own formula is `squared-dice`.",
        values=(0.212877, 0.999999, 0.374659, 0.194940, 0.503872),
    ),
    LossEntry(
        name="squared-dice",
        title="Squared Dice",
        compute="workers.losses.region:squared_dice_loss",
        options=RegionOptions,
        kind="region",
        citation="Milletari et al., 3DV 2016, arXiv:1606.04797",
        space={"smooth": SMOOTH},
        formula="1 - 2 TP / (sum p^2 + sum y^2)",
        edges="Empty: near 1; the gradient vanishes where p is near 0. Full: as any other mask.",
        use="As Dice; squares give uncertain pixels less weight in the denominator.",
        fails="Two formulas have this name: nnU-Net squares TP, FP and FN of each pixel.",
        agrees="MONAI (`squared_pred`, sums by image). Dice++ with gamma 2 is the same function.",
        values=(0.071444, 0.999999, 0.305200, 0.063629, 0.364569),
    ),
    LossEntry(
        name="tversky",
        title="Tversky",
        compute="workers.losses.region:tversky_loss",
        options=TverskyOptions,
        kind="region",
        citation="Salehi et al., MLMI 2017, arXiv:1706.05721",
        space={"alpha": FRACTION, "beta": FRACTION},
        formula="1 - TP / (TP + alpha FP + beta FN)",
        edges=f"{NO_GRADIENT} Full: as any other mask.",
        use="Missed lesions cost more than false alarms (beta above alpha), or the reverse.",
        fails="Some code gives the letter alpha to false negatives; compare values, not letters.",
        agrees="smp and MONAI (both have the defaults 0.5 and 0.5; MONAI sums by image).",
        values=(0.227470, 0.999998, 0.456161, 0.220190, 0.398857),
    ),
    LossEntry(
        name="focal-tversky",
        title="Focal Tversky",
        compute="workers.losses.region:focal_tversky_loss",
        options=FocalTverskyOptions,
        kind="region",
        citation="Abraham and Khan, ISBI 2019, arXiv:1810.07842",
        space={"alpha": FRACTION, "beta": FRACTION, "gamma": Range(low=0.5, high=3.0)},
        formula="(1 - TP / (TP + alpha FP + beta FN))^(1 / gamma)",
        edges=f"{NO_GRADIENT} Full: as any other mask.",
        use="Small lesions of which Tversky misses parts.",
        fails="The slope of a power below 1 is infinite at 0: without a bound (here 1e-7) a "
        "perfect prediction gives NaN. Much code gives the name gamma to the exponent 0.75.",
        agrees="smp (`gamma` = 0.75). The authors' code has `smooth` 1.",
        values=(0.329377, 0.999999, 0.555058, 0.321439, 0.501895),
    ),
    LossEntry(
        name="log-cosh-dice",
        title="Log-cosh Dice",
        compute="workers.losses.region:log_cosh_dice_loss",
        options=RegionOptions,
        kind="region",
        citation="Jadon, CIBCB 2020, arXiv:2006.14822",
        space={"smooth": SMOOTH},
        formula="log(cosh(D)), D the Dice loss",
        edges="Empty: near 0.434, almost without gradient. Full: as any other mask.",
        use="Dice with a smaller gradient near the end of the training.",
        fails="About D^2 / 2 for small D: in a sum, its weight falls as it improves.",
        agrees="smp's Dice in the formula.",
        values=(0.022489, 0.433780, 0.068602, 0.018882, 0.121909),
    ),
    LossEntry(
        name="generalised-dice",
        title="Generalised Dice",
        compute="workers.losses.region:generalised_dice_loss",
        options=ImageOptions,
        kind="region",
        citation="Sudre et al., DLMIA 2017, arXiv:1707.03237",
        formula="1 - 2 sum_c w_c TP_c / sum_c w_c (|A_c| + |B_c|), w_c = 1 / |B_c|^2",
        edges="The absent class gets the weight of the present class, so that an empty and a full "
        "mask have a gradient.",
        use="Foreground and background of very different size.",
        fails="Weights of 1 / |B|^2 differ by orders of magnitude between images of small lesions. "
        "Code that divides by |B|^2 + 1e-10 has no gradient on an empty mask.",
        agrees="MONAI with two channels.",
        values=(0.203278, 0.454906, 0.545094, 0.225983, 0.480784),
    ),
    LossEntry(
        name="jaccard-metric",
        title="Jaccard metric",
        compute="workers.losses.region:jaccard_metric_loss",
        options=JaccardMetricOptions,
        kind="region",
        citation="Wang et al., NeurIPS 2023, arXiv:2302.05666",
        space={"smooth": SMOOTH, "label_smoothing": Range(low=0.0, high=0.3)},
        formula="1 - (|p| + |y| - |p-y| + 2s) / (|p| + |y| + |p-y| + 2s)",
        edges="As `iou`, with `smooth` 1e-3.",
        use="Soft targets: label smoothing, several annotators, distillation.",
        fails="On hard masks it is IoU. `iou` on soft targets has its minimum at a wrong p.",
        agrees="The authors' code (JDTLosses), smp's Jaccard loss (half of its `smooth`).",
        values=(0.350877, 0.999451, 0.544958, 0.326178, 0.669848),
    ),
    LossEntry(
        name="sensitivity-specificity",
        title="Sensitivity-specificity",
        compute="workers.losses.region:sensitivity_specificity_loss",
        options=SensitivityOptions,
        kind="region",
        citation="Brosch et al., MICCAI 2015, doi 10.1007/978-3-319-24574-4_1",
        space={"ratio": Range(low=0.01, high=0.5, log=True)},
        formula="r sum (y-p)^2 y / sum y + (1-r) sum (y-p)^2 (1-y) / sum (1-y)",
        edges="Empty or full: the term without pixels counts 0.",
        use="A fixed balance between errors inside and outside, for lesions of any size.",
        fails="The smallest gradients of the region losses at confident errors.",
        agrees="No public code: SegLossOdyssey adds 1 to the denominators, NiftyNet 1e-5; both "
        "exchange the two names.",
        one_channel="with a softmax over two classes its option `ratio` has no effect",
        values=(0.039344, 0.293986, 0.019982, 0.039243, 0.237375),
    ),
    LossEntry(
        name="mcc",
        title="MCC",
        compute="workers.losses.region:mcc_loss",
        options=SumsOptions,
        kind="region",
        citation="Abhishek and Hamarneh, ISBI 2021, arXiv:2010.13454",
        formula="1 - (TP TN - FP FN) / sqrt((TP+FP) (TP+FN) (TN+FP) (TN+FN))",
        edges="Empty or full: 1, without gradient, so that such a batch teaches nothing.",
        use="Background errors should count too; the value is in [0, 2].",
        fails="Products of four pixel counts lose all digits in float32 (here: fractions).",
        agrees="smp (probabilities, 1e-5 added to each count), MONAI (sums by image).",
        one_channel="it is published for one foreground class",
        values=(0.404127, 1.0, 1.0, 0.425145, 0.629263),
    ),
    LossEntry(
        name="lovasz-hinge",
        title="Lovász hinge",
        compute="workers.losses.region:lovasz_hinge_loss",
        options=ImageOptions,
        kind="region",
        citation="Yu and Blaschko, 2015, arXiv:1512.07797",
        formula="sum_i e_i (J_i - J_{i-1}), e = max(0, 1 - z (2y-1)) sorted decreasing",
        edges="Empty: only the worst pixel has a gradient. Full: as any other mask.",
        use="A convex surrogate of IoU, often after a start with BCE.",
        fails="Unbounded in the logits; no gradient beyond the margin; slow, as it sorts pixels.",
        agrees="Berman's code and smp (sums by image and by batch).",
        one_channel="a hinge needs one logit per pixel; use lovasz-softmax",
        values=(0.25, 3.0, 1.625, 0.166667, 1.25),
    ),
    LossEntry(
        name="lovasz-softmax",
        title="Lovász softmax",
        compute="workers.losses.region:lovasz_softmax_loss",
        options=SumsOptions,
        kind="region",
        citation="Berman et al., CVPR 2018, arXiv:1705.08790",
        formula="sum_i e_i (J_i - J_{i-1}), e = |y - p| sorted decreasing",
        edges="Empty: only the worst pixel has a gradient. Full: as any other mask.",
        use="IoU is the measure; it equals 1 - IoU for certain predictions.",
        fails="Slow, as it sorts pixels. One channel: Berman's default `present` looks at the "
        "background too; here one channel means the foreground.",
        agrees="Berman's code (`classes=[1]` for one channel), smp for several classes.",
        values=(0.273328, 0.880797, 0.545094, 0.267707, 0.521485),
    ),
)
