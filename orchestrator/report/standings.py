"""The steps of the podium, the table of all losses, the bars of figure 2A, and tuned losses."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.ranking.metrics import METRICS
from orchestrator.ranking.pairs import PairCertainty
from orchestrator.ranking.podium import Podium, PodiumRow, podium_rows
from orchestrator.ranking.rank import mean, means_by_block
from orchestrator.ranking.scores import scores_of
from orchestrator.report.data import RankedSweep, column
from orchestrator.report.statistics import Statistics
from orchestrator.tune.results import TUNED
from workers.catalogue.code_files import digest_in
from workers.catalogue.losses import LOSSES, STUDY_LOSSES, loss_title


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the drawn podium.

    Attributes:
        place: 1, 2 or 3.
        losses: Labels on this step; several if joint; empty below a joint place.
        points: Points of each of them; None on an empty step.
    """

    place: int
    losses: tuple[str, ...]
    points: int | float | None


@dataclass(frozen=True, kw_only=True)
class StandingRow:
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
    """Returns the 1st, 2nd and 3rd step; a loss without points or with mean 0 is on none."""
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


def standings(sweep: RankedSweep) -> list[StandingRow]:
    """Returns one row per loss, the best first."""
    by_axis = {
        podium.axis: {row.loss: row for row in podium_rows(podium)}
        for podium in sweep.ranking.podiums
    }
    both = sweep.ranking.both
    means = {metric: _loss_means(sweep, metric) for metric in shown_metrics(sweep)}
    return [
        StandingRow(
            loss=loss,
            rows={axis: rows[loss] for axis, rows in by_axis.items()},
            both=both.points[loss] if both else None,
            metrics={metric: values.get(loss) for metric, values in means.items()},
        )
        for loss in sweep.losses
    ]


def other_ways_matter(sweep: RankedSweep) -> bool:
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


def shown_metrics(sweep: RankedSweep) -> tuple[str, ...]:
    """Returns the metrics that every trial has."""
    trials = sweep.trials
    return tuple(name for name in METRICS if name in trials and bool(trials[name].notna().all()))


def _loss_means(sweep: RankedSweep, metric: str) -> dict[str, float]:
    blocks = means_by_block(scores_of(sweep.table.by(metric)), sweep.main_podium.axis)
    return {
        loss: mean([row[loss] for row in blocks.values() if loss in row])
        for loss in sweep.losses
        if any(loss in row for row in blocks.values())
    }


LossKind = Literal["single", "compound", "unknown"]

BAR_METRICS = ("dice", "iou", "precision", "recall")
"""In the order of the study's figure 2A."""


@dataclass(frozen=True, kw_only=True)
class LossMean:
    """One bar.

    Attributes:
        mean: Mean of the metric by the ranking's own rule.
        low: Mean of the lowest repeat; None with fewer than two repeats.
        high: Mean of the highest repeat.
    """

    loss: str
    kind: LossKind
    mean: float
    low: float | None
    high: float | None


def bar_metrics(sweep: RankedSweep) -> tuple[str, ...]:
    """Returns the metrics that every trial has; a user-defined metric comes first."""
    known = [name for name in BAR_METRICS if name in sweep.trials]
    complete = [name for name in known if bool(sweep.trials[name].notna().all())]
    return tuple(complete if sweep.metric in complete else [sweep.metric, *complete])


def loss_means(sweep: RankedSweep, metric: str) -> list[LossMean]:
    """Returns one bar per loss with a trial, the best first; equal ones by label."""
    ranking = sweep.ranked_by(metric)
    kinds = loss_kinds(sweep)
    means = {
        loss: mean for loss, mean in ranking.podiums[0].means.items() if mean is not None
    }  # fmt: skip
    repeats = _repeat_means(sweep, metric, means)
    bars = [
        LossMean(
            loss=loss,
            kind=kinds[loss],
            mean=mean,
            low=min(repeats[loss]) if len(repeats.get(loss, ())) > 1 else None,
            high=max(repeats[loss]) if len(repeats.get(loss, ())) > 1 else None,
        )
        for loss, mean in means.items()
    ]
    sign = 1 if ranking.measure.lower_is_better else -1
    return sorted(bars, key=lambda bar: (sign * bar.mean, bar.loss))


def _repeat_means(
    sweep: RankedSweep, metric: str, means: Mapping[str, float]
) -> dict[str, list[float]]:
    """Returns the mean of each loss in each repeat in which it has a trial.

    A repeat that lacks combinations (dataset and model) is compared with the loss's mean over
    those that it has, or an easy combination alone would make it the highest.
    """
    trials = sweep.trials
    axes = [name for name in ("dataset", "model") if name in trials]
    if "repeat" not in trials:
        return {}
    num_cells = len(trials[axes].drop_duplicates())
    found: dict[str, list[float]] = {}
    for loss, rows in trials.groupby("loss", sort=True):
        values = rows.assign(value=rows[metric].astype(float))
        values["cell"] = values.groupby(axes)["value"].transform("mean")
        for _, repeat in values.groupby("repeat", sort=True):
            mean = float(repeat["value"].mean())
            if len(repeat) < num_cells:
                mean += means[str(loss)] - float(repeat["cell"].mean())
            found.setdefault(str(loss), []).append(mean)
    return found


def loss_kinds(sweep: RankedSweep) -> Mapping[str, LossKind]:
    """Returns by label whether a loss is single or a sum, from its name in the catalogue."""
    names = dict(
        zip(sweep.trials["loss"].astype(str), column(sweep.trials, "loss_name"), strict=True)
    )
    return {loss: _kind(str(names.get(loss) or loss)) for loss in sweep.grid.losses}


def _kind(name: str) -> LossKind:
    """Reads a name such as `iou+focal`, or a published one such as `IoUFocal`."""
    text = name.strip().lower()
    if digest_in(text):  # from a file of code, which is not imported here
        return "compound" if "+" in text else "single"
    if text in LOSSES or text in {entry.title.lower() for entry in LOSSES.values()}:
        return "single"
    if "+" in text or text in _compound_titles():
        return "compound"
    return "unknown"


def _compound_titles() -> set[str]:
    """Returns the titles of sums that are written without a plus sign."""
    components = [name for name in STUDY_LOSSES if "+" not in name]
    return {
        loss_title("+".join(parts)).lower()
        for size in (2, 3)
        for parts in itertools.permutations(components, size)
    }


@dataclass(frozen=True, kw_only=True)
class TunedPair:
    """A loss with default and with tuned parameters.

    Attributes:
        default: Label of the loss with default parameters.
        tuned: Label of the tuned one.
        default_mean: Mean over the blocks of the main podium; None without a trial.
        tuned_mean: Likewise.
        compared: The tuned loss against the default; None if there is no interval.
    """

    default: str
    tuned: str
    default_mean: float | None
    tuned_mean: float | None
    compared: PairCertainty | None


def tuned_pairs(sweep: RankedSweep, found: Statistics) -> tuple[TunedPair, ...]:
    """Returns every loss that the grid has with default and with tuned parameters, in its order."""
    labels = sweep.grid.losses
    means = sweep.main_podium.means
    return tuple(
        TunedPair(
            default=label,
            tuned=label + TUNED,
            default_mean=means.get(label),
            tuned_mean=means.get(label + TUNED),
            compared=found.pair(label + TUNED, label),
        )
        for label in labels
        if label + TUNED in labels
    )
