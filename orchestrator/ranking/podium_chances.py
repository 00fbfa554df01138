"""The chances of each loss on a podium, and the points that the leader of equal losses gets.

Names of arrays end in their axes: K draws, B blocks, L losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.ranking.choices import PodiumAxis, TieRule
from orchestrator.ranking.pairs import DIGITS, Interval
from orchestrator.ranking.places import POINTS, points_of
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.scores import Scores


@dataclass(frozen=True, kw_only=True)
class LossCertainty:
    """One loss on a podium; a number is None if nothing was drawn, or if its podium refuses it.

    Attributes:
        loss: Label.
        points: Points in the data.
        place: Place in the data, from 1; joint losses share the better place.
        points_interval: Interval of its points in a new sweep of the same size.
        p_first: Probability that it leads a new sweep; k joint leaders get 1/k each.
        p_podium: Probability that it is one of the first three there, counted likewise.
        p_first_again: Probability that it leads with new repeats of these datasets and networks.
        p_podium_again: The same for the first three.
    """

    loss: str
    points: float
    place: int
    points_interval: Interval | None
    p_first: float | None
    p_podium: float | None
    p_first_again: float | None
    p_podium_again: float | None


@dataclass(frozen=True, kw_only=True)
class NullPoints:
    """The points that the leader gets in sweeps of the same size in which all losses are equal.

    Attributes:
        p: Probability of the leader's points or more.
        leader_points: Points of the leader in the data.
        median: Median of the leader's points if all losses are equal.
        interval: Interval of these points.
    """

    p: float
    leader_points: float
    median: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class PodiumCertainty:
    """One podium.

    Attributes:
        axis: `dataset`, `model` or `both`.
        losses: In the order of the podium; without losses that have no trial.
        null: None if nothing was drawn, or with a single block, whose leader always has 3 points.
        refusal: Why there are no chances of a new sweep; None if there are.
    """

    axis: PodiumAxis
    losses: tuple[LossCertainty, ...] = ()
    null: NullPoints | None = None
    refusal: str | None = None

    def of(self, loss: str) -> LossCertainty | None:
        """Returns the entry of one loss; None if it has no trial."""
        return next((entry for entry in self.losses if entry.loss == loss), None)


def drawn_points(scores: Scores, blocks: Sequence[np.ndarray], ties: TieRule) -> np.ndarray:
    """Returns the points (K, L) of drawn sweeps, summed over the blocks of all axes.

    Args:
        scores: All trials, for the order of the losses.
        blocks: Block means (K, B, L), one array for each axis.
        ties: Tie rule.
    """
    points_KL = np.zeros((blocks[0].shape[0], blocks[0].shape[2]))
    for means_KBL in blocks:
        for block in range(means_KBL.shape[1]):
            points_KL += points_of(means_KBL[:, block], ties=ties, listed=scores.listed_positions)
    return np.round(points_KL, 9)  # thirds of a point, summed in two orders, are equal


def places_of(points_KL: np.ndarray) -> np.ndarray:
    """Returns the places (K, L) from 1; losses with equal points share the better place."""
    better_LK = [(points_KL > own[:, None]).sum(axis=1) for own in points_KL.T]
    return np.stack(better_LK, axis=1) + 1


def chances_of_places(points_KL: np.ndarray, last: int) -> np.ndarray:
    """Returns (L,): the probability of one of the places 1 to `last`.

    If k losses share places of which only j are among them, each counts j/k.
    """
    before_KL = places_of(points_KL) - 1
    equal_LK = [(points_KL == own[:, None]).sum(axis=1) for own in points_KL.T]
    equal_KL = np.stack(equal_LK, axis=1)
    return np.asarray((np.clip(last - before_KL, 0, equal_KL) / equal_KL).mean(axis=0))


def quantile_interval(values_K: np.ndarray, level: float) -> Interval:
    """Returns the middle part of the draws; its ends are values that occurred."""
    tail = (1 - level) / 2
    low, high = np.quantile(values_K, [tail, 1 - tail], method="inverted_cdf")
    return Interval(low=round(float(low), DIGITS), high=round(float(high), DIGITS))


def null_points(highest_K: np.ndarray, podium: Podium, level: float) -> NullPoints:
    """Compares the points of the leader with those of leaders of equal losses.

    Args:
        highest_K: Points of the leader in each drawn sweep of equal losses.
        podium: The podium of the data.
        level: Fraction of the draws inside the interval.
    """
    leader_points = float(max(podium.points.values()))
    return NullPoints(
        p=float((1 + (highest_K >= leader_points - 1e-9).sum()) / (1 + len(highest_K))),
        leader_points=leader_points,
        median=float(np.median(highest_K)),
        interval=quantile_interval(highest_K, level),
    )


def loss_certainties(
    scores: Scores,
    podium: Podium,
    *,
    points_KL: np.ndarray | None,
    again_KL: np.ndarray | None,
    level: float,
) -> tuple[LossCertainty, ...]:
    """Returns the chances of every loss with a trial, in the order of the podium.

    Args:
        scores: All trials.
        podium: The podium of the data.
        points_KL: Points in drawn new sweeps, if any.
        again_KL: Points with drawn new repeats, if any.
        level: Fraction of the draws inside an interval.
    """
    places = {row.loss: row.place for row in podium_rows(podium)}
    drawn = {"": points_KL, "_again": again_KL}
    chances = {
        f"p_{name}{suffix}": None if points is None else chances_of_places(points, last)
        for suffix, points in drawn.items()
        for name, last in (("first", 1), ("podium", len(POINTS)))
    }
    return tuple(
        LossCertainty(
            loss=loss,
            points=podium.points[loss],
            place=places[loss],
            points_interval=None
            if points_KL is None
            else quantile_interval(points_KL[:, position], level),
            **{
                name: None if chance_L is None else float(chance_L[position])
                for name, chance_L in chances.items()
            },
        )
        for loss in podium.points
        if loss in scores.losses
        for position in (scores.losses.index(loss),)
    )
