"""Numbers behind the pictures of ranks: over draws, over blocks, and over ranking methods.

The pictures are those of challengeR (Wiesenfarth et al., Sci Rep 11:2369, 2021). A challenge has
algorithms and test cases; here they are the losses and the blocks. Names of arrays end in their
axes: K drawn sweeps, L losses, P places from 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.ranking.places import shared_ranks
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.scores import Scores, mean_over


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnPlaces:
    """The places of the losses on one podium, over drawn sweeps.

    Attributes:
        axis: `dataset`, `model` or `both`.
        losses: In the order of the podium.
        places: Place of each in the sweep; joint losses share the better place.
        shares: Fraction of the draws in which a loss has a place.
        medians: Median place of each loss over the draws.
        low: Lower end of the middle part of its places (95 % by default); `high` the upper end.
        taus: Kendall's tau-b between the sweep's places and those of each draw; without draws in
            which all losses are level.
    """

    axis: str
    losses: tuple[str, ...]
    places: tuple[int, ...]
    shares: np.ndarray
    medians: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    taus: np.ndarray


def drawn_places(
    podium: Podium, losses: Sequence[str], places_KL: np.ndarray, level: float = 0.95
) -> DrawnPlaces:
    """Summarises the places of one podium over drawn sweeps.

    Args:
        podium: The podium of the sweep.
        losses: Labels of the columns of `places_KL`.
        places_KL: Place of each loss in each drawn sweep, from 1; joint losses share the better.
        level: Fraction of the draws between `low` and `high`.
    """
    own = {row.loss: row.place for row in podium_rows(podium)}
    order = [loss for loss in podium.points if loss in losses]
    drawn_KL = places_KL[:, [list(losses).index(loss) for loss in order]]
    places = tuple(own[loss] for loss in order)
    low, median, high = np.quantile(drawn_KL, [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0)
    return DrawnPlaces(
        axis=podium.axis,
        losses=tuple(order),
        places=places,
        shares=place_shares(drawn_KL),
        medians=tuple(median.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        taus=kendall_taus(np.array(places), drawn_KL),
    )


def place_shares(places_KL: np.ndarray) -> np.ndarray:
    """Returns the fraction of the draws in which each loss has each place: (L, P), P = L."""
    num_losses = places_KL.shape[1]
    taken_KLP = places_KL[:, :, None] == np.arange(1, num_losses + 1)
    return np.asarray(taken_KLP.mean(axis=0))


def kendall_taus(places_L: np.ndarray, places_KL: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau-b (Kendall 1945) of one ranking with each draw that has an order."""
    first, second = np.triu_indices(len(places_L), k=1)
    own_P = np.sign(places_L[first] - places_L[second])
    drawn_KP = np.sign(places_KL[:, first] - places_KL[:, second])
    sizes_K = np.sqrt(np.abs(own_P).sum() * np.abs(drawn_KP).sum(axis=1))
    ordered = sizes_K > 0
    return np.asarray((drawn_KP[ordered] @ own_P) / sizes_K[ordered])


def place_counts(podium: Podium) -> Mapping[str, tuple[int, ...]]:
    """Returns for each loss the number of blocks in which it has the 1st, 2nd, ... place.

    Losses are in the order of the podium. Tied losses share the better place, or the worse one
    under the tie rule `max`.
    """
    number = len(podium.points)
    return {
        loss: tuple(
            sum(block.places.get(loss) == place for block in podium.blocks.values())
            for place in range(1, number + 1)
        )
        for loss in podium.points
    }


@dataclass(frozen=True, kw_only=True)
class RankingMethod:
    """The places of the losses by one way to rank them.

    Attributes:
        name: For an axis of a picture, such as `mean, then rank`.
        places: By loss; joint losses share the better place.
    """

    name: str
    places: Mapping[str, int]


def ranking_methods(
    scores: Scores, podiums: Sequence[Podium], wins: Mapping[str, int] | None
) -> tuple[RankingMethod, ...]:
    """Ranks the losses by points, and by the five methods of challengeR.

    A case of these five is a cell (a dataset and a model, over its repeats) with every loss.

    Args:
        scores: All trials.
        podiums: Whose points to rank by.
        wins: For each loss, the number of losses that it is significantly better than; None if
            there is no test.
    """
    found = [
        RankingMethod(
            name="points, both" if podium.axis == "both" else f"points by {podium.axis}",
            places={row.loss: row.place for row in podium_rows(podium)},
        )
        for podium in podiums
    ]
    values_NL = mean_over(scores.values_DMLR, 3).reshape(-1, len(scores.losses))
    values_NL = values_NL[~np.isnan(values_NL).any(axis=1)]
    if len(values_NL):
        ranks_NL = shared_ranks(values_NL)
        found += [
            _by("mean, then rank", scores.losses, values_NL.mean(axis=0)),
            _by("median, then rank", scores.losses, np.median(values_NL, axis=0)),
            _by("rank, then mean", scores.losses, -ranks_NL.mean(axis=0)),
            _by("rank, then median", scores.losses, -np.median(ranks_NL, axis=0)),
        ]
    if wins:
        counts = np.array([float(wins.get(loss, 0)) for loss in scores.losses])
        found.append(_by("test, then rank", scores.losses, counts))
    return tuple(found)


def _by(name: str, losses: Sequence[str], values_L: np.ndarray) -> RankingMethod:
    rounded_L = np.round(values_L, 12)
    places = 1 + (rounded_L[None, :] > rounded_L[:, None]).sum(axis=1)
    return RankingMethod(name=name, places=dict(zip(losses, places.tolist(), strict=True)))
