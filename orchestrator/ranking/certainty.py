"""Certainty of the podium: a bootstrap over datasets, models and repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np

from orchestrator.ranking.bootstrap import resample as draw_samples
from orchestrator.ranking.choices import Compare, PodiumAxis, TieRule
from orchestrator.ranking.pairs import (
    Interval,
    PairCertainty,
    compare_pairs,
    interval,
    turn_round,
)
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import Scores
from workers.contract import UserError

PODIUM_AXES: tuple[PodiumAxis, ...] = get_args(PodiumAxis)
ResampledAxis = Literal["dataset", "model", "repeat"]
RESAMPLED_AXES: tuple[ResampledAxis, ...] = get_args(ResampledAxis)
NUM_SAMPLES_LIMITS = (100, 100_000)
FEW = 10
"""With fewer datasets, models or repeats, a percentile bootstrap gives intervals too narrow."""
NO_POINTS = "The bootstrap is not possible: no loss has points, because no trial finished."


@dataclass(frozen=True, kw_only=True)
class LossCertainty:
    """One loss in the bootstrap.

    Attributes:
        loss: Label.
        points: Points in the data.
        place: Place in the data, from 1; joint losses share the better place.
        points_interval: Interval of its points in the samples.
        rank_interval: Interval of its place in the samples.
        p_first: Fraction of samples that it wins; k joint winners get 1/k of a sample each.
        p_podium: Fraction of samples in which it is one of the first three, counted likewise.
    """

    loss: str
    points: float
    place: int
    points_interval: Interval
    rank_interval: Interval
    p_first: float
    p_podium: float


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """The bootstrap of one podium, or the reason why it is not possible.

    Attributes:
        axis: `dataset`, `model` or `both`: which podium.
        metric: The ranked column.
        ties: Tie rule of the points.
        level: Fraction of the samples inside an interval.
        num_samples: Bootstrap samples drawn; 0 with a refusal.
        seed: Seed of the random numbers.
        resampled: Axes that were drawn with replacement.
        margin: Differences up to this count as equivalent in practice.
        losses: In the order of the podium; empty with a refusal.
        pairs: Every pair once, in the order of the podium; empty with a refusal.
        refusal: Why the bootstrap is not possible, in one sentence; None if it is.
        notes: Sentences on what the numbers do not include.
    """

    axis: PodiumAxis
    metric: str
    ties: str
    level: float
    num_samples: int
    seed: int
    resampled: tuple[ResampledAxis, ...]
    margin: float
    losses: tuple[LossCertainty, ...] = ()
    pairs: tuple[PairCertainty, ...] = ()
    refusal: str | None = None
    notes: tuple[str, ...] = ()

    def of(self, loss: str) -> LossCertainty | None:
        """Returns the certainty of one loss; None if it has no trial."""
        return next((entry for entry in self.losses if entry.loss == loss), None)

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain JSON values."""
        return asdict(self)


def certainty(
    scores: Scores,
    *,
    ties: TieRule = "split",
    axis: PodiumAxis = "dataset",
    compare: Compare = "available",
    resample: Sequence[str] = RESAMPLED_AXES,
    num_samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    margin: float = 0.005,
) -> Certainty:
    """Returns the certainty of one podium of `rank`; see `certainties`."""
    return certainties(
        scores,
        ties=ties,
        axes=(axis,),
        compare=compare,
        resample=resample,
        num_samples=num_samples,
        seed=seed,
        level=level,
        margin=margin,
    )[axis]


def certainties(
    scores: Scores,
    *,
    ties: TieRule = "split",
    axes: Sequence[PodiumAxis] = PODIUM_AXES,
    compare: Compare = "available",
    resample: Sequence[str] = RESAMPLED_AXES,
    num_samples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    margin: float = 0.005,
) -> dict[PodiumAxis, Certainty]:
    """Returns the certainty of the podiums of `rank`: a paired percentile bootstrap (Efron 1979).

    Args:
        scores: All trials.
        ties: See `rank`.
        axes: The podiums; all use the same samples.
        compare: See `rank`.
        resample: The axes to draw with replacement, any of `dataset`, `model`, `repeat`. The other
            axes stay fixed: without `dataset`, the certainty is about these datasets only.
        num_samples: Bootstrap samples.
        seed: The same seed gives the same result.
        level: Fraction of the samples inside an interval.
        margin: Differences up to this count as equivalent in practice, in units of the metric.

    Returns:
        The certainty of each podium; with a `refusal` if the bootstrap is not possible.

    Raises:
        UserError: An argument is out of its range.
    """
    options = _Options(
        ties=ties,
        resample=_axes(resample),
        num_samples=num_samples,
        seed=seed,
        level=level,
        margin=margin,
    )
    ranking = rank(scores, ties=ties, compare=compare, agreement=False)
    drawn, notes = resampled_axes(scores, options.resample)
    refusal = _refusal(scores, drawn)
    if refusal:
        return {axis: _refused(axis, scores, options, drawn, refusal) for axis in axes}
    pairs = np.array(list(combinations(range(len(scores.losses)), 2))).T
    samples = draw_samples(
        scores,
        axes=drawn,
        num_samples=num_samples,
        seed=seed,
        ties=ties,
        compare=compare,
        pairs=pairs,
    )
    compared = compare_pairs(scores, samples.differences_BP, pairs, level=level, margin=margin)
    found: dict[PodiumAxis, Certainty] = {}
    for axis in axes:
        podium = ranking.podium(axis)
        if podium is None:
            found[axis] = _refused(axis, scores, options, drawn, _no_axis(axis))
        elif not any(podium.points.values()):
            found[axis] = _refused(axis, scores, options, drawn, NO_POINTS)
        else:
            points_BL = sum(samples.points_BL[part] for part in _parts(axis))
            found[axis] = replace(
                _refused(axis, scores, options, drawn, None),
                num_samples=num_samples,
                losses=_losses(scores, podium, np.asarray(points_BL), level),
                pairs=_in_order(compared, list(podium.points)),
                notes=notes,
            )
    return found


def resampled_axes(
    scores: Scores, wanted: Sequence[ResampledAxis]
) -> tuple[tuple[ResampledAxis, ...], tuple[str, ...]]:
    """Returns the axes that can be drawn, and notes on what the bootstrap does not include."""
    sizes = dict(
        zip(("dataset", "model", "repeat"), np.delete(scores.values_DMLR.shape, 2), strict=True)
    )
    drawn = tuple(axis for axis in wanted if sizes[axis] > 1)
    known = (*scores.axes, "repeat")
    meanings = {
        "repeat": "With one repeat the bootstrap does not include the noise of training.",
        "dataset": "With one dataset the bootstrap does not include differences between datasets.",
        "model": "With one model the bootstrap does not include differences between models.",
    }
    undrawn = [axis for axis in wanted if axis not in drawn and axis in known]
    notes = [meanings[axis] for axis in undrawn]
    few = [f"{sizes[axis]} {axis}s" for axis in drawn if sizes[axis] < FEW]
    if few:
        listed = " and ".join(filter(None, [", ".join(few[:-1]), few[-1]]))
        notes.append(f"Only {listed} to draw from: intervals come out too narrow and coarse.")
    return drawn, tuple(notes)


@dataclass(frozen=True, kw_only=True)
class _Options:
    """Checked options of the bootstrap."""

    ties: TieRule
    resample: tuple[ResampledAxis, ...]
    num_samples: int
    seed: int
    level: float
    margin: float

    def __post_init__(self) -> None:
        low, high = NUM_SAMPLES_LIMITS
        if not low <= self.num_samples <= high:
            msg = f"--samples {self.num_samples}: draw from {low:,} to {high:,} samples"
            raise UserError(msg)
        if not 0.5 <= self.level < 1:
            msg = f"--level {self.level:g}: give a fraction from 0.5 to below 1, such as 0.95"
            raise UserError(msg)
        if not 0 <= self.margin < float("inf"):
            msg = f"--margin {self.margin:g}: give 0 or a positive difference, such as 0.005"
            raise UserError(msg)
        if self.seed < 0:
            msg = f"--seed {self.seed}: give a whole number from 0 up"
            raise UserError(msg)


def _axes(names: Sequence[str]) -> tuple[ResampledAxis, ...]:
    unknown = [name for name in names if name not in RESAMPLED_AXES]
    if unknown or not names:
        msg = (
            f"--resample {','.join(names)}: name one or several of {', '.join(RESAMPLED_AXES)}, "
            "separated by commas"
        )
        raise UserError(msg)
    return tuple(axis for axis in RESAMPLED_AXES if axis in names)


def _refusal(scores: Scores, drawn: Sequence[str]) -> str | None:
    if len(scores.losses) < 2:
        return "The bootstrap is not possible: there is only one loss."
    if not drawn:
        return (
            "The bootstrap is not possible: none of the axes to draw from has more than one entry; "
            "add repeats, datasets or models."
        )
    return None


def _no_axis(axis: str) -> str:
    missing = "dataset and model" if axis == "both" else axis
    return f"There is no podium by {missing}: the table lacks the column."


def _refused(
    axis: PodiumAxis,
    scores: Scores,
    options: _Options,
    drawn: tuple[ResampledAxis, ...],
    refusal: str | None,
) -> Certainty:
    return Certainty(
        axis=axis,
        metric=scores.metric,
        ties=options.ties,
        level=options.level,
        num_samples=0,
        seed=options.seed,
        resampled=drawn,
        margin=options.margin,
        refusal=refusal,
    )


def _parts(axis: PodiumAxis) -> tuple[str, ...]:
    return ("dataset", "model") if axis == "both" else (axis,)


def _losses(
    scores: Scores, podium: Podium, points_BL: np.ndarray, level: float
) -> tuple[LossCertainty, ...]:
    """Returns the certainty of each loss with a trial."""
    points_BL = np.round(points_BL, 9)  # thirds of a point, summed in two orders, are equal
    better_BL = np.stack([(points_BL > own[:, None]).sum(axis=1) for own in points_BL.T], axis=1)
    equal_BL = np.stack([(points_BL == own[:, None]).sum(axis=1) for own in points_BL.T], axis=1)
    # A loss without points is on no step; k losses level on places p, p+1, … share them.
    first_BL = np.where(points_BL > 0, np.clip(1 - better_BL, 0, equal_BL) / equal_BL, 0.0)
    podium_BL = np.where(points_BL > 0, np.clip(3 - better_BL, 0, equal_BL) / equal_BL, 0.0)
    places = {row.loss: row.place for row in podium_rows(podium)}
    entries = {
        loss: LossCertainty(
            loss=loss,
            points=podium.points[loss],
            place=places[loss],
            points_interval=interval(points_BL[:, column], level),
            rank_interval=interval(1.0 + better_BL[:, column], level),
            p_first=float(first_BL[:, column].mean()),
            p_podium=float(podium_BL[:, column].mean()),
        )
        for column, loss in enumerate(scores.losses)
    }
    return tuple(entries[loss] for loss in podium.points if loss in entries)


def _in_order(pairs: Sequence[PairCertainty], order: Sequence[str]) -> tuple[PairCertainty, ...]:
    """Returns the pairs in the order of the podium, the higher loss first in each."""
    position = {loss: number for number, loss in enumerate(order)}
    turned = [
        pair if position[pair.first] < position[pair.second] else turn_round(pair) for pair in pairs
    ]
    return tuple(sorted(turned, key=lambda pair: (position[pair.first], position[pair.second])))
