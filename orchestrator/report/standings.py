"""Who stands on which step, and the table of all losses below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.ranking.metrics import METRICS
from orchestrator.ranking.podium import Podium, block_means, mean
from orchestrator.ranking.results import PodiumRow, podium_rows
from orchestrator.report.data import Sweep


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the drawn podium.

    Attributes:
        place: 1, 2 or 3.
        losses: Labels that stand on it, several when they are level; empty below a joint place.
        points: Points of each of them; None on an empty step.
    """

    place: int
    losses: tuple[str, ...]
    points: int | float | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One loss in the table of points.

    Attributes:
        rows: Its row in each podium, by axis.
        both: Sum of its points; None unless there are two podiums.
        metrics: Mean of each metric over blocks, by the ranking's own rule; None without trials.
    """

    loss: str
    rows: Mapping[str, PodiumRow]
    both: int | float | None
    metrics: Mapping[str, float | None]


def podium_steps(podium: Podium) -> tuple[Step, Step, Step]:
    """Returns the 1st, 2nd and 3rd step; a loss without points or with mean 0 on none."""
    rows = [row for row in podium_rows(podium) if row.points > 0 and row.mean]
    first, second, third = (
        Step(
            place=place,
            losses=tuple(row.loss for row in rows if row.place == place),
            points=next((row.points for row in rows if row.place == place), None),
        )
        for place in (1, 2, 3)
    )
    return first, second, third


def standings(sweep: Sweep) -> list[Standing]:
    """Returns one row a loss, the best first."""
    by_axis = {
        podium.axis: {row.loss: row for row in podium_rows(podium)}
        for podium in sweep.ranking.podiums
    }
    both = sweep.ranking.both
    means = {metric: _loss_means(sweep, metric) for metric in shown_metrics(sweep)}
    return [
        Standing(
            loss=loss,
            rows={axis: rows[loss] for axis, rows in by_axis.items()},
            both=both.points[loss] if both else None,
            metrics={metric: values.get(loss) for metric, values in means.items()},
        )
        for loss in sweep.losses
    ]


def other_ways_matter(sweep: Sweep) -> bool:
    """Returns whether another tie rule, or ranking before aggregating, has another leader."""
    for podium in sweep.ranking.podiums:
        leaders = {frozenset(names) for names in podium.leaders.values()}
        agreement = podium.agreement
        if agreement and not agreement.refusal:
            most = max(agreement.points.values())
            leaders.add(frozenset(loss for loss, own in agreement.points.items() if own == most))
        if len(leaders) > 1:
            return True
    return False


def shown_metrics(sweep: Sweep) -> tuple[str, ...]:
    """Returns the metrics that every trial has."""
    trials = sweep.trials
    return tuple(name for name in METRICS if name in trials and bool(trials[name].notna().all()))


def _loss_means(sweep: Sweep, metric: str) -> dict[str, float]:
    blocks = block_means(sweep.trials, sweep.main_podium.axis, metric)
    return {
        loss: mean([row[loss] for row in blocks.values() if loss in row])
        for loss in sweep.losses
        if any(loss in row for row in blocks.values())
    }
