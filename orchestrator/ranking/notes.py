"""Sentences on how a table was read: what a reader of the podium must know about it."""

from __future__ import annotations

import pandas as pd

from orchestrator.ranking.metrics import Metric, in_percent

MEAN_RULE = "mean over the other axis of the mean over repeats"
"""Equals the mean over all trials where every cell has equally many."""


def reading_notes(checked: pd.DataFrame, metric: Metric) -> tuple[str, ...]:
    """Returns the notes on a checked table."""
    return (
        *_direction(checked, metric),
        *checked.attrs.get("left_out", ()),
        *_unequal_repeats(checked),
        *_diverged(checked, metric.name),
        *_data_states(checked),
        *_percent(checked, metric),
    )


def _unequal_repeats(checked: pd.DataFrame) -> list[str]:
    key = [name for name in ("dataset", "model", "loss") if name in checked]
    sizes = checked.groupby(key, sort=False, observed=True).size()
    if sizes.nunique() == 1:
        return []
    return [
        f"Combinations have from {sizes.min()} to {sizes.max()} repeats: each block's mean is "
        f"the {MEAN_RULE}."
    ]


def _diverged(checked: pd.DataFrame, metric: str) -> list[str]:
    if "status" not in checked:
        return []
    diverged = checked["status"] == "diverged"
    if not diverged.any():
        return []
    number = int(diverged.sum())
    worst = float(checked.loc[diverged, metric].iloc[0])
    return [f"{number} diverged {'trial' if number == 1 else 'trials'} counted as {worst:g}."]


def _data_states(checked: pd.DataFrame) -> list[str]:
    if not {"dataset", "dataset_fingerprint"} <= set(checked.columns):
        return []
    states = checked.groupby("dataset", sort=True, observed=True)["dataset_fingerprint"].nunique()
    return [
        f"The trials of {dataset} saw {number} different states of its data: they are not "
        "comparable."
        for dataset, number in states.items()
        if number > 1
    ]


def _direction(checked: pd.DataFrame, metric: Metric) -> list[str]:
    """Says which direction is better for a column that no store has."""
    if not metric.stated:
        return []
    values = checked[metric.name]
    worse = "higher" if metric.lower_is_better else "lower"
    text = (
        f"{metric.name}: {metric.stated}. A {worse} value is a worse one; the values go from "
        f"{values.min():g} to {values.max():g}."
    )
    if not metric.told:
        text += " Its name is not known: add --lower-is-better where lower is better."
    if not metric.bounded:
        text += " Differences and a margin are in its units."
    return [text]


def _percent(checked: pd.DataFrame, metric: Metric) -> list[str]:
    if not metric.bounded or not in_percent(checked[metric.name].to_numpy(dtype=float)):
        return []
    highest = float(checked[metric.name].max())
    return [
        f"{metric.name} reaches {highest:g}, so it is taken for a percentage: the points are the "
        "same, but a margin and every difference are in these units too (0.005 becomes 0.5)."
    ]
