"""The podium as plain rows, for a terminal or a page."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.ranking.podium import Podium


@dataclass(frozen=True, kw_only=True)
class PodiumRow:
    """One loss in the final order.

    Attributes:
        place: From 1; losses with equal points share the better place.
        joint: True where another loss has the same points.
        loss: Label.
        points: Sum over the blocks.
        mean: Mean of the block means; None without any trial.
        num_first: Blocks in which it took (or shared) the 1st place.
        num_second: The same for the 2nd place.
        num_third: The same for the 3rd place.
    """

    place: int
    joint: bool
    loss: str
    points: int | float
    mean: float | None
    num_first: int
    num_second: int
    num_third: int


def podium_rows(podium: Podium) -> list[PodiumRow]:
    """Returns one row a loss, ordered by points and, among equal points, by mean."""
    scores = list(podium.points.values())
    return [
        PodiumRow(
            place=1 + sum(other > points for other in scores),
            joint=scores.count(points) > 1,
            loss=loss,
            points=points,
            mean=podium.means[loss],
            num_first=_num_places(podium, loss, 1),
            num_second=_num_places(podium, loss, 2),
            num_third=_num_places(podium, loss, 3),
        )
        for loss, points in podium.points.items()
    ]


def _num_places(podium: Podium, loss: str, place: int) -> int:
    return sum(block.places.get(loss) == place for block in podium.blocks.values())
