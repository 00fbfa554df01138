"""Number of repeats that separate the first two losses, from the noise between repeats so far.

Datasets and models stay fixed: more repeats reduce the uncertainty for these only.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from orchestrator.ranking.places import TIE_TOLERANCE
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.scores import Scores, mean_over
from orchestrator.wording import signed_text
from workers.contract import UserError

MAX_REPEATS = 100_000
"""If more repeats than this are needed, repeats do not help."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """Repeats that a two-sided paired t-test needs to separate two losses.

    Attributes:
        axis: The podium whose first two losses these are.
        first: Label of the first.
        second: Label of the second.
        difference: Mean of first minus mean of second, over the combinations that both have.
        deviation: Standard deviation of that mean over the whole grid from one repeat alone.
        num_degrees: Degrees of freedom of the deviation.
        repeats_so_far: Repeats of every combination that both have.
        p_now: The t-test's p-value on the repeats so far.
        repeats_needed: For this difference; None if `sentence` gives a reason.
        repeats_needed_for_margin: For a true difference as large as the margin.
        alpha: Level of the test.
        power: Probability to find the difference if it is as large as observed.
        margin: The practical-equivalence margin.
        sentence: The answer, or the reason why there is none.
    """

    axis: str
    first: str
    second: str
    difference: float | None
    deviation: float | None
    num_degrees: int
    repeats_so_far: int
    p_now: float | None
    repeats_needed: int | None
    repeats_needed_for_margin: int | None
    alpha: float
    power: float
    margin: float
    sentence: str

    @property
    def more_repeats(self) -> int | None:
        """Repeats to add; 0 if the repeats so far are enough."""
        if self.repeats_needed is None:
            return None
        return max(0, self.repeats_needed - self.repeats_so_far)

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain JSON values."""
        return asdict(self) | {"more_repeats": self.more_repeats}


@dataclass(frozen=True, kw_only=True)
class RepeatNoise:
    """Difference of two losses, and the noise of one repeat of the whole grid around it.

    Attributes:
        difference: Mean over datasets of the mean over models of the mean over repeats; above 0
            if the first is better.
        deviation: sqrt(sum over datasets of s_d^2) / D, where s_d is the standard deviation over
            repeats of the mean over models: a repeat of a dataset is one split for all models.
        num_datasets: D.
        num_degrees: Sum over datasets of (repeats - 1); fewer if, because of missing trials, models
            share no repeats (see `_observed_noise`).
        num_repeats: The smallest number of common repeats of any combination.
    """

    difference: float
    deviation: float
    num_datasets: int
    num_degrees: int
    num_repeats: int


def repeats_to_separate(
    scores: Scores,
    podium: Podium,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    margin: float = 0.005,
) -> Power | None:
    """Returns how many repeats separate the first loss of a podium from the second.

    None if only one loss has a trial. Of joint leaders, the first two are compared.

    Raises:
        UserError: `alpha` or `power` is not between 0 and 1.
    """
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            msg = f"{name} {value:g}: give a fraction between 0 and 1"
            raise UserError(msg)
    names = [row.loss for row in podium_rows(podium) if row.loss in scores.losses]
    if len(names) < 2:
        return None
    first, second = names[:2]
    noise = repeat_noise(scores, first, second) if any(podium.points.values()) else None
    so_far = noise.num_repeats if noise else 0
    needed, for_margin, p_now = None, None, None
    if noise and noise.num_degrees and noise.deviation > TIE_TOLERANCE:
        needed = repeats_needed(noise, abs(noise.difference), alpha, power)
        for_margin = repeats_needed(noise, margin, alpha, power)
        error = noise.deviation / math.sqrt(so_far)
        p_now = float(2 * stats.t.sf(abs(noise.difference) / error, noise.num_degrees))
    return Power(
        axis=podium.axis,
        first=first,
        second=second,
        difference=scores.shown(noise.difference) if noise else None,
        deviation=noise.deviation if noise and noise.num_degrees else None,
        num_degrees=noise.num_degrees if noise else 0,
        repeats_so_far=so_far,
        p_now=p_now,
        repeats_needed=needed,
        repeats_needed_for_margin=for_margin,
        alpha=alpha,
        power=power,
        margin=margin,
        sentence=_sentence(scores, first, second, noise, needed, for_margin, margin),
    )


def repeat_noise(scores: Scores, first: str, second: str) -> RepeatNoise | None:
    """Returns the difference and its noise over repeats; None if they share no trial."""
    one, other = scores.losses.index(first), scores.losses.index(second)
    differences_DMR = scores.values_DMLR[:, :, one] - scores.values_DMLR[:, :, other]
    present_DMR = ~np.isnan(differences_DMR)
    num_repeats_DM = present_DMR.sum(axis=2)
    if not num_repeats_DM.any():
        return None
    means_DM = mean_over(differences_DMR, 2)
    datasets = num_repeats_DM.any(axis=1)
    num_datasets = int(datasets.sum())
    # A missing trial must not look like noise: only the deviations from the mean of each cell are
    # averaged over models.
    rests_DR = mean_over(differences_DMR - means_DM[:, :, None], 1)
    squares_D = np.nansum(rests_DR**2, axis=1)
    shown = [_observed_noise(present_MR) for present_MR in present_DMR]
    variances = [
        square / share for square, (share, free) in zip(squares_D, shown, strict=True) if free
    ]
    # A dataset without a noise estimate gets the mean of the others.
    variance = float(np.mean(variances)) if variances else 0.0
    return RepeatNoise(
        difference=round(float(mean_over(means_DM, 1)[datasets].mean()), 12),
        deviation=math.sqrt(variance / num_datasets),
        num_datasets=num_datasets,
        num_degrees=sum(free for _, free in shown),
        num_repeats=int(num_repeats_DM[num_repeats_DM > 0].min()),
    )


def _observed_noise(present_MR: np.ndarray) -> tuple[float, int]:
    """Returns the observed fraction of a dataset's repeat noise, and its degrees of freedom.

    The deviation of a repeat, averaged over the models that have it, is its noise minus a mean of
    the noise of the repeats that share a model with it, directly or through others: (I - A) noise.
    The expected sum of squares is the variance times the squares of I - A, R - 1 if complete.
    The degrees of freedom are its rank: repeats minus groups of repeats that share no model.
    """
    present = present_MR[:, present_MR.any(axis=0)].astype(float)
    if not present.size:
        return 0.0, 0
    of_model = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    seen = np.eye(present.shape[1]) - (present / present.sum(axis=0)).T @ of_model
    return float((seen**2).sum()), int(np.linalg.matrix_rank(seen, tol=1e-9))


def repeats_needed(noise: RepeatNoise, difference: float, alpha: float, power: float) -> int | None:
    """Returns the smallest number of repeats with at least this power; None beyond `MAX_REPEATS`.

    With n repeats the t statistic has D (n - 1) degrees of freedom and, if the true difference is
    as given, noncentrality difference sqrt(n) / deviation (Cohen 1988, chapter 2; D = 1 is the
    paired t-test).
    """
    if difference <= TIE_TOLERANCE:
        return None

    def enough(number: int) -> bool:
        return power_of(noise, difference, number, alpha) >= power

    high = 2
    while not enough(high):
        high *= 2
        if high > MAX_REPEATS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def power_of(noise: RepeatNoise, difference: float, num_repeats: int, alpha: float) -> float:
    """Returns the power of the two-sided t-test with `num_repeats` repeats, at least 2."""
    degrees = noise.num_datasets * (num_repeats - 1)
    shift = difference * math.sqrt(num_repeats) / noise.deviation
    limit = float(stats.t.isf(alpha / 2, degrees))
    power = float(stats.nct.sf(limit, degrees, shift))
    # Significant in the wrong direction: below 1e-6 beyond this shift, where scipy gives NaN.
    wrong_direction = float(stats.nct.cdf(-limit, degrees, shift)) if shift < 5 else 0.0
    return power + wrong_direction


def _sentence(
    scores: Scores,
    first: str,
    second: str,
    noise: RepeatNoise | None,
    needed: int | None,
    for_margin: int | None,
    margin: float,
) -> str:
    pair = f"{first} and {second}"
    if noise is None:
        return f"Cannot say: no loss has points, or {pair} share no dataset x model x repeat."
    if not noise.num_degrees:
        return (
            f"Cannot say: {pair} share only one repeat of each combination of dataset and model, "
            "which shows no noise."
        )
    if noise.deviation <= TIE_TOLERANCE:
        return f"Cannot say: {pair} differ by the same in every repeat, so there is no noise."
    seen = signed_text(scores.shown(noise.difference))
    if needed is None:
        return f"No number of repeats up to {MAX_REPEATS:,} separates {pair}: {seen}."
    so_far = noise.num_repeats
    if noise.difference < 0:
        seen += f", {second} having the {scores.measure.better} mean"
    if needed <= so_far:
        text = f"The {so_far} repeats so far are enough to separate {pair} ({seen})."
    else:
        text = (
            f"{needed - so_far:,} more repeats ({needed:,} instead of {so_far}) separate {pair}, "
            f"if the true difference is the one seen so far ({seen})."
        )
    if for_margin:
        text += f" A true difference of {margin:g} needs {for_margin:,}."
    return text
