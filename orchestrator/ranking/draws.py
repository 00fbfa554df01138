"""The draws behind the probabilities of one ranking: new sweeps, equal losses, and new repeats.

Names of arrays end in their axes: D datasets, M models, L losses, R repeats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from orchestrator.ranking.chances import NewSweeps, again_sweeps, chances, null_sweeps
from orchestrator.ranking.choices import Estimand
from orchestrator.ranking.divergence import Divergence
from orchestrator.ranking.estimands import cells_of
from orchestrator.ranking.pairs import fill
from orchestrator.ranking.scores import Scores, mean_over


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """Drawn sweeps; None if the estimand or the table does not allow them.

    Attributes:
        new: Sweeps of the same size with other datasets or networks.
        null: The same, with equal losses.
        again: The same datasets and networks with new repeats.
    """

    new: NewSweeps | None
    null: NewSweeps | None
    again: NewSweeps | None


def draw_sweeps(scores: Scores, about: Estimand, *, num_draws: int, seed: int) -> Draws:
    """Draws the sweeps; a random stream for each kind, so that one does not change the others.

    Args:
        scores: All trials; every loss has one.
        about: The estimand.
        num_draws: Sweeps of each kind.
        seed: Seed of the random numbers.
    """
    streams = [np.random.default_rng(entry) for entry in np.random.SeedSequence(seed).spawn(3)]
    new, null, again = None, None, None
    if about in ("other", "other_datasets", "other_networks"):
        x_DML = finished_cells(scores, about)
        divergence = _divergence(scores, x_DML, about)
        if about == "other_datasets":
            x_DML = x_DML.mean(axis=1, keepdims=True)
        new = chances(x_DML, num_draws=num_draws, random=streams[0], divergence=divergence)
        null = null_sweeps(x_DML, num_draws=num_draws, random=streams[1], divergence=divergence)
        if about == "other_networks":
            new, null = _one_dataset(new), _one_dataset(null)
    fine_DMLR = scores.trained_DMLR & scores.finished_DMLR
    if fine_DMLR.any(axis=(1, 2)).sum(axis=1).min() > 1:
        x_DML = finished_cells(scores, "these")
        again = again_sweeps(
            x_DML,
            np.where(fine_DMLR, scores.values_DMLR, np.nan),
            num_draws=num_draws,
            random=streams[2],
            divergence=_divergence(scores, x_DML, "these"),
        )
    return Draws(new=new, null=null, again=again)


def finished_cells(scores: Scores, about: Estimand) -> np.ndarray:
    """Returns the cells (D, M, L) of the trials that did not diverge, without gaps.

    A combination all of whose trials diverged has the mean of its cell; `fill` estimates those
    without a trial.
    """
    x_DML = cells_of(scores.finished_values_DMLR, about)
    tried_DML = ~np.isnan(cells_of(scores.values_DMLR, about))
    level_DM1 = mean_over(x_DML, 2)[..., None]
    return fill(np.where(np.isnan(x_DML) & tried_DML, level_DM1, x_DML))


def _divergence(scores: Scores, x_DML: np.ndarray, about: Estimand) -> Divergence | None:
    """Returns the diverged trials in the cells of the estimand; None if none diverged."""
    diverged_DMLR, trained_DMLR = scores.diverged_DMLR, scores.trained_DMLR
    if not diverged_DMLR.any():
        return None
    worst = float(scores.values_DMLR[diverged_DMLR].min())
    number_DML, trained_DML = diverged_DMLR.sum(axis=3), trained_DMLR.sum(axis=3)
    num_repeats = scores.values_DMLR.shape[3]
    level_DM = mean_over(cells_of(scores.finished_values_DMLR, about), 2)
    # A cell in which no trial finished has no level of its own.
    cost_DM = np.where(np.isnan(level_DM), np.nanmean(level_DM), x_DML.mean(axis=2)) - worst
    if about == "other_networks":
        number_DML = np.moveaxis(diverged_DMLR[0], 2, 0).astype(int)
        trained_DML = np.moveaxis(trained_DMLR[0], 2, 0).astype(int)
        num_repeats = 1
    if about == "other_datasets":
        num_repeats *= cost_DM.shape[1]
        number_DML = number_DML.sum(axis=1, keepdims=True)
        trained_DML = trained_DML.sum(axis=1, keepdims=True)
        cost_DM = cost_DM.mean(axis=1, keepdims=True)
    return Divergence(
        num_diverged_DML=number_DML,
        num_finished_DML=trained_DML,
        cost_DM=cost_DM,
        num_repeats=num_repeats,
    )


def _one_dataset(sweeps: NewSweeps) -> NewSweeps:
    """Returns the sweeps with one dataset, if the repeats stood in the place of datasets."""
    return replace(sweeps, dataset_KDL=sweeps.dataset_KDL.mean(axis=1, keepdims=True))
