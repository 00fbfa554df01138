"""Friedman, Nemenyi and Wilcoxon with Holm over dataset x model blocks, or why not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from orchestrator.ranking.places import shared_ranks
from orchestrator.ranking.scores import Scores, mean_over
from workers.contract import UserError

DIGITS = 12
"""Decimals of a difference that count; fewer by those before the point where values go beyond 1."""
MAX_EXACT = 50
"""Up to this many differing blocks the p-value is exact; beyond, a normal approximation."""
MIN_BLOCKS = 5
"""With fewer blocks the chi-squared approximation of Friedman's test is useless."""
TRUSTED_BLOCKS = 10
"""Up to this many blocks the p-value of Friedman's test is rough (Demsar 2006, section 3.2.2)."""


@dataclass(frozen=True, kw_only=True)
class WilcoxonPair:
    """Wilcoxon's signed-rank test of two losses over the blocks, two-sided.

    Attributes:
        first: Label; the one with the better mean rank.
        second: Label.
        p: Unadjusted.
        p_holm: Adjusted for all pairs (Holm 1979).
        significant: Whether p_holm is at most alpha.
    """

    first: str
    second: str
    p: float
    p_holm: float
    significant: bool


def holm_impossible(num_blocks: int, num_losses: int, alpha: float) -> str | None:
    """Returns why no pair can ever be significant; None if a pair can be.

    The smallest two-sided p-value that N blocks can give is 2^(1-N); Holm compares the smallest of
    m = k (k - 1) / 2 p-values with alpha / m.
    """
    smallest = 2.0 ** (1 - num_blocks)
    num_pairs = num_losses * (num_losses - 1) // 2
    threshold = alpha / num_pairs
    if smallest <= threshold:
        return None
    return (
        f"Wilcoxon with Holm can never be significant here: {num_blocks} blocks give a p-value of "
        f"{smallest:.2g} at best, and the first threshold for {num_pairs} pairs of {num_losses} "
        f"losses is {threshold:.2g}."
    )


def wilcoxon_holm(
    values_NL: np.ndarray, losses: Sequence[str], alpha: float
) -> tuple[WilcoxonPair, ...]:
    """Tests every pair of losses over the same blocks.

    Args:
        values_NL: Value of each loss in each block; -inf where none of its trials finished.
        losses: Their names; in each pair the one listed first is `first`.
        alpha: Level after adjustment.
    """
    pairs = list(combinations(range(len(losses)), 2))
    p = np.array([_wilcoxon(values_NL[:, one], values_NL[:, other]) for one, other in pairs])
    adjusted = holm(p)
    return tuple(
        WilcoxonPair(
            first=losses[one],
            second=losses[other],
            p=float(p[number]),
            p_holm=float(adjusted[number]),
            significant=bool(adjusted[number] <= alpha),
        )
        for number, (one, other) in enumerate(pairs)
    )


def holm(p_P: np.ndarray) -> np.ndarray:
    """Returns p-values adjusted by Holm's step-down method (Holm 1979)."""
    order = np.argsort(p_P, kind="stable")
    factors = np.arange(len(p_P), 0, -1)
    stepped = np.minimum(np.maximum.accumulate(p_P[order] * factors), 1.0)
    adjusted = np.empty_like(stepped)
    adjusted[order] = stepped
    return adjusted


def _wilcoxon(one_N: np.ndarray, other_N: np.ndarray) -> float:
    """Returns the two-sided p-value; blocks where both are equal are dropped (Wilcoxon 1945)."""
    # An unfinished cell is worse than any finished value, by more than their range.
    lost = np.isneginf(one_N) | np.isneginf(other_N)
    finite = np.concatenate([one_N[np.isfinite(one_N)], other_N[np.isfinite(other_N)]])
    floor = 2 * finite.min(initial=0.0) - finite.max(initial=0.0) if lost.any() else 0.0
    differences = _settled(
        np.where(np.isneginf(one_N), floor, one_N) - np.where(np.isneginf(other_N), floor, other_N),
        size=float(np.abs(finite).max(initial=1.0)),
    )
    differences = differences[differences != 0]
    if len(differences) > MAX_EXACT:
        return float(stats.wilcoxon(differences, method="asymptotic").pvalue)
    return exact_signed_rank(differences)


def _settled(differences_N: np.ndarray, size: float) -> np.ndarray:
    """Removes the rounding error of the subtraction: 0.82 - 0.8 must equal 0.32 - 0.3."""
    return np.round(differences_N, DIGITS - math.ceil(math.log10(size)))


def exact_signed_rank(differences_N: np.ndarray) -> float:
    """Returns the two-sided p-value of differences other than 0, exact with equal sizes too.

    Under the null hypothesis each sign is positive with probability 1/2, so the sum of the positive
    ranks is that of a random subset; its distribution is built rank by rank. With ties, scipy tries
    every subset instead, which takes seconds for a pair.
    """
    # Twice the ranks, because ranks of equal sizes can be halves.
    ranks_N = np.round(2 * stats.rankdata(np.abs(differences_N))).astype(int)
    shares = np.zeros(ranks_N.sum() + 1)
    shares[0] = 1.0
    for rank in ranks_N:
        shares[rank:] = (shares[rank:] + shares[: len(shares) - rank]) / 2
        shares[:rank] /= 2
    positive = int(ranks_N[differences_N > 0].sum())
    tails = shares[: positive + 1].sum(), shares[positive:].sum()
    return min(1.0, 2 * float(min(tails)))


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """Test whether the losses differ at all (Friedman 1937; Demsar 2006, section 3.2.2).

    Attributes:
        statistic: Chi-squared, corrected for ties.
        p: Its p-value with num_losses - 1 degrees of freedom.
        iman_davenport_statistic: The less conservative F of Iman and Davenport (1980); None if
            every block has the same order.
        iman_davenport_p: Its p-value; 0 if every block has the same order.
        concordance: Kendall's W: 0 is no agreement of the blocks, 1 the same order in each.
        num_blocks: Dataset x model blocks that have every loss; repeats are averaged.
        num_losses: Losses compared.
    """

    statistic: float
    p: float
    iman_davenport_statistic: float | None
    iman_davenport_p: float
    concordance: float
    num_blocks: int
    num_losses: int


@dataclass(frozen=True, kw_only=True)
class CriticalDifference:
    """Contents of a critical-difference diagram (Nemenyi 1963; Demsar 2006, section 3.2.2).

    Attributes:
        difference: Mean ranks further apart than this differ significantly.
        mean_ranks: Mean rank of each loss over the blocks, the best (lowest) first.
        groups: Largest sets of neighbours not significantly different, each in that order; a loss
            that differs from all others is in none.
        alpha: Level of the test.
        num_blocks: As in `Friedman`.
    """

    difference: float
    mean_ranks: Mapping[str, float]
    groups: tuple[tuple[str, ...], ...]
    alpha: float
    num_blocks: int


@dataclass(frozen=True, kw_only=True)
class Significance:
    """All tests; a test that is not possible is None or empty, with a sentence in `refusals`.

    Attributes:
        metric: The compared column.
        alpha: Level of every test.
        losses: Losses compared, in the order of mean ranks.
        num_blocks: Blocks that have every loss; the tests use these.
        num_blocks_left_out: Blocks that lack a loss.
        friedman: None with too few blocks or losses.
        critical_difference: None with too few blocks or losses.
        wilcoxon: Every pair; empty if no number of blocks this small can be significant.
        refusals: Why a test is missing, one sentence each.
        notes: Sentences on what to keep in mind.
    """

    metric: str
    alpha: float
    losses: tuple[str, ...]
    num_blocks: int
    num_blocks_left_out: int
    friedman: Friedman | None
    critical_difference: CriticalDifference | None
    wilcoxon: tuple[WilcoxonPair, ...]
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns everything as plain JSON values."""
        return asdict(self)


def significance(scores: Scores, *, alpha: float = 0.05) -> Significance:
    """Tests whether the losses differ over dataset x model blocks; repeats are averaged.

    Only blocks that have every loss count. Repeats are never separate blocks: they share data,
    model and protocol, so they are not independent.

    Args:
        scores: All trials.
        alpha: Level of every test.

    Raises:
        UserError: `alpha` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        msg = f"--alpha {alpha:g}: give a fraction between 0 and 1, such as 0.05"
        raise UserError(msg)
    values_NL, left_out = complete_blocks(scores)
    num_blocks, num_losses = values_NL.shape
    ranks_NL = shared_ranks(values_NL)
    order = _by_mean_rank(ranks_NL, scores.losses) if num_blocks else list(range(num_losses))
    losses = tuple(scores.losses[column] for column in order)
    ranks_NL, values_NL = ranks_NL[:, order], values_NL[:, order]
    if not scores.finished_DMLR.any():
        num_blocks = 0
    refusals = _too_little(num_blocks, num_losses, left_out)
    enough = not refusals
    if enough and num_losses < 3:
        refusals.append("Friedman's test needs three losses; there are two.")
    impossible = holm_impossible(num_blocks, num_losses, alpha) if enough else None
    if impossible:
        refusals.append(impossible)
    return Significance(
        metric=scores.metric,
        alpha=alpha,
        losses=losses,
        num_blocks=num_blocks,
        num_blocks_left_out=left_out,
        friedman=friedman(ranks_NL) if enough and num_losses >= 3 else None,
        critical_difference=nemenyi(ranks_NL, losses, alpha) if enough else None,
        wilcoxon=wilcoxon_holm(values_NL, losses, alpha) if enough and not impossible else (),
        refusals=tuple(refusals),
        notes=_notes(num_blocks, left_out) if enough else (),
    )


def complete_blocks(scores: Scores) -> tuple[np.ndarray, int]:
    """Returns the means (N blocks, L) of the blocks with every loss, and the number of others.

    A combination none of whose trials finished has -inf, which is worse than any finished one.
    """
    means_DML = mean_over(scores.values_DMLR, 3)
    lost_DML = scores.present_DML & ~scores.finished_DML
    means_NL = np.where(lost_DML, -np.inf, means_DML).reshape(-1, len(scores.losses))
    complete_N = ~np.isnan(means_NL).any(axis=1)
    tried_N = ~np.isnan(means_NL).all(axis=1)
    return means_NL[complete_N], int((tried_N & ~complete_N).sum())


def friedman(ranks_NL: np.ndarray) -> Friedman:
    """Returns Friedman's test on ranks within blocks, ties corrected as scipy does."""
    num_blocks, num_losses = ranks_NL.shape
    if not (ranks_NL != ranks_NL[:, :1]).any():
        # Every loss is equal in every block: no evidence of any difference.
        statistic, p = 0.0, 1.0
    else:
        result = stats.friedmanchisquare(*ranks_NL.T)
        statistic, p = float(result.statistic), float(result.pvalue)
    highest = num_blocks * (num_losses - 1)
    rest = highest - statistic
    free = num_losses - 1
    f = None if rest <= 1e-9 * highest else (num_blocks - 1) * statistic / rest
    return Friedman(
        statistic=statistic,
        p=p,
        iman_davenport_statistic=f,
        iman_davenport_p=0.0 if f is None else float(stats.f.sf(f, free, free * (num_blocks - 1))),
        concordance=statistic / highest,
        num_blocks=num_blocks,
        num_losses=num_losses,
    )


def nemenyi(ranks_NL: np.ndarray, losses: Sequence[str], alpha: float) -> CriticalDifference:
    """Returns the critical difference of Nemenyi's test, and the groups that it cannot separate.

    CD = q sqrt(k (k + 1) / (6 N)), where q is the studentised range for k losses and infinite
    degrees of freedom, divided by sqrt(2) (Demsar 2006, equation 6 and table 5).
    """
    num_blocks = len(ranks_NL)
    difference = critical_difference(len(losses), num_blocks, alpha)
    means = {loss: float(rank) for loss, rank in zip(losses, ranks_NL.mean(axis=0), strict=True)}
    return CriticalDifference(
        difference=difference,
        mean_ranks=means,
        groups=_groups(means, difference),
        alpha=alpha,
        num_blocks=num_blocks,
    )


def critical_difference(num_losses: int, num_blocks: int, alpha: float) -> float:
    """Returns the critical difference of mean ranks; see `nemenyi`."""
    q = float(stats.studentized_range.ppf(1 - alpha, num_losses, np.inf)) / math.sqrt(2)
    return q * math.sqrt(num_losses * (num_losses + 1) / (6 * num_blocks))


def _by_mean_rank(ranks_NL: np.ndarray, losses: Sequence[str]) -> list[int]:
    means = np.round(ranks_NL.mean(axis=0), 12)
    return sorted(range(len(losses)), key=lambda column: (means[column], losses[column]))


def _groups(means: Mapping[str, float], difference: float) -> tuple[tuple[str, ...], ...]:
    """Returns the largest runs of neighbours whose ends are at most the difference apart."""
    names = list(means)
    groups: list[tuple[str, ...]] = []
    covered = 0
    for start, first in enumerate(names):
        end = start
        while end < len(names) and means[names[end]] - means[first] <= difference:
            end += 1
        if end - start > 1 and end > covered:
            groups.append(tuple(names[start:end]))
            covered = end
    return tuple(groups)


def _too_little(num_blocks: int, num_losses: int, left_out: int) -> list[str]:
    if num_losses < 2:
        return ["No test is possible: there is only one loss."]
    if not num_blocks and not left_out:
        return ["No test is possible: no trial finished."]
    if num_blocks < MIN_BLOCKS:
        blocks = "1 block" if num_blocks == 1 else f"{num_blocks} blocks"
        lacking = f" ({left_out} more lack a loss)" if left_out else ""
        return [
            f"No test is possible: {blocks} of dataset x model with every loss{lacking}, "
            f"and a test needs at least {MIN_BLOCKS}."
        ]
    return []


def _notes(num_blocks: int, left_out: int) -> tuple[str, ...]:
    notes = []
    if num_blocks <= TRUSTED_BLOCKS:
        notes.append(
            f"With {num_blocks} blocks the p-value of Friedman's test is rough: "
            f"it needs more than {TRUSTED_BLOCKS}."
        )
    if left_out:
        notes.append(f"{left_out} dataset x model blocks lack a loss and are not used.")
    notes.append(
        "Blocks that share a dataset or a model are not independent, so p-values are too small."
    )
    return tuple(notes)
