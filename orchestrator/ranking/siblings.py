"""Test images with a sibling in training, and the podium without them, from the stored counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

import pandas as pd

from orchestrator.ranking.choices import TieRule
from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.images import follows_from_counts, ratio_of, ratio_sql
from orchestrator.ranking.podium import Ranking
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import scores_of
from orchestrator.ranking.table import TrialTable
from workers.contract import SiblingKind

MIN_IMAGES = 5
"""With fewer test images without a sibling, a trial is not ranked without siblings."""

KINDS: tuple[SiblingKind, ...] = tuple(k for k in get_args(SiblingKind) if k != "none")


def siblings_query(metric: str) -> str:
    """Returns the SQL statement that counts the test images of each trial by kind of sibling.

    One row per trial with test images: trial_id, num_images, num_known, num_group, num_similar,
    num_equal, num_clean, and `clean`: the metric over the images without a sibling; null if there
    is no such image, or if the metric does not follow from counts.
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
    top, bottom = ratio_of(metric)
    only = "FILTER (train_sibling = 'none')"
    if name == metric:
        return f"avg({ratio_sql(top, bottom, 'fp + fn')}) {only}"
    sums = {count: f"(sum({count}) {only})" for count in ("tp", "fp", "fn")}
    return ratio_sql(_summed(top, sums), _summed(bottom, sums), _summed("fp + fn", sums))


def _summed(expression: str, sums: Mapping[str, str]) -> str:
    return " ".join(sums.get(word, word) for word in expression.split())


@dataclass(frozen=True, kw_only=True)
class DatasetSiblings:
    """The test images of one dataset; numbers are means over its repeats.

    Attributes:
        dataset: Label.
        num_images: Test images per repeat.
        num_siblings: Images with a sibling in training; None if older results do not record it.
        by_kind: The same by the kind of the nearest sibling.
        least_clean: Images without a sibling in the repeat with the fewest of them.
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
class SiblingEffect:
    """Numbers of test images with a sibling in training, and the ranking without these images.

    Attributes:
        datasets: In the order of the grid; only datasets with a finished trial.
        ranking: Of the same trials without those test images, over the datasets that are counted;
            None if no image has a sibling, or no dataset has enough other images.
    """

    datasets: tuple[DatasetSiblings, ...]
    ranking: Ranking | None

    @property
    def found(self) -> bool:
        """Whether any test image has a sibling in training."""
        return any(one.num_siblings for one in self.datasets)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Datasets with results that do not record siblings."""
        return tuple(one.dataset for one in self.datasets if one.num_siblings is None)

    @property
    def left_out(self) -> tuple[DatasetSiblings, ...]:
        """Datasets with too few images left for the podium without siblings."""
        return tuple(
            one for one in self.datasets if one.num_siblings is not None and not one.counted
        )


def find_siblings(
    table: TrialTable, counts: pd.DataFrame, *, ties: TieRule, expected: ExpectedTrials
) -> SiblingEffect:
    """Counts the test images with a sibling in training, and ranks without them.

    Args:
        table: The ranked trials.
        counts: The rows of `siblings_query` for the same metric; may be empty.
        ties: Tie rule of the ranking.
        expected: The trials of the grid.
    """
    rows, metric = table.rows, table.metric.name
    if counts.empty or "trial_id" not in rows or "dataset" not in rows:
        return SiblingEffect(datasets=(), ranking=None)
    joined = rows.merge(counts, on="trial_id", how="left")
    tested = joined[joined["num_images"].notna()]
    found = tuple(
        _of_dataset(dataset, images)
        for dataset in expected.datasets
        if len(images := tested[tested["dataset"] == dataset])
    )
    kept = [one.dataset for one in found if one.counted]
    if not any(one.num_siblings for one in found) or not kept or not follows_from_counts(metric):
        return SiblingEffect(datasets=found, ranking=None)
    # A trial without siblings keeps its stored value to the last bit; a diverged one has no images.
    same = (joined["num_clean"] == joined["num_images"]) | table.diverged
    joined[metric] = joined[metric].where(same, joined["clean"])
    ranked = joined["dataset"].isin(kept) & joined[metric].notna()
    clean = replace(table, rows=joined.loc[ranked, list(rows.columns)])
    scores = scores_of(clean, replace(expected, datasets=tuple(kept)))
    return SiblingEffect(datasets=found, ranking=rank(scores, ties=ties, agreement=False))


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
