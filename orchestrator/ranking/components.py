"""Half-widths of the intervals of a grid, from the components of the variance of its trials.

The score of a trial is the effect of its loss, plus effects of the loss with the dataset, with the
model, with both (the cell) and with the split, plus the noise of training. All formulas are for a
full grid; docs/ranking.md, "Plan the size of a grid", has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.stats import t

from orchestrator.ranking.choices import Estimand
from orchestrator.ranking.fixed import RepeatSquares, repeat_squares
from orchestrator.ranking.lending import LENT
from orchestrator.ranking.pairs import centred, effects, fill, strata, wild_losses
from orchestrator.ranking.scores import Scores, mean_over, paired_estimates
from orchestrator.ranking.tukey import studentized_range
from orchestrator.wording import list_text
from workers.contract import JSONValue


@dataclass(frozen=True, kw_only=True)
class Components:
    """Standard deviations of the effects of one loss, in units of the metric.

    With one model (dataset), `dataset` (`model`) includes the effect of the cell, and `cell` is 0.
    With one repeat, `dataset` includes the effect of the split, and `cell` the noise of training.

    Attributes:
        dataset: Loss x dataset; None if there is only one dataset.
        model: Loss x model; None if there is only one model.
        cell: Loss x dataset x model.
        split: Loss x split of a dataset, shared by its models; None with one repeat.
        training: One training; None with one repeat.
        source: Where the numbers come from, as part of a sentence.
    """

    dataset: float | None
    model: float | None
    cell: float
    split: float | None
    training: float | None
    source: str


ASSUMED = Components(
    dataset=0.0016,
    model=0.0027,
    cell=0.003,
    split=0.0,
    training=0.009,
    source="assumed: the size in Dice that fits the margins of the published tables",
)


@dataclass(frozen=True, kw_only=True)
class GridSize:
    """The axes of a grid; None for repeats without end."""

    num_datasets: int
    num_models: int
    num_losses: int
    num_repeats: int | None


@dataclass(frozen=True, kw_only=True)
class HalfWidth:
    """Half of the width of the interval of a difference between two losses.

    Attributes:
        pair: For one pair.
        all_pairs: For every pair, so that all intervals hold at the same time.
    """

    pair: float
    all_pairs: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The half-widths of one grid.

    Attributes:
        change: How the grid differs from the given one, such as `twice the repeats`.
        size: The axes of the grid.
        half_widths: By estimand; None if the components do not tell.
    """

    change: str
    size: GridSize
    half_widths: Mapping[Estimand, HalfWidth | None]


@dataclass(frozen=True, kw_only=True)
class Power:
    """What a grid, and larger ones, can tell apart.

    Attributes:
        components: The assumed or measured components.
        level: Coverage of the intervals.
        outlooks: The given grid first.
    """

    components: Components
    level: float
    outlooks: tuple[Outlook, ...]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns everything as plain JSON values."""
        return asdict(self)


def power(components: Components, size: GridSize, *, level: float = 0.95) -> Power:
    """Returns the half-widths of a grid, and of the same grid with more repeats or blocks.

    Args:
        components: See `measure` and `ASSUMED`.
        size: The given grid.
        level: Coverage of the intervals.
    """
    repeats = size.num_repeats or 1
    grids = {
        "this grid": size,
        "twice the repeats": replace(size, num_repeats=2 * repeats),
        "repeats without end": replace(size, num_repeats=None),
        "one more dataset": replace(size, num_datasets=size.num_datasets + 1),
        "one more model": replace(size, num_models=size.num_models + 1),
    }
    estimands = _estimands(size)
    return Power(
        components=components,
        level=level,
        outlooks=tuple(
            Outlook(
                change=change,
                size=grid,
                half_widths={
                    about: half_width(components, grid, about, level) for about in estimands
                },
            )
            for change, grid in grids.items()
        ),
    )


def _estimands(size: GridSize) -> tuple[Estimand, ...]:
    """Returns the widest estimand that the grid allows, and that of these datasets and models."""
    if size.num_datasets > 1:
        return ("other" if size.num_models > 1 else "other_datasets", "these")
    return ("other_networks", "these") if size.num_models > 1 else ("these",)


def half_width(
    components: Components, size: GridSize, about: Estimand, level: float
) -> HalfWidth | None:
    """Returns the expected half-width of the interval of a difference.

    None if the grid is too small for the estimand, if a component is needed and not known, or if
    every component is 0: nothing shows how much the differences vary.
    """
    deviations = (
        components.dataset, components.model, components.cell, components.split, components.training
    )  # fmt: skip
    if not any(deviations):
        return None
    found = _mean_variance(components, size, about)
    if found is None or size.num_losses < 2:
        return None
    variance, degrees = found
    if variance == 0:
        return HalfWidth(pair=0.0, all_pairs=0.0)
    all_degrees = degrees * (size.num_losses - 1)
    lent = min(min(LENT, all_degrees) + degrees, all_degrees)
    error = math.sqrt(2 * variance)
    tail = (1 - level) / 2
    q = float(studentized_range(size.num_losses).isf(2 * tail, np.array(lent)))
    return HalfWidth(pair=float(t.isf(tail, lent)) * error, all_pairs=q * error / math.sqrt(2))


def _mean_variance(
    components: Components, size: GridSize, about: Estimand
) -> tuple[float, float] | None:
    """Returns the variance of the mean of one loss over the grid, and its degrees of freedom."""
    num_datasets, num_models, repeats = size.num_datasets, size.num_models, size.num_repeats
    if (components.split is None or components.training is None) and repeats != 1:
        return None
    share = 0.0 if repeats is None else 1 / repeats
    split = (components.split or 0.0) ** 2 * share
    cell = components.cell**2 + (components.training or 0.0) ** 2 * share
    if about == "these":
        if repeats == 1:
            return None
        training = (components.training or 0.0) ** 2 * share
        degrees = math.inf if repeats is None else num_datasets * (repeats - 1)
        return (split + training / num_models) / num_datasets, degrees
    if about == "other_networks":
        if components.model is None or num_models < 2 or repeats == 1 or num_datasets > 1:
            return None
        degrees = num_models - 1 if repeats is None else min(num_models, repeats) - 1
        return split + (components.model**2 + cell) / num_models, degrees
    if components.dataset is None or num_datasets < 2:
        return None
    blocks = (components.dataset**2 + split + cell / num_models) / num_datasets
    if about == "other_datasets":
        return blocks, num_datasets - 1
    if components.model is None or num_models < 2 or about != "other":
        return None
    return blocks + components.model**2 / num_models, min(num_datasets, num_models) - 1


def grid_size(scores: Scores) -> GridSize:
    """Returns the axes of the grid that a table of trials belongs to."""
    expected = scores.expected
    return GridSize(
        num_datasets=max(len(expected.datasets), 1),
        num_models=max(len(expected.models), 1),
        num_losses=len(expected.losses),
        num_repeats=expected.num_repeats,
    )


def measure(scores: Scores, source: str) -> Components | None:
    """Returns the components by the mean squares of a full grid; negative estimates are 0.

    None if fewer than two losses have a finished trial.

    Args:
        scores: All trials. Diverged, missing and spared trials have the value of an additive fit,
            because a few diverged trials would decide every component.
        source: Where the numbers come from, as part of a sentence; losses that vary more than the
            others are left out and named in it.
    """
    values_DMLR, losses = _finished(scores)
    num_datasets, num_models, num_losses, _ = values_DMLR.shape
    if num_losses < 2:
        return None
    there_DMLR = ~np.isnan(values_DMLR)
    filled_DMLR = np.where(there_DMLR, values_DMLR, paired_estimates(values_DMLR, there_DMLR))
    means_DML = fill(mean_over(filled_DMLR, 3))
    if num_datasets * num_models > 1:
        # A loss that varies far more than the others would stand for all of them.
        kept_L = ~wild_losses(strata(centred(means_DML)))
        means_DML, values_DMLR = means_DML[:, :, kept_L], values_DMLR[:, :, kept_L]
        num_losses = int(kept_L.sum())
        left_out = [loss for loss, kept in zip(losses, kept_L, strict=True) if not kept]
        source += f" without {list_text(left_out)}" if left_out else ""
    found = repeat_squares(values_DMLR)
    split, training = _noise(found, num_models) if found.split_df else (None, None)
    num_trials_DML = (~np.isnan(values_DMLR)).sum(axis=3)
    share = float((1 / num_trials_DML[num_trials_DML > 0]).mean())
    of_split, of_training = (split or 0.0) * share, (training or 0.0) * share
    dataset_DL, model_ML, rest_DML = effects(centred(means_DML))
    free, rest = num_losses - 1, of_training
    if min(num_datasets, num_models) > 1:
        rest = float((rest_DML**2).sum()) / ((num_datasets - 1) * (num_models - 1) * free)
    dataset, model = None, None
    if num_datasets > 1:
        square = float((dataset_DL**2).sum()) / ((num_datasets - 1) * free)
        dataset = _deviation(square - rest / num_models - of_split)
    if num_models > 1:
        square = float((model_ML**2).sum()) / ((num_models - 1) * free)
        model = _deviation(square - rest / num_datasets)
    return Components(
        dataset=dataset,
        model=model,
        cell=_deviation(rest - of_training),
        split=None if split is None else math.sqrt(split),
        training=None if training is None else math.sqrt(training),
        source=source,
    )


def _finished(scores: Scores) -> tuple[np.ndarray, list[str]]:
    """Returns the values (D, M, L, R) of finished trials, NaN elsewhere, and the losses.

    A dataset, model or loss without any finished trial is left out.
    """
    finished = scores.finished_DMLR & scores.trained_DMLR
    kept = [np.flatnonzero(finished.any(axis=tuple({0, 1, 2, 3} - {axis}))) for axis in range(3)]
    where = np.ix_(*kept, np.arange(finished.shape[3]))
    values = np.where(finished[where], scores.values_DMLR[where], np.nan)
    return values, [scores.losses[position] for position in kept[2]]


def _noise(found: RepeatSquares, num_models: int) -> tuple[float, float]:
    """Returns the variance of the split and of training, for one loss."""
    of_split = found.split / found.split_df
    if num_models == 1:
        return 0.0, of_split
    training = found.training / found.training_df
    return max(0.0, (of_split - training) / num_models), training


def _deviation(variance: float) -> float:
    return math.sqrt(max(0.0, variance))
