"""Test images with a sibling in training, and the podium without them, from the stored counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

import pandas as pd

from orchestrator.ranking.choices import TieRule
from orchestrator.ranking.coverage import Grid
from orchestrator.ranking.podium import rank
from orchestrator.ranking.results import Ranking
from orchestrator.ranking.table import is_diverged
from workers.contract import SiblingKind

MIN_IMAGES = 5
"""A trial with fewer test images without a sibling says nothing about its loss."""

KINDS: tuple[SiblingKind, ...] = tuple(k for k in get_args(SiblingKind) if k != "none")

_SCORES: Mapping[str, tuple[str, str]] = {
    "dice": ("2 * tp", "2 * tp + fp + fn"),
    "iou": ("tp", "tp + fp + fn"),
    "recall": ("tp", "tp + fn"),
    "precision": ("tp", "tp + fp"),
}
"""Numerator and denominator, as in `workers.metrics.scores`."""


def follows_from_counts(metric: str) -> bool:
    """Returns whether a metric can be computed from the counts of test images."""
    return metric.removesuffix("_pooled") in _SCORES


def siblings_query(metric: str) -> str:
    """Returns the statement that counts the test images of each trial by relation.

    One row per trial with test images: trial_id, num_images, num_known, num_group, num_similar,
    num_equal, num_clean, and `clean`: the metric over the images without a sibling, null where
    there is none or where the metric does not follow from counts.
    """
    counts = ", ".join(
        f"count(*) FILTER (train_sibling = '{kind}') AS num_{kind}" for kind in KINDS
    )
    return f"""
SELECT trial_id, count(*) AS num_images, count(train_sibling) AS num_known, {counts},
       count(*) FILTER (train_sibling = 'none') AS num_clean,
       {_clean(metric)} AS clean
FROM images
GROUP BY trial_id
ORDER BY trial_id
"""


def _clean(metric: str) -> str:
    name = metric.removesuffix("_pooled")
    if not follows_from_counts(metric):
        return "CAST(NULL AS DOUBLE)"
    top, bottom = _SCORES[name]
    only = "FILTER (train_sibling = 'none')"
    if name == metric:
        return f"avg({_ratio(top, bottom, 'fp + fn')}) {only}"
    sums = {count: f"(sum({count}) {only})" for count in ("tp", "fp", "fn")}
    return _ratio(_summed(top, sums), _summed(bottom, sums), _summed("fp + fn", sums))


def _ratio(top: str, bottom: str, wrong: str) -> str:
    """Returns a score; 0/0 is 1 without a wrong pixel, else 0."""
    return f"CASE {bottom} WHEN 0 THEN CAST({wrong} = 0 AS DOUBLE) ELSE ({top}) / ({bottom}) END"


def _summed(expression: str, sums: Mapping[str, str]) -> str:
    return " ".join(sums.get(word, word) for word in expression.split())


@dataclass(frozen=True, kw_only=True)
class DatasetSiblings:
    """The test images of one dataset; numbers are means over its repeats.

    Attributes:
        dataset: Label.
        num_images: Test images per repeat.
        num_siblings: Those with a sibling in training; None where older results do not say it.
        by_kind: The same by nearest relation.
        least_clean: Images without a sibling in the repeat that has fewest.
        counted: Whether the podium without siblings counts this dataset.
    """

    dataset: str
    num_images: float
    num_siblings: float | None
    by_kind: Mapping[SiblingKind, float]
    least_clean: int
    counted: bool

    @property
    def share(self) -> float | None:
        """Fraction of the test images that have a sibling in training."""
        return None if self.num_siblings is None else self.num_siblings / self.num_images


@dataclass(frozen=True, kw_only=True)
class Siblings:
    """What is known of siblings in training, and the ranking without them.

    Attributes:
        datasets: In the order of the grid; those without a finished trial are not there.
        ranking: Of the same trials without those test images, over the datasets that are counted;
            None if no image is left out, or nothing is left to rank.
    """

    datasets: tuple[DatasetSiblings, ...]
    ranking: Ranking | None

    @property
    def found(self) -> bool:
        """Whether any test image has a sibling in training."""
        return any(one.num_siblings for one in self.datasets)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Datasets of which some results do not say it."""
        return tuple(one.dataset for one in self.datasets if one.num_siblings is None)

    @property
    def left_out(self) -> tuple[DatasetSiblings, ...]:
        """Datasets with too few images left for the podium without siblings."""
        return tuple(
            one for one in self.datasets if one.num_siblings is not None and not one.counted
        )


def find_siblings(
    trials: pd.DataFrame, counted: pd.DataFrame, *, metric: str, ties: TieRule, grid: Grid
) -> Siblings:
    """Counts the test images with a sibling in training, and ranks without them.

    Args:
        trials: The ranked trials; columns trial_id, dataset, loss, the metric; optionally more.
        counted: The answer to `siblings_query` of the same metric.
        metric: The ranked column.
        ties: Who gets the points of tied places.
        grid: What was to be run.
    """
    if counted.empty or "trial_id" not in trials or "dataset" not in trials:
        return Siblings(datasets=(), ranking=None)
    joined = trials.merge(counted, on="trial_id", how="left")
    tested = joined[joined["num_images"].notna()]
    found = tuple(
        _of_dataset(dataset, rows)
        for dataset in grid.datasets
        if len(rows := tested[tested["dataset"] == dataset])
    )
    kept = [one.dataset for one in found if one.counted]
    if not any(one.num_siblings for one in found) or not kept or not follows_from_counts(metric):
        return Siblings(datasets=found, ranking=None)
    return Siblings(
        datasets=found,
        ranking=rank(
            _without_siblings(joined[joined["dataset"].isin(kept)], metric, list(trials.columns)),
            metric=metric,
            ties=ties,
            expected=replace(grid, datasets=tuple(kept)),
            agreement=False,
        ),
    )


def _of_dataset(dataset: str, tested: pd.DataFrame) -> DatasetSiblings:
    known = bool((tested["num_known"] == tested["num_images"]).all())
    key = tested["repeat"] if "repeat" in tested else [0] * len(tested)
    columns = ["num_images", "num_clean", *(f"num_{kind}" for kind in KINDS)]
    # All trials of a repeat share their split; a mean of means weighs repeats alike.
    means = tested.groupby(key)[columns].mean().mean()
    by_kind = {kind: float(means[f"num_{kind}"]) for kind in KINDS}
    least = int(tested["num_clean"].min())
    return DatasetSiblings(
        dataset=dataset,
        num_images=float(means["num_images"]),
        num_siblings=sum(by_kind.values()) if known else None,
        by_kind=by_kind,
        least_clean=least,
        counted=known and (least >= MIN_IMAGES or not any(by_kind.values())),
    )


def _without_siblings(joined: pd.DataFrame, metric: str, columns: list[str]) -> pd.DataFrame:
    """Returns the trials with their metric over the images without a sibling.

    A trial without any keeps its stored value to the last bit. A diverged one has no images.
    """
    same = (joined["num_clean"] == joined["num_images"]) | is_diverged(joined)
    return joined.assign(**{metric: joined[metric].where(same, joined["clean"])})[columns]
