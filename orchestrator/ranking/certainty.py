"""How certain a ranking of losses is: intervals and tests of pairs, and draws of new sweeps.

docs/ranking.md has the formulas. Names of arrays end in their axes: D datasets, M models, L losses,
R repeats, K draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, get_args

import numpy as np

from orchestrator.ranking.chances import NewSweeps, peculiar
from orchestrator.ranking.choices import ESTIMANDS, Compare, Estimand, PodiumAxis, TieRule
from orchestrator.ranking.draws import Draws, draw_sweeps, finished_cells
from orchestrator.ranking.estimands import cells_of, choose, option_of
from orchestrator.ranking.fixed import corrected_se, fixed_se, image_se
from orchestrator.ranking.images import ImageScores
from orchestrator.ranking.lending import PairErrors
from orchestrator.ranking.pairs import (
    DIGITS,
    Levels,
    PairCertainty,
    compare_pairs,
    fill,
    pair_se,
    tie_group,
)
from orchestrator.ranking.places import TIE_TOLERANCE
from orchestrator.ranking.podium import Ranking
from orchestrator.ranking.podium_chances import (
    PodiumCertainty,
    chances_of_places,
    drawn_points,
    loss_certainties,
    null_points,
    places_of,
)
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import Scores
from orchestrator.wording import count_text
from workers.contract import UserError

NUM_DRAWS_LIMITS = (100, 100_000)


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """What can be said about the losses, or the reason why nothing can.

    Attributes:
        estimand: What all intervals, tests and the group are about.
        metric: The ranked column.
        ties: Tie rule of the points.
        level: Coverage of the intervals.
        alpha: Level of the tests.
        margin: Differences up to this count as equivalent in practice.
        num_draws: Sweeps drawn of each kind; 0 if none were, or if the trials allow no draws.
        seed: Seed of the random numbers.
        pairs: Every pair once, by the means of the losses, the better loss first.
        p_all_equal: p-value of the hypothesis that all losses are equal: the smallest of the pairs.
        group: Losses that cannot be told apart from the best, by mean; the truly best one is among
            them with probability 1 - alpha or more.
        worse: The other losses, by mean.
        p_best: Probability of each loss to be truly the best, by mean; empty without draws, and for
            the estimands `these` and `images`.
        best_set: The smallest set of losses with `level` of that probability.
        wild: Losses that vary more over datasets and networks than the others.
        far: Losses whose mean is an outlier.
        num_diverged: Diverged trials by loss, without the losses that have none.
        podiums: By axis, those that the table has.
        if_missing: The same if diverged trials were missing, without draws; None if none diverged,
            and for the estimand `images`.
        refusal: Why nothing can be said, and what can be said instead; None if there is no reason.
        notes: Sentences on how the numbers were computed and what they do not include.
        draws: Place of each loss in each drawn new sweep, (K, losses in the order of the podium),
            by axis; not part of the JSON.
    """

    estimand: Estimand
    metric: str
    ties: TieRule
    level: float
    alpha: float
    margin: float
    num_draws: int
    seed: int
    pairs: tuple[PairCertainty, ...] = ()
    p_all_equal: float | None = None
    group: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    p_best: Mapping[str, float] = field(default_factory=dict)
    best_set: tuple[str, ...] = ()
    wild: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    num_diverged: Mapping[str, int] = field(default_factory=dict)
    podiums: Mapping[PodiumAxis, PodiumCertainty] = field(default_factory=dict)
    if_missing: Certainty | None = None
    refusal: str | None = None
    notes: tuple[str, ...] = ()
    draws: Mapping[PodiumAxis, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the draws as plain JSON values."""
        document = asdict(replace(self, draws={}, if_missing=None))
        del document["draws"]
        document["if_missing"] = self.if_missing.to_json() if self.if_missing else None
        return document


def certainty(
    scores: Scores,
    *,
    about: Estimand | None = None,
    ties: TieRule = "split",
    compare: Compare = "available",
    num_draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    alpha: float = 0.05,
    margin: float = 0.005,
    images: ImageScores | None = None,
) -> Certainty:
    """Returns what can be said about the losses for certain, and how probable a podium is.

    Args:
        scores: All trials.
        about: The estimand; None for the first of `choices.ESTIMANDS` for which the sweep is large
            enough.
        ties: See `rank`.
        compare: Which cells count for the points of the data; means always use all cells, with an
            estimate where a loss has no trial.
        num_draws: Sweeps to draw; 0 for none, and no probabilities.
        seed: The same seed gives the same result.
        level: Coverage of the intervals.
        alpha: Level of the tests.
        margin: Differences up to this count as equivalent in practice, in units of the metric.
        images: Scores of single test images, for the estimand `images`.

    Raises:
        UserError: An argument is out of its range.
    """
    _check(about, num_draws, seed, Levels(level=level, alpha=alpha, margin=margin))
    tried = _with_trials(scores)
    estimand, refusal = about or "other", _nothing(tried)
    if refusal is None:
        estimand, refusal = choose(tried, about, images)
    empty = Certainty(
        estimand=estimand,
        metric=scores.metric,
        ties=ties,
        level=level,
        alpha=alpha,
        margin=margin,
        num_draws=0 if refusal else num_draws,
        seed=seed,
        num_diverged=_num_diverged(scores),
        refusal=refusal,
    )
    if refusal:
        return empty
    found = _compared(empty, tried, images)
    if found.refusal:
        return found
    if found.num_diverged and estimand != "images":
        as_missing = replace(scores, values_DMLR=scores.finished_values_DMLR)
        found = replace(
            found,
            if_missing=certainty(
                as_missing,
                about=estimand,
                ties=ties,
                compare=compare,
                num_draws=0,
                seed=seed,
                level=level,
                alpha=alpha,
                margin=margin,
                images=images,
            ),
        )
    ranking = rank(scores, ties=ties, compare=compare, agreement=False)
    return _with_podiums(found, tried, ranking)


def _check(about: str | None, num_draws: int, seed: int, levels: Levels) -> None:
    low, high = NUM_DRAWS_LIMITS
    if num_draws and not low <= num_draws <= high:
        msg = f"--draws {num_draws}: draw from {low:,} to {high:,} sweeps, or 0 for none"
        raise UserError(msg)
    if not 0.5 <= levels.level < 1:
        msg = f"--level {levels.level:g}: give a fraction from 0.5 to below 1, such as 0.95"
        raise UserError(msg)
    if not 0 < levels.alpha <= 0.5:
        msg = f"--alpha {levels.alpha:g}: give a fraction from above 0 to 0.5, such as 0.05"
        raise UserError(msg)
    if not 0 <= levels.margin < float("inf"):
        msg = f"--margin {levels.margin:g}: give 0 or a positive difference, such as 0.005"
        raise UserError(msg)
    if seed < 0:
        msg = f"--seed {seed}: give a whole number from 0 up"
        raise UserError(msg)
    if about is not None and about not in ESTIMANDS:
        names = ", ".join(name.replace("_", "-") for name in ESTIMANDS)
        msg = f"--about {about}: no such estimand; known: {names}"
        raise UserError(msg)


def _with_trials(scores: Scores) -> Scores:
    """Returns the scores without losses that have no trial."""
    tried_L = scores.present_DMLR.any(axis=(0, 1, 3))
    if tried_L.all():
        return scores
    return replace(
        scores,
        losses=tuple(np.array(scores.losses, dtype=object)[tried_L]),
        values_DMLR=scores.values_DMLR[:, :, tried_L],
        finished_DMLR=scores.finished_DMLR[:, :, tried_L],
        spared_DMLR=scores.spared_DMLR[:, :, tried_L],
    )


def _nothing(scores: Scores) -> str | None:
    if not scores.finished_DMLR.any():
        return "Nothing can be said: no trial finished."
    if len(scores.losses) < 2:
        return "Nothing can be said: there is only one loss."
    return None


def _num_diverged(scores: Scores) -> dict[str, int]:
    number_L = scores.diverged_DMLR.sum(axis=(0, 1, 3)).tolist()
    return {loss: n for loss, n in zip(scores.losses, number_L, strict=True) if n}


def _compared(empty: Certainty, scores: Scores, images: ImageScores | None) -> Certainty:
    """Returns the certainty with its pairs and groups."""
    mean_L, errors, corrected, notes = _errors(scores, empty.estimand, images)
    apart = ~np.eye(len(mean_L), dtype=bool)
    if not (errors.se_LL[apart] > TIE_TOLERANCE).any():
        refusal = (
            "No interval and no test is possible: the differences between the losses are the same "
            "everywhere, so nothing shows how much they vary."
        )
        return replace(empty, num_draws=0, refusal=refusal)
    levels = Levels(level=empty.level, alpha=empty.alpha, margin=empty.margin)
    pairs = compare_pairs(scores, mean_L, errors, levels, corrected)
    best_L = tie_group(np.round(mean_L[:, None] - mean_L, DIGITS), errors, empty.alpha)
    far_L = wild_L = np.zeros(len(mean_L), dtype=bool)
    if empty.estimand not in ("these", "images"):
        x_DML = finished_cells(scores, empty.estimand)
        far_L, wild_L = peculiar(_pooled_models(x_DML, empty.estimand))
    by_mean = np.argsort(-np.round(mean_L, DIGITS), kind="stable")
    return replace(
        empty,
        pairs=pairs,
        p_all_equal=min(pair.p_tukey for pair in pairs if pair.p_tukey is not None),
        group=tuple(scores.losses[position] for position in by_mean if best_L[position]),
        worse=tuple(scores.losses[position] for position in by_mean if not best_L[position]),
        wild=tuple(np.array(scores.losses, dtype=object)[wild_L]),
        far=tuple(np.array(scores.losses, dtype=object)[far_L]),
        notes=notes,
    )


def _errors(
    scores: Scores, about: Estimand, images: ImageScores | None
) -> tuple[np.ndarray, PairErrors, PairErrors | None, tuple[str, ...]]:
    """Returns the mean of each loss, the errors of their differences, corrected ones, and notes."""
    if about == "images" and images is not None:
        positions = [images.losses.index(loss) for loss in scores.losses]
        scores_DLRN = [scores_LRN[positions] for scores_LRN in images.scores_DLRN]
        if images.num_repeats > 1:
            corrected = corrected_se(scores_DLRN, images.tested_per_trained_D)
            notes = images.notes
        else:
            corrected = None
            notes = (*images.notes, "One repeat does not show the noise of training.")
        return (
            images.means_L[positions],
            image_se(scores_DLRN, images.units_DN),
            corrected,
            notes,
        )
    cells_DML = cells_of(scores.values_DMLR, about)
    x_DML = fill(cells_DML)
    mean_L = x_DML.mean(axis=(0, 1))
    gaps = int(np.isnan(cells_DML).sum())
    notes = ()
    if gaps:
        notes = (
            f"{count_text(gaps, 'combination')} of {cells_DML.size:,} without a trial "
            f"{'has' if gaps == 1 else 'have'} an estimate from the other losses and cells. The "
            "differences use the estimates, and the printed means do not.",
        )
    if about == "these":
        trained = np.where(scores.trained_DMLR, scores.values_DMLR, np.nan)
        return mean_L, fixed_se(trained), None, notes
    return mean_L, pair_se(_pooled_models(x_DML, about)), None, notes


def _pooled_models(x_DML: np.ndarray, about: Estimand) -> np.ndarray:
    """Returns the cells, as their mean over the models if these are the only ones of interest."""
    return x_DML.mean(axis=1, keepdims=True) if about == "other_datasets" else x_DML


def _with_podiums(found: Certainty, scores: Scores, ranking: Ranking) -> Certainty:
    """Returns the certainty with its probabilities and podiums."""
    drawn = Draws(new=None, null=None, again=None)
    if found.num_draws:
        drawn = draw_sweeps(scores, found.estimand, num_draws=found.num_draws, seed=found.seed)
    if all(sweeps is None for sweeps in vars(drawn).values()):
        found = replace(found, num_draws=0)
    podiums: dict[PodiumAxis, PodiumCertainty] = {}
    draws: dict[PodiumAxis, np.ndarray] = {}
    axes: tuple[PodiumAxis, ...] = get_args(PodiumAxis)
    for axis in axes:
        podium = ranking.podium(axis)
        if podium is None:
            continue
        points: dict[str, np.ndarray | None] = {}
        refusal = _podium_refusal(found.estimand, scores, axis)
        for name, sweeps in vars(drawn).items():
            blocks = None if sweeps is None else _blocks(sweeps, axis)
            if name == "null" and blocks and min(block.shape[1] for block in blocks) < 2:
                blocks = None
            if blocks is None or (refusal and name != "again"):
                points[name] = None
            else:
                points[name] = drawn_points(scores, blocks, found.ties)
        null_KL, new_KL = points["null"], points["new"]
        podiums[axis] = PodiumCertainty(
            axis=axis,
            losses=loss_certainties(
                scores, podium, points_KL=new_KL, again_KL=points["again"], level=found.level
            ),
            null=None if null_KL is None else null_points(null_KL.max(axis=1), podium, found.level),
            refusal=refusal,
        )
        if new_KL is not None:
            order = [scores.losses.index(entry.loss) for entry in podiums[axis].losses]
            draws[axis] = places_of(new_KL)[:, order]
    found = replace(found, podiums=podiums, draws=draws)
    return found if drawn.new is None else _with_best(found, scores, drawn.new)


def _podium_refusal(about: Estimand, scores: Scores, axis: PodiumAxis) -> str | None:
    if about in ("these", "images"):
        refusal = f"No chances of a new sweep: the certainty is about {ESTIMANDS[about]}"
    elif about == "other_datasets" and axis != "dataset" and len(scores.models) > 1:
        refusal = f"With {ESTIMANDS[about]} only the podium by dataset has chances"
    else:
        return None
    wider, obstacle = choose(scores, None, None)
    possible = obstacle is None and wider != "these"
    return f"{refusal} (possible: {option_of(wider)})." if possible else f"{refusal}."


def _blocks(sweeps: NewSweeps, axis: PodiumAxis) -> list[np.ndarray]:
    """Returns the block means (K, B, L) of one axis or both."""
    blocks = {"dataset": sweeps.dataset_KDL, "model": sweeps.model_KML}
    return list(blocks.values()) if axis == "both" else [blocks[axis]]


def _with_best(found: Certainty, scores: Scores, new: NewSweeps) -> Certainty:
    best_L = chances_of_places(new.true_KL, 1)
    names = [*found.group, *found.worse]
    p_best = {loss: float(best_L[scores.losses.index(loss)]) for loss in names}
    best_set: list[str] = []
    for loss in sorted(names, key=lambda loss: -p_best[loss]):
        if sum(p_best[each] for each in best_set) >= found.level - TIE_TOLERANCE:
            break
        best_set.append(loss)
    return replace(found, p_best=p_best, best_set=tuple(best_set))
