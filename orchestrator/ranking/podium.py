"""From a table of trials to the podium by dataset, by model, and both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from orchestrator.ranking.agreement import Agreement, UnitRanks, agreement_of, unit_ranks
from orchestrator.ranking.choices import Compare, TieRule
from orchestrator.ranking.coverage import Coverage, Grid, block_coverage
from orchestrator.ranking.metrics import Metric
from orchestrator.ranking.places import TIE_RULES, Placing, place, tie_rule
from orchestrator.ranking.racing import with_stand_ins
from orchestrator.ranking.results import Block, Podium, Points, Ranking, steps
from orchestrator.ranking.scores import Scores, gather, scores_of
from orchestrator.ranking.scores import block_means as means_by_block
from workers.contract import UserError

__all__ = ["Block", "Podium", "Points", "Ranking", "block_means", "listing", "mean", "rank"]


def rank(
    table: pd.DataFrame | Scores,
    *,
    metric: str | Metric = "dice",
    ties: str = "split",
    expected: Grid | Mapping[str, object] | int | None = None,
    compare: Compare = "available",
    provisional_below: float = 1.0,
    agreement: bool = True,
) -> Ranking:
    """Ranks the losses of a table within each dataset and within each model.

    A block's mean is the mean over the other axis of the mean over repeats, unrounded. Its 1st,
    2nd and 3rd loss get 3, 2 and 1 points, which are summed over the blocks (Jang and Ahn 2025,
    figure 2).

    Args:
        table: Columns dataset and/or model, loss, the metric; optionally repeat and status. A
            diverged row counts as the worst value; a loss none of whose trials finished in a block
            stands behind all others there and gets no points.
        metric: Column to rank by. Its name says whether higher or lower is better; for another
            name give the result of `metrics.metric_of`.
        ties: Who gets the points of tied places; any of `places.TIE_NAMES`.
        expected: The grid (or its document), or trials per cell; else the full product of what
            the table shows. Its order of losses is the one that the rule `order` goes by.
        compare: Which cells count in a block; see `scores.comparable_DML`.
        provisional_below: A podium with a smaller share of its expected trials is provisional.
        agreement: Whether to rank first and average then, too.

    Raises:
        UserError: The table, the tie rule or the grid document is not as described.
    """
    rule = tie_rule(ties)
    if not 0 <= provisional_below <= 1:
        msg = f"--provisional-below {provisional_below:g}: give a share between 0 and 1"
        raise UserError(msg)
    scores = with_stand_ins(scores_of(table, metric), expected)
    question = _Question(
        scores=scores,
        rule=rule,
        grid=Grid.covering(
            datasets=scores.datasets,
            models=scores.models,
            losses=scores.losses,
            num_repeats=scores.values_DMLR.shape[3],
            expected=expected,
        ),
        listed=listing(scores, expected),
        provisional_below=provisional_below,
        units=unit_ranks(scores) if agreement else None,
    )
    podiums = {axis: _podium(question, axis, compare) for axis in scores.axes}
    by_dataset, by_model = podiums.get("dataset"), podiums.get("model")
    return Ranking(
        measure=scores.measure,
        ties=rule,
        by_dataset=by_dataset,
        by_model=by_model,
        both=_both(question, by_dataset, by_model) if by_dataset and by_model else None,
        compare=compare,
        notes=(
            *filter(None, [question.grid.race]),
            *scores.notes,
            *_hole_notes(question, podiums, compare),
        ),
    )


def listing(
    scores: Scores, expected: Grid | Mapping[str, object] | int | None = None
) -> tuple[str, ...]:
    """Returns the losses in the order of the grid where there is one, else of the table."""
    if isinstance(expected, Mapping):
        expected = Grid.from_document(expected)
    known = expected.losses if isinstance(expected, Grid) else ()
    return tuple(dict.fromkeys((*known, *scores.listed)))


def block_means(table: pd.DataFrame, axis: str, metric: str) -> dict[str, dict[str, float]]:
    """Returns {block: {loss: mean over the other axis of the mean over repeats}}.

    Args:
        table: A checked table.
        axis: Column of the blocks.
        metric: Column to average.
    """
    scores = gather(table, metric)
    means, _ = means_by_block(scores, axis)
    return {
        block: {loss: scores.shown(value) for loss, value in _there(scores.losses, row).items()}
        for block, row in zip(scores.labels(axis), means, strict=True)
    }


def mean(values: Sequence[float]) -> float:
    """Returns the mean; the values are sorted first, so that their order never matters."""
    return float(np.mean(np.sort(np.asarray(values, dtype=float))))


def _there(losses: Sequence[str], row: np.ndarray) -> dict[str, float]:
    return {
        loss: float(value) for loss, value in zip(losses, row, strict=True) if not np.isnan(value)
    }


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is ranked, and how."""

    scores: Scores
    rule: TieRule
    grid: Grid
    listed: tuple[str, ...]
    provisional_below: float
    units: UnitRanks | None


def _podium(question: _Question, axis: str, compare: Compare) -> Podium:
    blocks, totals = _blocks(question, axis, compare)
    overall = {loss: _overall(blocks, loss) for loss in question.grid.losses}
    points = _standing(question.scores, totals[question.rule], overall)
    return Podium(
        axis=axis,
        measure=question.scores.measure,
        points=points,
        means={loss: overall[loss] for loss in points},
        blocks=blocks,
        coverage=Coverage(
            present=sum(block.coverage.present for block in blocks.values()),
            expected=sum(block.coverage.expected for block in blocks.values()),
        ),
        ties=question.rule,
        rule_points={
            each: _standing(question.scores, total, overall) for each, total in totals.items()
        },
        agreement=_agreement(question, (axis,), points),
        provisional_below=question.provisional_below,
    )


def _blocks(
    question: _Question, axis: str, compare: Compare
) -> tuple[dict[str, Block], dict[TieRule, dict[str, Fraction]]]:
    """Returns the blocks of one axis, and the points of every loss under every tie rule."""
    scores, grid = question.scores, question.grid
    means_BL, finished_BL = means_by_block(scores, axis, compare)
    present_B = scores.trained_DMLR.sum(axis={"dataset": (1, 2, 3), "model": (0, 2, 3)}[axis])
    row_of = {name: row for row, name in enumerate(scores.labels(axis))}
    blocks: dict[str, Block] = {}
    totals = {each: dict.fromkeys(grid.losses, Fraction(0)) for each in TIE_RULES}
    for name in grid.blocks(axis):
        row = row_of.get(name)
        means = {} if row is None else _there(scores.losses, means_BL[row])
        lost = [] if row is None else _without(scores.losses, finished_BL[row], means)
        for each in TIE_RULES:
            placing = place(means, ties=each, listed=question.listed, diverged=lost)
            for loss, points in placing.points.items():
                totals[each][loss] += points
            if each == question.rule:
                present = 0 if row is None else int(present_B[row])
                coverage = block_coverage(grid, axis, name, present)
                shown = {loss: scores.shown(mean) for loss, mean in means.items()}
                blocks[name] = _block(name, shown, placing, lost, coverage)
    return blocks, totals


def _both(question: _Question, by_dataset: Podium, by_model: Podium) -> Podium:
    """Returns the sum of two podiums; every trial counts once in its coverage."""
    parts = (by_dataset, by_model)
    overall: dict[str, float | None] = {}
    for loss in question.grid.losses:
        values = [value for part in parts if (value := part.means[loss]) is not None]
        overall[loss] = mean(values) if values else None
    totals = {
        each: {
            loss: sum((_exact(part.rule_points[each][loss]) for part in parts), start=Fraction(0))
            for loss in overall
        }
        for each in TIE_RULES
    }
    points = _standing(question.scores, totals[question.rule], overall)
    return Podium(
        axis="both",
        measure=question.scores.measure,
        points=points,
        means={loss: overall[loss] for loss in points},
        blocks={f"{part.axis} {name}": b for part in parts for name, b in part.blocks.items()},
        coverage=by_dataset.coverage,
        ties=question.rule,
        rule_points={
            each: _standing(question.scores, total, overall) for each, total in totals.items()
        },
        agreement=_agreement(question, ("dataset", "model"), points),
        provisional_below=question.provisional_below,
    )


def _agreement(question: _Question, axes: Sequence[str], points: Points) -> Agreement | None:
    if question.units is None:
        return None
    return agreement_of(
        question.scores, question.units, axes, points, question.rule, question.listed
    )


def _hole_notes(
    question: _Question, podiums: Mapping[str, Podium], compare: Compare
) -> tuple[str, ...]:
    """Says where losses are compared on different combinations, and what the common ones say."""
    present_DML = question.scores.present_DML
    uneven = present_DML.any(axis=2) & ~present_DML.all(axis=2)
    if len(podiums) < 2 or not uneven.any():
        return ()
    number = f"{int(uneven.sum())} of {int(present_DML.any(axis=2).sum())}"
    lacking = f"{number} dataset x model combinations lack a loss"
    if compare == "common":
        return (f"{lacking}; each block compares its losses only on those that all of them have.",)
    leaders = []
    for axis in podiums:
        _, totals = _blocks(question, axis, "common")
        names = steps({loss: _number(own) for loss, own in totals[question.rule].items()})[0]
        leaders.append(f"{' and '.join(sorted(names)) or 'no loss'} by {axis}")
    return (
        f"{lacking}, so means of different combinations are compared. On those that all losses "
        f"of a block have, the lead goes to {', '.join(leaders)} (--cells common).",
    )


def _block(
    name: str,
    means: Mapping[str, float],
    placing: Placing,
    diverged: Sequence[str],
    coverage: Coverage,
) -> Block:
    return Block(
        name=name,
        means={loss: means[loss] for loss in placing.order},
        order=placing.order,
        places={loss: placing.places[loss] for loss in placing.order},
        ranks={loss: placing.ranks[loss] for loss in placing.order},
        points={loss: _number(placing.points[loss]) for loss in placing.order},
        ties=placing.ties,
        diverged=tuple(diverged),
        coverage=coverage,
    )


def _without(
    losses: Sequence[str], finished_L: np.ndarray, means: Mapping[str, float]
) -> list[str]:
    return [
        loss
        for loss, finished in zip(losses, finished_L, strict=True)
        if loss in means and not finished
    ]


def _overall(blocks: Mapping[str, Block], loss: str) -> float | None:
    values = [block.means[loss] for block in blocks.values() if loss in block.means]
    return mean(values) if values else None


def _standing(
    scores: Scores, totals: Mapping[str, Fraction], overall: Mapping[str, float | None]
) -> dict[str, int | float]:
    """Returns the points, best first; equal points by mean (unheard losses last), then name."""

    def key(loss: str) -> tuple[Fraction, float, str]:
        value = overall[loss]
        # Rounded, so that the order of a summation never decides.
        return (
            -totals[loss],
            float("inf") if value is None else -round(scores.shown(value), 12),
            loss,
        )

    return {loss: _number(totals[loss]) for loss in sorted(totals, key=key)}


def _exact(points: float) -> Fraction:
    """Returns the fraction behind a number of points: halves, thirds and their sums."""
    return Fraction(points).limit_denominator(10**6)


def _number(points: Fraction) -> int | float:
    return points.numerator if points.denominator == 1 else float(points)
