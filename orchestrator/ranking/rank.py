"""From the scores of all trials to the podium by dataset, by model, and both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from orchestrator.ranking.agreement import Agreement, UnitRanks, agreement_of, unit_ranks
from orchestrator.ranking.choices import Compare, PodiumAxis, TieRule
from orchestrator.ranking.coverage import Coverage
from orchestrator.ranking.places import TIE_RULES, Placing, place_losses
from orchestrator.ranking.podium import Block, Podium, Points, Ranking, steps
from orchestrator.ranking.scores import Scores, block_means
from workers.contract import UserError


def rank(
    scores: Scores,
    *,
    ties: TieRule = "split",
    compare: Compare = "available",
    provisional_below: float = 1.0,
    agreement: bool = True,
) -> Ranking:
    """Ranks the losses within each dataset and within each model.

    A block's mean is the mean over the other axis of the mean over repeats, unrounded. Its 1st,
    2nd and 3rd loss get 3, 2 and 1 points, which are summed over the blocks (Jang and Ahn 2025,
    figure 2). A loss none of whose trials finished in a block stands behind all other losses there
    and gets no points.

    Args:
        scores: All trials.
        ties: Tie rule within a block.
        compare: Which cells count in a block; see `scores.comparable_DML`.
        provisional_below: A podium with a smaller fraction of its expected trials is provisional.
        agreement: Whether to rank first and average then, too.

    Raises:
        UserError: `provisional_below` is no fraction.
    """
    if not 0 <= provisional_below <= 1:
        msg = f"--provisional-below {provisional_below:g}: give a fraction between 0 and 1"
        raise UserError(msg)
    inputs = _Inputs(
        scores=scores,
        ties=ties,
        compare=compare,
        provisional_below=provisional_below,
        units=unit_ranks(scores) if agreement else None,
    )
    podiums = {axis: _podium(inputs, axis) for axis in scores.axes}
    by_dataset, by_model = podiums.get("dataset"), podiums.get("model")
    return Ranking(
        measure=scores.measure,
        ties=ties,
        by_dataset=by_dataset,
        by_model=by_model,
        both=_both(inputs, by_dataset, by_model) if by_dataset and by_model else None,
        compare=compare,
        notes=(*filter(None, [scores.expected.race]), *scores.notes, *_missing_notes(inputs)),
    )


def means_by_block(scores: Scores, axis: str) -> dict[str, dict[str, float]]:
    """Returns {block: {loss: mean over the other axis of the mean over repeats}}."""
    means_BL, _ = block_means(scores, axis)
    return {
        block: {loss: scores.shown(value) for loss, value in _named(scores.losses, row).items()}
        for block, row in zip(scores.labels(axis), means_BL, strict=True)
    }


def mean(values: Sequence[float]) -> float:
    """Returns the mean; the values are sorted first, so that their order never matters."""
    return float(np.mean(np.sort(np.asarray(values, dtype=float))))


def _named(losses: Sequence[str], row_L: np.ndarray) -> dict[str, float]:
    """Returns the value of each loss that has one."""
    return {
        loss: float(value) for loss, value in zip(losses, row_L, strict=True) if not np.isnan(value)
    }


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """The checked arguments of `rank`; `units` is None if no agreement is wanted."""

    scores: Scores
    ties: TieRule
    compare: Compare
    provisional_below: float
    units: UnitRanks | None


def _podium(inputs: _Inputs, axis: PodiumAxis) -> Podium:
    blocks, totals = _blocks(inputs, axis)
    overall = {loss: _overall(blocks, loss) for loss in inputs.scores.expected.losses}
    points = _standing(inputs.scores, totals[inputs.ties], overall)
    return Podium(
        axis=axis,
        measure=inputs.scores.measure,
        points=points,
        means={loss: overall[loss] for loss in points},
        blocks=blocks,
        coverage=Coverage(
            present=sum(block.coverage.present for block in blocks.values()),
            expected=sum(block.coverage.expected for block in blocks.values()),
        ),
        ties=inputs.ties,
        rule_points={
            rule: _standing(inputs.scores, total, overall) for rule, total in totals.items()
        },
        agreement=_agreement(inputs, (axis,), points),
        provisional_below=inputs.provisional_below,
    )


def _blocks(
    inputs: _Inputs, axis: str
) -> tuple[dict[str, Block], dict[TieRule, dict[str, Fraction]]]:
    """Returns the blocks of one axis, and the points of every loss under every tie rule."""
    scores, expected = inputs.scores, inputs.scores.expected
    means_BL, finished_BL = block_means(scores, axis, inputs.compare)
    present_B = scores.trained_DMLR.sum(axis={"dataset": (1, 2, 3), "model": (0, 2, 3)}[axis])
    row_of = {name: row for row, name in enumerate(scores.labels(axis))}
    blocks: dict[str, Block] = {}
    totals = {rule: dict.fromkeys(expected.losses, Fraction(0)) for rule in TIE_RULES}
    for name in expected.blocks(axis):
        row = row_of.get(name)
        means = {} if row is None else _named(scores.losses, means_BL[row])
        diverged = [] if row is None else _diverged(scores.losses, finished_BL[row], means)
        for rule in TIE_RULES:
            placing = place_losses(means, ties=rule, listed=scores.listed, diverged=diverged)
            for loss, points in placing.points.items():
                totals[rule][loss] += points
            if rule == inputs.ties:
                coverage = Coverage(
                    present=0 if row is None else int(present_B[row]),
                    expected=expected.num_expected(**{axis: name}),
                )
                shown = {loss: scores.shown(mean) for loss, mean in means.items()}
                blocks[name] = _block(name, shown, placing, diverged, coverage)
    return blocks, totals


def _both(inputs: _Inputs, by_dataset: Podium, by_model: Podium) -> Podium:
    """Returns the sum of two podiums; every trial counts once in its coverage."""
    podiums = (by_dataset, by_model)
    overall: dict[str, float | None] = {}
    for loss in inputs.scores.expected.losses:
        values = [value for podium in podiums if (value := podium.means[loss]) is not None]
        overall[loss] = mean(values) if values else None
    totals = {
        rule: {
            loss: sum(
                (_exact(podium.rule_points[rule][loss]) for podium in podiums), start=Fraction(0)
            )
            for loss in overall
        }
        for rule in TIE_RULES
    }
    points = _standing(inputs.scores, totals[inputs.ties], overall)
    return Podium(
        axis="both",
        measure=inputs.scores.measure,
        points=points,
        means={loss: overall[loss] for loss in points},
        blocks={
            f"{podium.axis} {name}": block
            for podium in podiums
            for name, block in podium.blocks.items()
        },
        coverage=by_dataset.coverage,
        ties=inputs.ties,
        rule_points={
            rule: _standing(inputs.scores, total, overall) for rule, total in totals.items()
        },
        agreement=_agreement(inputs, ("dataset", "model"), points),
        provisional_below=inputs.provisional_below,
    )


def _agreement(inputs: _Inputs, axes: Sequence[str], points: Points) -> Agreement | None:
    if inputs.units is None:
        return None
    return agreement_of(inputs.scores, inputs.units, axes, points, inputs.ties)


def _missing_notes(inputs: _Inputs) -> tuple[str, ...]:
    """Returns a note if losses are compared on different cells, with the leaders on the common."""
    scores = inputs.scores
    present_DML = scores.present_DML
    uneven = present_DML.any(axis=2) & ~present_DML.all(axis=2)
    if len(scores.axes) < 2 or not uneven.any():
        return ()
    number = f"{int(uneven.sum())} of {int(present_DML.any(axis=2).sum())}"
    lacking = f"{number} cells (dataset x model) lack a loss"
    if inputs.compare == "common":
        return (f"{lacking}; each block compares its losses only on cells that all of them have.",)
    leaders = []
    for axis in scores.axes:
        _, totals = _blocks(replace(inputs, compare="common"), axis)
        names = steps({loss: _number(points) for loss, points in totals[inputs.ties].items()})[0]
        leaders.append(f"{' and '.join(sorted(names)) or 'no loss'} by {axis}")
    return (
        f"{lacking}, so means over different cells are compared. On the cells that all losses "
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


def _diverged(
    losses: Sequence[str], finished_L: np.ndarray, means: Mapping[str, float]
) -> list[str]:
    """Returns the losses with trials here, of which none finished."""
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
    """Returns the points, the best first; equal points by mean, then name; no mean is last."""

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
