"""Entries of the compound losses; the code is in workers/losses/compound.py."""

from __future__ import annotations

from pydantic import Field

from workers.catalogue import Options
from workers.catalogue.losses.entry import LossEntry
from workers.catalogue.losses.region import FRACTION, RegionOptions
from workers.catalogue.spaces import Choices, Range


class ComboOptions(RegionOptions):
    """Weight of the cross-entropy, of its foreground, and the smoothing term of Dice."""

    smooth: float = Field(default=1.0, ge=0)
    alpha: float = Field(default=0.5, ge=0, le=1)
    beta: float = Field(default=0.5, ge=0, le=1)


class UnifiedFocalOptions(RegionOptions):
    """Weight of the focal loss, weight of the foreground, and strength of both focal terms."""

    weight: float = Field(default=0.5, ge=0, le=1)
    delta: float = Field(default=0.6, gt=0, lt=1)
    gamma: float = Field(default=0.5, gt=0, lt=1)


class StructureOptions(Options):
    """Window of the local mean, as its radius in pixels, and weight of the boundary."""

    radius: int = Field(default=15, ge=1, le=255)
    weight: float = Field(default=5.0, ge=0)


_UNIFIED = {"weight": FRACTION, "delta": FRACTION, "gamma": Range(low=0.1, high=0.9)}

ENTRIES = (
    LossEntry(
        name="combo",
        title="Combo",
        compute="workers.losses.compound:combo_loss",
        options=ComboOptions,
        kind="compound",
        citation="Taghanaki et al., CMIG 75, 2019, arXiv:1805.02798",
        space={"alpha": FRACTION, "beta": FRACTION},
        formula="-alpha [beta y log p + (1-beta) (1-y) log q] "
        "- (1-alpha) (2 TP + s) / (|A| + |B| + s)",
        edges="Empty and full: finite, with the gradient of the cross-entropy.",
        use="Dice and cross-entropy with a cost for misses (beta above 0.5).",
        fails="Negative values; the least is -(1 - alpha).",
        agrees="No public code: in the authors' code a parenthesis gives false positives the wrong "
        "sign.",
        one_channel="its formula for several classes could not be confirmed",
        values=(-0.355467, 0.039100, -0.029961, -0.353603, -0.164621),
    ),
    LossEntry(
        name="unified-focal",
        title="Unified focal",
        compute="workers.losses.compound:unified_focal_loss",
        options=UnifiedFocalOptions,
        kind="compound",
        citation="Yeung et al., CMIG 95, 2022, arXiv:2102.04525",
        space=_UNIFIED,
        formula="w mean of -d_c (1-p_t)^(1-g) log p_t + (1-w) mean_c of (1-TI_c)^g, "
        "TI_c = TP / (TP + d FN + (1-d) FP)",
        edges="Empty and full: finite, with the gradient of the focal term.",
        use="Focal and focal Tversky with three parameters instead of six.",
        fails="The slope of the power is infinite at 0 (here bounded). MONAI's function of this "
        "name takes probabilities.",
        agrees="The authors' code (mlyg), which exchanges g and 1-g: equal at the default 0.5.",
        values=(0.259362, 0.541292, 0.744186, 0.269997, 0.393417),
    ),
    LossEntry(
        name="asymmetric-focal",
        title="Asymmetric unified focal",
        compute="workers.losses.compound:asymmetric_focal_loss",
        options=UnifiedFocalOptions,
        kind="compound",
        citation="Yeung et al., CMIG 95, 2022, arXiv:2102.04525",
        space=_UNIFIED,
        formula="w mean of -[d y log p + (1-d) (1-y) p^g log q] "
        "+ (1-w)/2 [1 - TI_0 + (1 - TI_1)^(1-g)]",
        edges="Empty and full: finite, with the gradient of the focal term.",
        use="As unified focal; the foreground is never suppressed.",
        fails="As unified focal.",
        agrees="The authors' code (mlyg), as for unified focal.",
        values=(0.217926, 0.480298, 0.783895, 0.232630, 0.336724),
    ),
    LossEntry(
        name="structure",
        title="Structure",
        compute="workers.losses.compound:structure_loss",
        options=StructureOptions,
        kind="compound",
        citation="Wei et al., AAAI 2020, arXiv:1911.11445; Fan et al., arXiv:2006.11392",
        space={"radius": Choices(values=(5, 15, 31)), "weight": Range(low=0.0, high=10.0)},
        formula="sum w BCE / sum w + 1 - (sum w p y + 1) / (sum w (p + y - p y) + 1), "
        "w = 1 + `weight` |mean of y over 2 `radius` + 1 pixels per side - y|",
        edges="Empty: all weights are 1, with a gradient. Full: the image's frame weighs most.",
        use="Polyps, with the networks of PraNet and its successors.",
        fails="The published code passes reduce='none', a text that torch takes for true: its BCE "
        "has no weights. Here it has them. Below 31 px the window exceeds the image.",
        agrees="PraNet's code with reduction='none'.",
        one_channel="it is published for one foreground class",
        values=(0.531004, 1.511056, 1.763931, 0.546571, 0.617776),
    ),
)
