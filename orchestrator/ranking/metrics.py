"""The direction, range and unit of a metric, known by its name."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from workers.contract import JSONValue, UserError

METRICS = ("dice", "iou", "recall", "precision")
ALL_METRICS = (*METRICS, *(f"{metric}_pooled" for metric in METRICS), "best_val_dice")
"""Metrics in the store's trials: in [0, 1], higher is better."""
ROUNDING = 1e-6
"""Rounding error allowed at the ends of a range; a fraction beyond it is a percentage."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The column that is ranked.

    Attributes:
        name: Of the column.
        lower_is_better: Whether the lowest value is the best.
        low: Smallest possible value.
        high: Largest possible value; if it is 1, a table may also hold percentages.
        unit: Unit or kind of the values; empty if unknown.
        told: Whether the name or the caller states the better direction. Otherwise higher values
            count as better.
    """

    name: str
    lower_is_better: bool = False
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    told: bool = True

    @property
    def better(self) -> str:
        """The better direction, `higher` or `lower`."""
        return "lower" if self.lower_is_better else "higher"

    @property
    def bounded(self) -> bool:
        """Whether it is a fraction or a correlation, which a table may also hold in per cent."""
        return self.high == 1

    def worst(self, values: np.ndarray) -> float:
        """Returns the value that a diverged trial counts as.

        It is the worst possible value of the metric, or without one the worst of `values`, (N,),
        the values of the finished trials.
        """
        if self.bounded:
            scale = 100.0 if in_percent(values) else 1.0
            return scale * (self.high if self.lower_is_better else self.low)
        if self.lower_is_better:
            return float(values.max()) if len(values) else 0.0
        return float(values.min(initial=0.0))

    @property
    def range_text(self) -> str:
        """The range, such as `from 0 to 1`; empty if any number is possible."""
        if self.bounded:
            return f"from {self.low:g} to {self.high:g}"
        return f"from {self.low:g} up" if math.isfinite(self.low) else ""

    @property
    def stated(self) -> str:
        """The direction and the range of a column that no store has; empty for a store's metric."""
        return "" if self.name in ALL_METRICS else self.text

    def range_json(self) -> list[JSONValue]:
        """Returns the smallest and the largest possible value, None for an open end."""
        return [end if math.isfinite(end) else None for end in (self.low, self.high)]

    @property
    def text(self) -> str:
        """The direction and the range, such as `lower is better, from 0 up`."""
        return ", ".join(filter(None, [f"{self.better} is better", self.range_text]))


_SHARE = Metric(name="", low=0, high=1, unit="share")
_CORRELATION = Metric(name="", low=-1, high=1, unit="correlation")
_WRONG = replace(_SHARE, lower_is_better=True)
_DISTANCE = Metric(name="", lower_is_better=True, low=0, unit="distance")
_ERROR = Metric(name="", lower_is_better=True, low=0, unit="error")
_LOSS = Metric(name="", lower_is_better=True, unit="loss")
_DURATION = Metric(name="", lower_is_better=True, low=0, unit="time")
_SIZE = Metric(name="", lower_is_better=True, low=0, unit="amount")

_NAMES: dict[Metric, str] = {
    _SHARE: "dice dsc dicecoefficient dicesimilaritycoefficient iou jaccard jaccardindex miou "
    "mdice biou boundaryiou f f1 f2 f05 fbeta fmeasure precision ppv recall sensitivity tpr "
    "hitrate specificity tnr npv accuracy acc balancedaccuracy auc auroc rocauc auprc prauc aupr "
    "ap map averageprecision nsd surfacedice normalizedsurfacedice normalisedsurfacedice "
    "normalizedsurfacedistance normalisedsurfacedistance boundaryf boundaryf1 bf1 cldice "
    "volumesimilarity volumetricsimilarity pq sq rq panopticquality cindex smeasure emeasure",
    _CORRELATION: "mcc matthewscorrelation matthewscorrelationcoefficient kappa cohenkappa "
    "cohenskappa pearson spearman kendall correlation ssim ari",
    Metric(name=""): "r2 rsquared",
    Metric(name="", low=0, unit="dB"): "psnr snr",
    _WRONG: "ece mce ace brier fpr fnr fdr errorrate calibrationerror expectedcalibrationerror "
    "maximumcalibrationerror",
    _DISTANCE: "hd hd95 hausdorff hausdorff95 hausdorffdistance hausdorffdistance95 95hd "
    "averagehausdorffdistance assd asd asssd masd msd surfacedistance averagesurfacedistance "
    "symmetricsurfacedistance averagesymmetricsurfacedistance distance",
    _ERROR: "mae mse rmse error err absoluteerror squarederror rootsquarederror fp fn "
    "falsepositives falsenegatives perplexity",
    _LOSS: "loss bce ce nll crossentropy binarycrossentropy loglikelihoodloss logloss",
    _DURATION: "seconds secs sec minutes hours time runtime latency duration traintime "
    "inferencetime",
    _SIZE: "bytes memory parameters params flops macs gmacs epochs",
}
KNOWN: dict[str, Metric] = {
    name: replace(kind, name=name) for kind, names in _NAMES.items() for name in names.split()
}
"""Every known name in lower case, without separators between its words."""

_PLAIN = frozenset({
    "val", "valid", "validation", "test", "train", "dev", "eval", "mean", "avg", "average",
    "median", "best", "final", "last", "score", "scores", "value", "pooled", "macro", "micro",
    "weighted", "percent", "pct", "perc", "px", "pixel", "pixels", "mm",
})  # fmt: skip
"""Words for where or how a metric was measured; they do not change direction or range."""

_UNCLEAR = frozenset({
    "std", "stddev", "sd", "se", "sem", "var", "variance", "ci", "iqr", "rank", "ranks", "diff",
    "difference", "delta", "gap", "drop", "change", "minus", "neg", "negative", "negated",
    "inverse", "inverted", "inv", "p", "pvalue",
})  # fmt: skip
"""Words with which a higher value of a known metric is not always a better one."""


def metric_of(column: str, *, lower_is_better: bool | None = None) -> Metric:
    """Returns direction, range and unit of a column.

    Args:
        column: Its name. Case, separators and words such as `val`, `mean` or `mm` do not matter; a
            longer name such as `hd95_lesion` takes the direction of the known name in it.
        lower_is_better: The direction that the caller states; None leaves it to the name.

    Raises:
        UserError: The caller contradicts a known name, or the direction of the name is unclear.
    """
    words = _words(column)
    known = _known(words)
    if known is not None:
        if lower_is_better not in (None, known.lower_is_better):
            msg = (
                f"--metric {column}: {known.better} is better, and "
                f"{_option(lower_is_better=not known.lower_is_better)} would reverse the ranking; "
                "leave the option out, or rename the column if it holds something else"
            )
            raise UserError(msg)
        return replace(known, name=column)
    if lower_is_better is not None:
        return Metric(name=column, lower_is_better=lower_is_better)
    kinds = {replace(KNOWN[part], name=column) for part in _known_parts(words)}
    unclear = _UNCLEAR & set(words) or words[:1] in (["1"], ["one"])
    if len({kind.lower_is_better for kind in kinds}) > 1 or (kinds and unclear):
        msg = (
            f"--metric {column}: the name does not say whether higher or lower is better; add "
            f"{_option(lower_is_better=False)} or {_option(lower_is_better=True)}"
        )
        raise UserError(msg)
    if len(kinds) == 1:
        return kinds.pop()
    return Metric(
        name=column, lower_is_better=any(kind.lower_is_better for kind in kinds), told=bool(kinds)
    )


def as_metric(metric: str | Metric) -> Metric:
    """Returns a metric unchanged, and the metric of a column by `metric_of`."""
    return metric if isinstance(metric, Metric) else metric_of(metric)


def in_percent(values: np.ndarray) -> bool:
    """Returns whether values of a fraction or a correlation, (N,), are percentages."""
    return bool((np.abs(values) > 1 + ROUNDING).any())


def is_known(column: str) -> bool:
    """Returns whether the name alone states direction and range."""
    return _known(_words(column)) is not None


def _known(words: list[str]) -> Metric | None:
    known = KNOWN.get("".join(word for word in words if word not in _PLAIN))
    return known or KNOWN.get("".join(words))


def _option(*, lower_is_better: bool) -> str:
    return "--lower-is-better" if lower_is_better else "--higher-is-better"


def _words(column: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)
    return re.findall(r"[^\W_]+", parted.casefold())


def _known_parts(words: list[str]) -> list[str]:
    """Returns the longest known names that consecutive words of a name form."""
    runs = [
        (start, end)
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
        if "".join(words[start:end]) in KNOWN
    ]
    longest = [
        (start, end)
        for start, end in runs
        if not any((a, b) != (start, end) and a <= start and end <= b for a, b in runs)
    ]
    return ["".join(words[start:end]) for start, end in longest]
