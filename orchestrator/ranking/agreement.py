"""The podium of ranking first and averaging then, and its agreement with the podium of means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from orchestrator.ranking.choices import TieRule
from orchestrator.ranking.places import points_of, shared_ranks
from orchestrator.ranking.scores import Scores, block_means, mean_over
from workers.contract import JSONValue


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Rank-then-aggregate, compared with the aggregate-then-rank of the study.

    Within each dataset x model x repeat, where all losses saw the same split, the losses are
    ranked by their trial. A block ranks the losses by the mean of these ranks (over repeats, then
    over the other axis) and gives 3, 2, 1 points.

    Attributes:
        points: Points of every loss by rank-then-aggregate, in the order of the podium.
        mean_ranks: Mean rank over all units, 1 is best; only losses with a trial.
        block_mean_ranks: Mean over the blocks of the rank of the block's mean, as in the study.
        kendall_tau: Tau-b between the points of the two methods; None if one has no order.
        kendall_tau_ranks: Tau-b between the two mean ranks; None if one has no order.
        concordance: Kendall's W of the ranks in the units, corrected for ties: 1 if every unit has
            the same order of the losses, near 0 if the orders have nothing in common. A description
            without a p-value, because units that share a dataset or a model are not independent.
        num_units: Dataset x model x repeat units that have every loss; only these are ranked.
        num_units_left_out: Units that lack a loss.
        refusal: Why the comparison is not possible; None if it is.
    """

    points: Mapping[str, float]
    mean_ranks: Mapping[str, float]
    block_mean_ranks: Mapping[str, float]
    kendall_tau: float | None
    kendall_tau_ranks: float | None
    concordance: float | None
    num_units: int
    num_units_left_out: int
    refusal: str | None = None

    def to_json(self) -> dict[str, JSONValue]:
        """Returns everything as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitRanks:
    """Ranks within the dataset x model x repeat units that have every loss.

    Attributes:
        means_DML: Mean over repeats of each loss's rank; NaN without a unit.
        concordance: Kendall's W of the ranks; None if no unit has an order.
        num_units: Units ranked.
        num_units_left_out: Units that lack a loss.
    """

    means_DML: np.ndarray
    concordance: float | None
    num_units: int
    num_units_left_out: int


def unit_ranks(scores: Scores) -> UnitRanks:
    """Ranks the losses within each unit."""
    present_DMLR = scores.present_DMLR
    complete_DMR = np.asarray(present_DMLR.all(axis=2))
    values_DMRL = np.moveaxis(scores.values_DMLR, 2, 3)
    finished_DMRL = np.moveaxis(scores.finished_DMLR, 2, 3)
    ranks_DMRL = np.full(values_DMRL.shape, np.nan)
    # A diverged trial is worse than a finished trial that scored 0.
    worst_last = np.where(finished_DMRL, values_DMRL, -np.inf)[complete_DMR]
    ranks_DMRL[complete_DMR] = shared_ranks(worst_last)
    num_units = int(complete_DMR.sum())
    return UnitRanks(
        means_DML=mean_over(ranks_DMRL, 2),
        concordance=concordance(ranks_DMRL[complete_DMR]),
        num_units=num_units,
        num_units_left_out=int(present_DMLR.any(axis=2).sum()) - num_units,
    )


def concordance(ranks_NL: np.ndarray) -> float | None:
    """Returns Kendall's W of the ranks of the losses in N units (Kendall and Smith 1939).

    The variance of the mean ranks over its value if every unit had the same order. Shared ranks
    make the latter smaller. None without a unit, or if every unit ranks all losses equally.
    """
    if not len(ranks_NL):
        return None
    largest = float(ranks_NL.var(axis=1).mean())
    return float(ranks_NL.mean(axis=0).var()) / largest if largest else None


def agreement_of(
    scores: Scores,
    units: UnitRanks,
    axes: Sequence[str],
    points: Mapping[str, float],
    ties: TieRule,
) -> Agreement:
    """Returns the rank-then-aggregate podium and its agreement with the study's.

    Args:
        scores: All trials.
        units: Their ranks.
        axes: `dataset`, `model`, or both: the axes whose points are summed.
        points: The study's points of every loss, the best first.
        ties: Tie rule within a block.
    """
    if len(scores.losses) < 2 or not units.num_units:
        reason = (
            "there is only one loss"
            if len(scores.losses) < 2
            else "no dataset x model x repeat has a trial of every loss"
        )
        return Agreement(
            points={},
            mean_ranks={},
            block_mean_ranks={},
            kendall_tau=None,
            kendall_tau_ranks=None,
            concordance=None,
            num_units=units.num_units,
            num_units_left_out=units.num_units_left_out,
            refusal=f"Rank-then-aggregate is not possible: {reason}.",
        )
    ranks_DML = units.means_DML
    totals = np.zeros(len(scores.losses))
    block_ranks = []
    for axis in axes:
        rank_BL = mean_over(ranks_DML, {"dataset": 1, "model": 0}[axis])
        means_BL, finished_BL = block_means(scores, axis)
        counted_BL = np.where(finished_BL, -rank_BL, np.nan)
        totals += points_of(counted_BL, ties=ties, listed=scores.listed_positions).sum(axis=0)
        lost_BL = ~finished_BL & ~np.isnan(means_BL)
        block_ranks.append(shared_ranks(np.where(lost_BL, -np.inf, means_BL)))
    unit_rank_L = mean_over(ranks_DML, (0, 1))
    block_rank_L = mean_over(np.concatenate(block_ranks), 0)
    here = dict(zip(scores.losses, totals, strict=True))
    study = [points[loss] for loss in scores.losses]
    return Agreement(
        points={loss: round(float(here.get(loss, 0.0)), 9) for loss in points},
        mean_ranks=_named(scores.losses, unit_rank_L),
        block_mean_ranks=_named(scores.losses, block_rank_L),
        kendall_tau=_tau(study, np.round(totals, 9)),
        kendall_tau_ranks=_tau(np.round(block_rank_L, 9), np.round(unit_rank_L, 9)),
        concordance=units.concordance,
        num_units=units.num_units,
        num_units_left_out=units.num_units_left_out,
    )


def _named(losses: Sequence[str], ranks: np.ndarray) -> dict[str, float]:
    return {loss: float(rank) for loss, rank in zip(losses, ranks, strict=True)}


def _tau(one: Sequence[float] | np.ndarray, other: np.ndarray) -> float | None:
    if len(set(map(float, one))) < 2 or len(set(map(float, other))) < 2:
        return None
    return float(stats.kendalltau(one, other).statistic)
