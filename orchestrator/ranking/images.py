"""Scores of single test images from the stored counts: in SQL, and as arrays of paired scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workers.contract import UserError

UNIT_COLUMNS = ("dataset", "image", "unit")

_RATIOS: Mapping[str, tuple[str, str]] = {
    "dice": ("2 * tp", "2 * tp + fp + fn"),
    "iou": ("tp", "tp + fp + fn"),
    "recall": ("tp", "tp + fn"),
    "precision": ("tp", "tp + fp"),
}
"""Numerator and denominator, as in `workers.metrics.scores`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageScores:
    """The score of every test image, averaged over the models.

    Attributes:
        metric: The column of the trials whose mean these scores give.
        datasets: Labels, sorted.
        losses: Labels, sorted.
        scores_DLRN: For each dataset (L, R, N), for R repeats and N images that were tested at
            least once; NaN where an image is not in the test set of a repeat. The mean over the
            images of a repeat is the metric, averaged over the models.
        units_DN: For each dataset the unit of each image, as whole numbers.
        tested_per_trained_D: Test images per training image.
        notes: Sentences on trials that are not counted.
    """

    metric: str
    datasets: tuple[str, ...]
    losses: tuple[str, ...]
    scores_DLRN: tuple[np.ndarray, ...]
    units_DN: tuple[np.ndarray, ...]
    tested_per_trained_D: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def means_L(self) -> np.ndarray:
        """Mean of each loss over repeats, then datasets."""
        means = [np.nanmean(scores, axis=2).mean(axis=1) for scores in self.scores_DLRN]
        return np.asarray(np.mean(means, axis=0))

    @property
    def num_repeats(self) -> int:
        """Repeats of the dataset with the fewest."""
        return min(int(scores.shape[1]) for scores in self.scores_DLRN)

    @property
    def num_units(self) -> int:
        """Units of the dataset with the fewest."""
        return min(len(np.unique(units)) for units in self.units_DN)


def follows_from_counts(metric: str) -> bool:
    """Returns whether a metric can be computed from the counts of test images."""
    return metric.removesuffix("_pooled") in _RATIOS


def ratio_of(metric: str) -> tuple[str, str]:
    """Returns numerator and denominator of a metric in SQL, in columns tp, fp and fn."""
    return _RATIOS[metric.removesuffix("_pooled")]


def ratio_sql(top: str, bottom: str, wrong: str) -> str:
    """Returns a score in SQL; 0/0 is 1 without a wrong pixel and 0 otherwise."""
    return f"CASE {bottom} WHEN 0 THEN CAST({wrong} = 0 AS DOUBLE) ELSE ({top}) / ({bottom}) END"


def images_query(metric: str) -> str:
    """Returns the SQL statement of the paired scores of the test images; parameter `protocol`.

    One row per dataset, loss, repeat and test image: dataset, loss, repeat, image, `score` (mean
    over the models; an image of a diverged trial scores 0), `ratio` (test images per training
    image of the dataset), num_cells and num_kept: pairs of a cell and a repeat in the results, and
    those that are counted because every loss has a trial with its images.

    A pooled metric P = sum a / sum b is not a mean of images. The score of an image is then
    P + (a - P b) / mean b, whose mean is P and whose variance is that of P to first order.
    """
    top, bottom = ratio_of(metric)
    if metric.endswith("_pooled"):
        pooled = ratio_sql("all_top", "all_bottom", "all_wrong")
        score = (
            f"{pooled} + CASE all_bottom WHEN 0 THEN 0 "
            f"ELSE ({top} - {pooled} * ({bottom})) * num_images / all_bottom END"
        )
    else:
        score = ratio_sql(top, bottom, "fp + fn")
    return f"""
WITH ranked AS (
    SELECT trial_id, dataset, model, loss, repeat, status, num_train_images, num_test_images
    FROM trials WHERE protocol_id = $protocol
), tested AS (
    SELECT trial_id, count(*) AS num_images, sum({top}) AS all_top, sum({bottom}) AS all_bottom,
           sum(fp + fn) AS all_wrong
    FROM images GROUP BY trial_id
), cells AS (
    SELECT dataset, model, repeat,
           count(*) FILTER (status = 'diverged' OR num_images IS NOT NULL)
           = (SELECT count(DISTINCT loss) FROM ranked) AS kept
    FROM ranked LEFT JOIN tested USING (trial_id)
    GROUP BY dataset, model, repeat
), models AS (
    SELECT dataset, repeat, count(*) AS num_models FROM cells WHERE kept GROUP BY dataset, repeat
), ratios AS (
    SELECT dataset, avg(num_test_images / num_train_images) AS ratio FROM ranked GROUP BY dataset
)
SELECT dataset, loss, repeat, image, sum({score}) / any_value(num_models) AS score,
       any_value(ratio) AS ratio, (SELECT count(*) FROM cells) AS num_cells,
       (SELECT count(*) FROM cells WHERE kept) AS num_kept
FROM (SELECT trial_id, image, tp, fp, fn FROM images)
JOIN ranked USING (trial_id) JOIN tested USING (trial_id) JOIN ratios USING (dataset)
JOIN cells USING (dataset, model, repeat) JOIN models USING (dataset, repeat)
WHERE kept
GROUP BY dataset, loss, repeat, image
ORDER BY dataset, loss, repeat, image
"""


def image_scores(
    rows: pd.DataFrame, *, metric: str, losses: Sequence[str], units: pd.DataFrame | None = None
) -> ImageScores | None:
    """Returns the paired scores of the test images; None if no image can be counted.

    Args:
        rows: The rows of `images_query`.
        metric: Its metric.
        losses: Labels of the losses of these trials; a loss all of whose trials diverged has no
            rows.
        units: Columns dataset, image and unit: images of one patient or video, which are not
            independent. An image that is not in it is a unit of its own.

    Raises:
        UserError: `units` lacks a column, or names an image twice.
    """
    if rows.empty:
        return None
    units_of = {} if units is None else _units(units)
    datasets = tuple(sorted(rows["dataset"].unique()))
    losses = tuple(sorted(losses))
    scores: list[np.ndarray] = []
    units_DN: list[np.ndarray] = []
    ratios: list[float] = []
    for dataset in datasets:
        here = rows[rows["dataset"] == dataset]
        repeats, repeat_of = np.unique(here["repeat"].to_numpy(), return_inverse=True)
        image_of, images = pd.factorize(here["image"], sort=True)
        loss_of = pd.Categorical(here["loss"], categories=losses).codes
        scores_LRN = np.full((len(losses), len(repeats), len(images)), np.nan)
        scores_LRN[loss_of, repeat_of, image_of] = here["score"].to_numpy()
        # All trials of a loss in this repeat diverged: it has no images, and each counts 0.
        tested_RN = ~np.isnan(scores_LRN).all(axis=0)
        scores.append(np.where(np.isnan(scores_LRN) & tested_RN, 0.0, scores_LRN))
        # A text cannot equal the pair that names an image without a unit.
        names = [units_of.get((dataset, image), (dataset, image)) for image in images]
        units_DN.append(pd.factorize(pd.Series(names, dtype=object))[0])
        ratios.append(float(here["ratio"].iloc[0]))
    return ImageScores(
        metric=metric,
        datasets=datasets,
        losses=losses,
        scores_DLRN=tuple(scores),
        units_DN=tuple(units_DN),
        tested_per_trained_D=np.array(ratios),
        notes=_notes(int(rows["num_cells"].iloc[0]), int(rows["num_kept"].iloc[0])),
    )


def _units(units: pd.DataFrame) -> dict[tuple[str, str], object]:
    lacking = [column for column in UNIT_COLUMNS if column not in units]
    if lacking:
        msg = (
            f"units: no column {lacking[0]!r}; give the columns {', '.join(UNIT_COLUMNS)}, one row "
            "per image"
        )
        raise UserError(msg)
    doubled = units.duplicated(["dataset", "image"])
    if doubled.any():
        first = units[doubled].iloc[0]
        msg = (
            f"units: image {first['image']!r} of {first['dataset']!r} is in two rows; keep one of "
            "them"
        )
        raise UserError(msg)
    keys = zip(units["dataset"].astype(str), units["image"].astype(str), strict=True)
    return dict(zip(keys, units["unit"].astype(str), strict=True))


def _notes(num_cells: int, num_kept: int) -> tuple[str, ...]:
    if num_kept == num_cells:
        return ()
    return (
        f"Images of {num_kept:,} of {num_cells:,} pairs of a cell and a repeat are counted: in the "
        "others, a loss has no trial, or its images are missing.",
    )
