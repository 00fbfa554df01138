"""The samples of the bootstrap: datasets, models and repeats drawn with replacement.

A sample draws D datasets and M models, the same for every loss. For each drawn dataset it draws
repeats, the same for all models and losses, because a repeat of a dataset is one random split that
all of them share. Names of arrays end in their axes: B samples, K drawn datasets, D datasets,
M models, L losses, R repeats, P pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from orchestrator.ranking.choices import Compare, TieRule
from orchestrator.ranking.places import points_of
from orchestrator.ranking.scores import Scores, comparable_DML, mean_over

CHUNK_BYTES = 64 * 2**20
"""Size of one chunk's cell means; a few arrays of this size exist at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """One chunk of samples.

    Attributes:
        datasets_BK: Index of each drawn dataset.
        weights_BM: How often each model was drawn.
        cells_BKML: Mean over the drawn repeats; 0 where there is no trial at all.
    """

    datasets_BK: np.ndarray
    weights_BM: np.ndarray
    cells_BKML: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The results of all samples.

    Attributes:
        points_BL: Points of each loss, by axis `dataset` and `model`.
        differences_BP: Mean of the first loss of a pair minus mean of the second.
    """

    points_BL: dict[str, np.ndarray]
    differences_BP: np.ndarray


def resample(
    scores: Scores,
    *,
    axes: Collection[str],
    num_samples: int,
    seed: int,
    ties: TieRule,
    compare: Compare,
    pairs: np.ndarray,
) -> Samples:
    """Draws the samples and ranks each of them as `rank` ranks the data.

    Args:
        scores: All trials.
        axes: Which of `dataset`, `model` and `repeat` are drawn; the others stay fixed.
        num_samples: B.
        seed: The same seed gives the same samples.
        ties: Tie rule within a block.
        compare: Which cells count in a block.
        pairs: (2, P) positions of the losses to compare.
    """
    counted = {axis: comparable_DML(scores, axis, compare) for axis in scores.axes}
    points: dict[str, list[np.ndarray]] = {axis: [] for axis in counted}
    differences: list[np.ndarray] = []
    for draw in _draws(scores, axes, num_samples, seed):
        for axis, counted_DML in counted.items():
            block_points = _block_points(scores, draw, axis, counted_DML, ties)
            points[axis].append(block_points)
        differences.append(_differences(scores, draw, pairs))
    return Samples(
        points_BL={axis: np.concatenate(parts) for axis, parts in points.items()},
        differences_BP=np.concatenate(differences),
    )


def observed_differences(scores: Scores, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the difference of each pair in the data, and its number of common cells."""
    identity = next(_draws(scores, (), 1, seed=0))
    present_NL = scores.present_DML.reshape(-1, len(scores.losses))
    together = present_NL[:, pairs[0]] & present_NL[:, pairs[1]]
    return _differences(scores, identity, pairs)[0], together.sum(axis=0)


def _draws(scores: Scores, axes: Collection[str], num_samples: int, seed: int) -> Iterator[Draw]:
    num_datasets, num_models, num_losses, num_repeats = scores.values_DMLR.shape
    # One stream per axis: the draws of an axis do not depend on which other axes are drawn.
    streams = [np.random.default_rng(entry) for entry in np.random.SeedSequence(seed).spawn(3)]
    means_DML = np.nan_to_num(mean_over(scores.values_DMLR, 3))
    size = max(num_datasets * num_models * num_losses, num_datasets * num_repeats)
    step = max(1, CHUNK_BYTES // (8 * size))
    for start in range(0, num_samples, step):
        shape = (min(step, num_samples - start), num_datasets)
        if "dataset" in axes:
            datasets_BK = streams[0].integers(num_datasets, size=shape)
        else:
            datasets_BK = np.broadcast_to(np.arange(num_datasets), shape)
        weights_BM = _counts(streams[1], shape[0], num_models, drawn="model" in axes)
        if "repeat" in axes:
            uniform_BKR = streams[2].random((*shape, num_repeats))
            cells_BKML = _repeat_means(scores, means_DML, datasets_BK, uniform_BKR)
        else:
            cells_BKML = means_DML[datasets_BK]
        yield Draw(datasets_BK=datasets_BK, weights_BM=weights_BM, cells_BKML=cells_BKML)


def _counts(stream: np.random.Generator, num_rows: int, size: int, *, drawn: bool) -> np.ndarray:
    """Returns (rows, size) counts of `size` items in `size` draws; all 1 if nothing is drawn."""
    if not drawn:
        return np.ones((num_rows, size))
    return _histogram(stream.integers(size, size=(num_rows, size)), size)


def _histogram(drawn: np.ndarray, size: int) -> np.ndarray:
    rows = np.arange(len(drawn))[:, None]
    flat = np.bincount((rows * size + drawn).ravel(), minlength=len(drawn) * size)
    return flat.reshape(len(drawn), size).astype(float)


def _repeat_means(
    scores: Scores, means_DML: np.ndarray, datasets_BK: np.ndarray, uniform_BKR: np.ndarray
) -> np.ndarray:
    """Returns the mean over drawn repeats of each cell of each drawn dataset.

    A cell none of whose repeats was drawn keeps its mean. Otherwise a missing trial would
    remove the cell from the sample and change the cells on which the losses are compared.
    """
    num_models, num_losses = means_DML.shape[1:]
    cells_BKML = np.empty((*datasets_BK.shape, num_models, num_losses))
    for dataset, means_ML in enumerate(means_DML):
        here = datasets_BK == dataset
        values_MLR = scores.values_DMLR[dataset]
        present_MLR = ~np.isnan(values_MLR)
        repeats = np.flatnonzero(present_MLR.any(axis=(0, 1)))
        drawn = (uniform_BKR[here][:, : len(repeats)] * len(repeats)).astype(int)
        weights_NR = _histogram(drawn, len(repeats))
        values_RC = np.nan_to_num(values_MLR[..., repeats]).reshape(-1, len(repeats)).T
        present_RC = present_MLR[..., repeats].reshape(-1, len(repeats)).T
        mean_NC = weights_NR @ values_RC
        partial = np.flatnonzero(~present_RC.all(axis=0))
        if len(partial):
            count_NP = weights_NR @ present_RC[:, partial].astype(float)
            # Divided by the number of repeats below, like all others.
            kept_P = means_ML.ravel()[partial] * len(repeats)
            scaled_NP = mean_NC[:, partial] * (len(repeats) / np.maximum(count_NP, 1))
            mean_NC[:, partial] = np.where(count_NP > 0, scaled_NP, kept_P)
        mean_NC /= len(repeats)
        cells_BKML[here] = mean_NC.reshape(-1, num_models, num_losses)
    return cells_BKML


def _block_points(
    scores: Scores,
    draw: Draw,
    axis: str,
    counted_DML: np.ndarray,
    ties: TieRule,
) -> np.ndarray:
    """Returns the points (B, L) of the drawn blocks of one axis."""
    finished_DML = scores.finished_DML & counted_DML
    complete = bool(counted_DML.all())
    counted = None if complete else counted_DML[draw.datasets_BK].astype(float)
    finished = None if finished_DML.all() else finished_DML[draw.datasets_BK].astype(float)
    cells = draw.cells_BKML if counted is None else draw.cells_BKML * counted
    means = _weighted_sum(cells, draw, axis)
    if counted is None:
        means /= scores.values_DMLR.shape[{"dataset": 1, "model": 0}[axis]]
    else:
        number = _weighted_sum(counted, draw, axis)
        means = np.divide(means, number, out=np.full_like(means, np.nan), where=number > 0)
    if finished is not None:
        means[_weighted_sum(finished, draw, axis) == 0] = np.nan
    points = points_of(means, ties=ties, listed=scores.listed_positions)
    if axis == "dataset":
        return np.asarray(points.sum(axis=1))
    return np.asarray(np.einsum("bml,bm->bl", points, draw.weights_BM))


def _weighted_sum(values_BKML: np.ndarray, draw: Draw, axis: str) -> np.ndarray:
    if axis == "dataset":
        return np.asarray(np.einsum("bkml,bm->bkl", values_BKML, draw.weights_BM))
    return np.asarray(values_BKML.sum(axis=1))


def _differences(scores: Scores, draw: Draw, pairs: np.ndarray) -> np.ndarray:
    """Returns (B, P) differences of the means over the cells that both losses of a pair have."""
    present_DML = scores.present_DML
    num_samples, num_drawn, num_models, num_losses = draw.cells_BKML.shape
    if present_DML.all():
        sums_BL = np.einsum("bkml,bm->bl", draw.cells_BKML, draw.weights_BM)
        means_BL = sums_BL / (num_drawn * num_models)
        return np.asarray(means_BL[:, pairs[0]] - means_BL[:, pairs[1]])
    shape = (num_samples, num_drawn * num_models, num_losses)
    present = present_DML[draw.datasets_BK].astype(float)
    weighted = present * draw.weights_BM[:, None, :, None]
    # Sum over cells of (weight x value of one loss x presence of the other).
    total = (draw.cells_BKML * weighted).reshape(shape).transpose(0, 2, 1) @ present.reshape(shape)
    number = weighted.reshape(shape).transpose(0, 2, 1) @ present.reshape(shape)
    first, second = pairs
    summed = total[:, first, second] - total[:, second, first]
    together = number[:, first, second]
    out = np.full_like(summed, np.nan)
    return np.asarray(np.divide(summed, together, out=out, where=together > 0))
