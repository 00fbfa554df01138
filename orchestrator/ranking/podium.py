"""What a ranking consists of: blocks, podiums and the standing of the losses, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.ranking.agreement import Agreement
from orchestrator.ranking.choices import Compare, PodiumAxis, TieRule
from orchestrator.ranking.coverage import Coverage
from orchestrator.ranking.metrics import Metric
from workers.contract import JSONValue

Points = Mapping[str, int | float]


@dataclass(frozen=True, kw_only=True)
class Block:
    """One dataset or one model, and the order of the losses in it.

    Attributes:
        means: Unrounded mean of the metric, for each loss with a trial in this block.
        order: These losses, the best first.
        places: Place of each, from 1; tied losses share a place.
        ranks: Rank of each; tied losses share the mean of their places.
        points: Points of each.
        ties: Groups of losses whose equal means touch the three first places.
        diverged: Losses none of whose trials finished: behind all other losses, without points.
        coverage: Trials present and expected in this block.
    """

    name: str
    means: Mapping[str, float]
    order: tuple[str, ...]
    places: Mapping[str, int]
    points: Points
    ties: tuple[tuple[str, ...], ...]
    coverage: Coverage
    ranks: Mapping[str, float] = field(default_factory=dict)
    diverged: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the block as plain JSON values."""
        return {
            "order": list(self.order),
            "places": dict(self.places),
            "points": dict(self.points),
            "means": dict(self.means),
            "ties": [list(group) for group in self.ties],
            "diverged": list(self.diverged),
            "coverage": self.coverage.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Podium:
    """Points of all losses over all blocks of one axis, or of both.

    Attributes:
        axis: `dataset`, `model` or `both`: what a block is.
        measure: The ranked column, and which direction is better.
        points: Points of every loss, the best first.
        means: Mean of each loss over its block means (`both`: over its two means); None without
            any trial.
        blocks: By name, in the order of the grid; blocks outside the grid follow by name. In
            `both` a name begins with `dataset ` or `model `.
        coverage: Trials present and expected in all blocks.
        ties: Tie rule of `points`.
        rule_points: Points of every loss under each tie rule.
        agreement: The podium of ranking first and averaging then.
        provisional_below: With a smaller fraction of the expected trials, it is provisional.
    """

    axis: PodiumAxis
    measure: Metric
    points: Points
    means: Mapping[str, float | None]
    blocks: Mapping[str, Block]
    coverage: Coverage
    ties: TieRule
    # Not compared: only the rule `order` depends on the order of the rows.
    rule_points: Mapping[TieRule, Points] = field(default_factory=dict, compare=False)
    agreement: Agreement | None = None
    provisional_below: float = 1.0

    @property
    def num_ties(self) -> int:
        """Number of ties that touch one of the three first places of a block."""
        return sum(len(block.ties) for block in self.blocks.values())

    @property
    def provisional(self) -> bool:
        """Whether too many trials are missing: a missing trial can change any place."""
        return self.coverage.present < self.provisional_below * self.coverage.expected

    @property
    def leaders(self) -> Mapping[TieRule, tuple[str, ...]]:
        """The leading losses by tie rule: several with equal points, none without points."""
        return {rule: steps(points)[0] for rule, points in self.rule_points.items()}

    @property
    def leader_depends_on_ties(self) -> bool:
        """Whether another tie rule has another leader."""
        return len({frozenset(names) for names in self.leaders.values()}) > 1

    @property
    def podium_depends_on_ties(self) -> bool:
        """Whether another tie rule has other losses on a step of the podium."""
        return len({_step_sets(points) for points in self.rule_points.values()}) > 1

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the podium as plain JSON values."""
        blocks = {name: block.to_json() for name, block in self.blocks.items()}
        coverage = self.coverage.to_json()
        coverage["blocks"] = {name: block.coverage.to_json() for name, block in self.blocks.items()}
        return {
            "points": dict(self.points),
            "means": dict(self.means),
            "ties": {"rule": self.ties, "num_podium_ties": self.num_ties},
            "tie_rules": {
                "points": {rule: dict(points) for rule, points in self.rule_points.items()},
                "leaders": {rule: list(names) for rule, names in self.leaders.items()},
                "leader_changes": self.leader_depends_on_ties,
                "podium_changes": self.podium_depends_on_ties,
            },
            "rank_then_aggregate": self.agreement.to_json() if self.agreement else None,
            "coverage": coverage,
            "provisional": self.provisional,
            "blocks": dict(blocks),
        }


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The podiums; one is None if the table lacks its column.

    Attributes:
        measure: The ranked column, and which direction is better.
        ties: Who gets the points of tied places.
        by_dataset: Podium over datasets.
        by_model: Podium over models.
        both: Sum of the points of the two; None unless both exist.
        compare: Which cells count; see `orchestrator.ranking.scores.comparable_DML`.
        notes: Sentences on how the table was read.
    """

    measure: Metric
    ties: TieRule
    by_dataset: Podium | None
    by_model: Podium | None
    both: Podium | None = None
    compare: Compare = "available"
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """The ranked column."""
        return self.measure.name

    @property
    def podiums(self) -> tuple[Podium, ...]:
        """The podiums that exist, by dataset first; without their sum."""
        return tuple(podium for podium in (self.by_dataset, self.by_model) if podium)

    def podium(self, axis: str) -> Podium | None:
        """Returns the podium of `dataset`, `model` or `both`."""
        return {"dataset": self.by_dataset, "model": self.by_model, "both": self.both}[axis]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the podiums as plain JSON values; whole points are integers."""
        return {
            "metric": self.metric,
            "better": self.measure.better,
            "range": self.measure.range_json(),
            "unit": self.measure.unit or None,
            "ties": self.ties,
            "compare": self.compare,
            "by_dataset": self.by_dataset.to_json() if self.by_dataset else None,
            "by_model": self.by_model.to_json() if self.by_model else None,
            "both": self.both.to_json() if self.both else None,
            "notes": list(self.notes),
        }


def steps(points: Points) -> tuple[tuple[str, ...], ...]:
    """Returns the losses on the 1st, 2nd and 3rd step; a step below a joint one is empty."""
    scores = list(points.values())
    places = {loss: 1 + sum(other > own for other in scores) for loss, own in points.items() if own}
    return tuple(
        tuple(loss for loss, taken in places.items() if taken == step) for step in (1, 2, 3)
    )


def _step_sets(points: Points) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(step) for step in steps(points))


@dataclass(frozen=True, kw_only=True)
class PodiumRow:
    """One loss in the standing.

    Attributes:
        place: From 1; joint losses share the better place.
        joint: Whether another loss has the same place.
        loss: Label.
        points: Sum over the blocks.
        mean: Mean of the block means; None without any trial.
        num_first: Blocks in which it has or shares the 1st place.
        num_second: The same for the 2nd place.
        num_third: The same for the 3rd place.
        mean_rank: Mean of its rank over the blocks; None without any trial.
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
    """Returns the standing, one row per loss by points; losses with equal points share a place.

    Args:
        podium: Points of all losses.
        break_ties: Separate equal points by the number of 1st places, then by mean rank. Losses
            equal in both stay joint.
    """
    ranks = {loss: _mean_rank(podium, loss) for loss in podium.points}
    wins = {loss: _num_places(podium, loss, 1) for loss in podium.points}
    keys: dict[str, tuple[float, ...]] = {
        loss: (-points, *((-wins[loss], _last(ranks[loss])) if break_ties else ()))
        for loss, points in podium.points.items()
    }
    return [
        PodiumRow(
            place=1 + sum(other < keys[loss] for other in keys.values()),
            joint=list(keys.values()).count(keys[loss]) > 1,
            loss=loss,
            points=podium.points[loss],
            mean=podium.means[loss],
            num_first=wins[loss],
            num_second=_num_places(podium, loss, 2),
            num_third=_num_places(podium, loss, 3),
            mean_rank=ranks[loss],
        )
        # Sorting is stable: joint losses keep the order of the podium, by mean.
        for loss in sorted(podium.points, key=keys.__getitem__)
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
