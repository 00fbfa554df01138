"""The podium as plain rows, for a terminal or a page."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.ranking.results import Podium


@dataclass(frozen=True, kw_only=True)
class PodiumRow:
    """One loss in the final order.

    Attributes:
        place: From 1; losses that are level share the better place.
        joint: True where another loss has the same place.
        loss: Label.
        points: Sum over the blocks.
        mean: Mean of the block means; None without any trial.
        num_first: Blocks in which it took (or shared) the 1st place.
        num_second: The same for the 2nd place.
        num_third: The same for the 3rd place.
        mean_rank: Mean over the blocks of its rank, ties shared; None without any trial.
    """

    place: int
    joint: bool
    loss: str
    points: int | float
    mean: float | None
    num_first: int
    num_second: int
    num_third: int
    mean_rank: float | None = None


def podium_rows(podium: Podium, *, break_ties: bool = False) -> list[PodiumRow]:
    """Returns one row a loss, ordered by points; losses with equal points share a place.

    Args:
        podium: Points of all losses.
        break_ties: Part equal points by the number of 1st places, then by mean rank. Losses equal
            in these too stay joint.
    """
    ranks = {loss: _mean_rank(podium, loss) for loss in podium.points}
    wins = {loss: _num_places(podium, loss, 1) for loss in podium.points}
    standing: dict[str, tuple[float, ...]] = {
        loss: (-points, *((-wins[loss], _last(ranks[loss])) if break_ties else ()))
        for loss, points in podium.points.items()
    }
    keys = list(standing.values())
    return [
        PodiumRow(
            place=1 + sum(other < standing[loss] for other in keys),
            joint=keys.count(standing[loss]) > 1,
            loss=loss,
            points=podium.points[loss],
            mean=podium.means[loss],
            num_first=wins[loss],
            num_second=_num_places(podium, loss, 2),
            num_third=_num_places(podium, loss, 3),
            mean_rank=ranks[loss],
        )
        # Sorting is stable: what stays joint keeps the podium's order, by mean.
        for loss in sorted(podium.points, key=standing.__getitem__)
    ]


def _num_places(podium: Podium, loss: str, place: int) -> int:
    return sum(
        block.places.get(loss) == place and loss not in block.diverged
        for block in podium.blocks.values()
    )


def _mean_rank(podium: Podium, loss: str) -> float | None:
    ranks = [block.ranks[loss] for block in podium.blocks.values() if loss in block.ranks]
    return round(sum(ranks) / len(ranks), 9) if ranks else None


def _last(rank: float | None) -> float:
    return float("inf") if rank is None else rank
