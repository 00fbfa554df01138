"""Each loss over all datasets, models and repeats: the bars of the study's figure 2A."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.ranking.podium import rank
from orchestrator.report.data import Sweep, column
from workers.catalogue.losses import LOSSES, loss_title

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


def bar_metrics(sweep: Sweep) -> tuple[str, ...]:
    """Returns the metrics that every trial has; a metric of the user's own comes first."""
    known = [name for name in BAR_METRICS if name in sweep.trials]
    complete = [name for name in known if bool(sweep.trials[name].notna().all())]
    return tuple(complete if sweep.metric in complete else [sweep.metric, *complete])


def loss_means(sweep: Sweep, metric: str) -> list[LossMean]:
    """Returns one bar a loss that has a trial, the best first; equal ones by label."""
    ranking = (
        sweep.ranking
        if metric == sweep.metric
        else rank(sweep.trials, metric=metric, ties=sweep.ranking.ties, expected=sweep.grid)
    )
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


def _repeat_means(sweep: Sweep, metric: str, means: Mapping[str, float]) -> dict[str, list[float]]:
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


def loss_kinds(sweep: Sweep) -> Mapping[str, LossKind]:
    """Returns whether each loss is a sum of others, by its name in the catalogue."""
    names = dict(
        zip(sweep.trials["loss"].astype(str), column(sweep.trials, "loss_name"), strict=True)
    )
    return {loss: _kind(str(names.get(loss) or loss)) for loss in sweep.grid.losses}


def _kind(name: str) -> LossKind:
    """Reads a name such as `iou+focal`, or a published one such as `IoUFocal`."""
    text = name.strip().lower()
    if text in LOSSES or text in {entry.title.lower() for entry in LOSSES.values()}:
        return "single"
    if "+" in text or text in _compound_titles():
        return "compound"
    return "unknown"


def _compound_titles() -> set[str]:
    return {
        loss_title("+".join(parts)).lower()
        for size in (2, 3)
        for parts in itertools.permutations(LOSSES, size)
    }
