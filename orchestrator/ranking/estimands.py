"""What a table of trials allows to say: the estimands, their tables of cells, and their refusals.

Names of arrays end in their axes: D datasets, M models, L losses, R repeats.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import mannwhitneyu

from orchestrator.ranking.choices import ESTIMANDS, Estimand
from orchestrator.ranking.images import ImageScores
from orchestrator.ranking.scores import Scores, mean_over
from orchestrator.wording import percent_text

MAX_GAPS = 0.2
"""Largest fraction of combinations without a trial for which intervals were simulated."""
GAPS_ALPHA = 0.01
"""Level, over all losses, of the test that the cells that a loss lacks are the hard ones."""


def choose(
    scores: Scores, about: Estimand | None, images: ImageScores | None
) -> tuple[Estimand, str | None]:
    """Returns the estimand, and why nothing can be said about it; None if it can.

    Args:
        scores: All trials, of at least two losses.
        about: The wanted estimand; None for the first for which the sweep is large
            enough.
        images: Scores of single test images, for the estimand `images`.
    """
    obstacles = {each: _obstacle(scores, each, images) for each in ESTIMANDS}
    possible = [each for each in ESTIMANDS if obstacles[each] is None]
    fitting = [each for each in ESTIMANDS if each != "images" and not _too_small(scores, each)]
    order: tuple[Estimand, ...] = (*fitting, *possible, "these")
    wanted = about or order[0]
    obstacle = obstacles[wanted]
    if obstacle is None:
        return wanted, None
    refusal = f"Nothing can be said about {ESTIMANDS[wanted]}: {obstacle}."
    if possible:
        refusal += f" Possible: {ESTIMANDS[possible[0]]} ({option_of(possible[0])})."
    return wanted, refusal


def option_of(about: Estimand) -> str:
    """Returns the option of `podium rank` that chooses an estimand."""
    return f"--about {about.replace('_', '-')}"


def cells_of(values_DMLR: np.ndarray, about: Estimand) -> np.ndarray:
    """Returns the cells (D, M, L) whose differences the estimand is about, NaN in gaps.

    For other networks, the repeats of the one dataset take the place of datasets.
    """
    if about == "other_networks":
        return np.moveaxis(values_DMLR[0], 2, 0)
    return mean_over(values_DMLR, 3)


def _obstacle(scores: Scores, about: Estimand, images: ImageScores | None) -> str | None:
    small = _too_small(scores, about)
    if small:
        return small
    if about == "images":
        if images is None:
            return "there are no scores of single test images for this metric"
        if images.num_units < 2:
            return "a dataset has only one test image, or one unit of them"
        if images.metric != scores.metric:
            return (
                f"the scores of single images are of {images.metric}, not of {scores.metric}; read "
                "them for the ranked metric"
            )
        strange = [name for name in images.datasets if name not in scores.datasets]
        if strange:
            return (
                f"no trial is of dataset {strange[0]}, of which there are scores of images; read "
                "both from the same results"
            )
        lacking = [loss for loss in scores.losses if loss not in images.losses]
        return f"no image of {lacking[0]} is counted" if lacking else None
    if about == "these":
        return None if scores.present_DML.all() else "a combination has no trial"
    return _gaps_obstacle(scores, cells_of(scores.values_DMLR, about))


def _too_small(scores: Scores, about: Estimand) -> str | None:
    """Returns what the sweep has too few of, as a clause."""
    num_datasets, num_models, _, _ = scores.values_DMLR.shape
    num_repeats = int(scores.trained_DMLR.any(axis=(1, 2)).sum(axis=1).min())
    have = {"dataset": num_datasets, "model": num_models, "repeat": num_repeats}
    needs = {
        "other": ("dataset", "model"),
        "other_datasets": ("dataset",),
        "other_networks": ("model", "repeat"),
        "these": ("repeat",),
        "images": (),
    }[about]
    lacking = [axis for axis in needs if have[axis] < 2]
    if lacking:
        return f"this needs two {' and two '.join(f'{axis}s' for axis in lacking)} or more"
    if about == "other_networks" and num_datasets > 1:
        return "this is defined for one dataset"
    return None


def _gaps_obstacle(scores: Scores, cells_DML: np.ndarray) -> str | None:
    """Returns why the missing cells cannot be estimated.

    A loss must have a trial in every dataset and model, and the cells that it lacks must not be
    harder than those that it has (one-sided rank-sum test at 0.01 over all losses).
    """
    gaps_DML = np.isnan(cells_DML)
    fraction = gaps_DML.mean()
    if fraction == 0:
        return None
    if fraction > MAX_GAPS:
        return (
            f"{percent_text(fraction, 0)} of the combinations have no trial, and at most "
            f"{percent_text(MAX_GAPS, 0)} may"
        )
    if min(cells_DML.shape[:2]) > 1:
        models = [f"model {name}" for name in scores.models]
        rows = [f"dataset {name}" for name in scores.datasets]
        if len(rows) == 1:  # `cells_of` has the repeats in the place of datasets
            rows = [f"repeat {number}" for number in range(len(cells_DML))]
        for axis, named in enumerate((models, rows)):
            whole_BL = gaps_DML.all(axis=axis)
            if whole_BL.any():
                block, loss = np.argwhere(whole_BL)[0]
                return f"{scores.losses[loss]} has no trial of {named[block]}"
    level_DM = mean_over(cells_DML, 2)
    lacking_L = gaps_DML.any(axis=(0, 1))
    for position in np.flatnonzero(lacking_L):
        gap_DM = gaps_DML[..., position]
        missed = level_DM[gap_DM & ~np.isnan(level_DM)]
        if not len(missed):
            continue
        test = mannwhitneyu(missed, level_DM[~gap_DM], alternative="less")
        if test.pvalue < GAPS_ALPHA / lacking_L.sum():
            return f"the combinations that {scores.losses[position]} lacks are the hard ones"
    return None
