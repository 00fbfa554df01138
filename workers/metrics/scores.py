"""Dice, IoU, recall and precision from pixel counts, and their averages; numpy only.

Counts are arrays (..., 4) of [tp, fp, fn, tn]. Empty rule: a score of 0/0 is 1 if the image has
no wrong pixel (fp = fn = 0), and otherwise 0. So an empty prediction of an empty mask scores 1
throughout; any false positive on an empty mask scores 0 throughout, recall included; and an
empty prediction of a lesion scores 0 throughout, precision included.

Averaging rules: `dice` is the mean of the images' own scores, every image weighing the same;
`dice_pooled` is the score of the images' summed counts, every pixel weighing the same. Never
a mean over batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer]
Scores = NDArray[np.float64]


def dice(counts: Counts) -> Scores:
    """Returns 2 tp / (2 tp + fp + fn), shape (...,)."""
    tp, fp, fn = _split(counts)
    return _ratio(2 * tp, 2 * tp + fp + fn, fp + fn)


def iou(counts: Counts) -> Scores:
    """Returns tp / (tp + fp + fn), shape (...,)."""
    tp, fp, fn = _split(counts)
    return _ratio(tp, tp + fp + fn, fp + fn)


def recall(counts: Counts) -> Scores:
    """Returns tp / (tp + fn), shape (...,)."""
    tp, fp, fn = _split(counts)
    return _ratio(tp, tp + fn, fp + fn)


def precision(counts: Counts) -> Scores:
    """Returns tp / (tp + fp), shape (...,)."""
    tp, fp, fn = _split(counts)
    return _ratio(tp, tp + fp, fp + fn)


def score_images(counts: Counts) -> dict[str, float]:
    """Returns dice, iou, recall, precision (mean over images) and the same with `_pooled`.

    Args:
        counts: Shape (N, 4), one row of [tp, fp, fn, tn] an image.

    Raises:
        ValueError: There is no image, or these are not counts.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1:] != (4,) or not len(counts):
        msg = f"counts have shape {counts.shape}; expected (N, 4) with at least one image"
        raise ValueError(msg)
    measures = {"dice": dice, "iou": iou, "recall": recall, "precision": precision}
    means = {name: float(score(counts).mean()) for name, score in measures.items()}
    pooled = counts.sum(axis=0, dtype=np.int64)
    return means | {f"{name}_pooled": float(score(pooled)) for name, score in measures.items()}


def _split(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    counts = np.asarray(counts)
    if not np.issubdtype(counts.dtype, np.integer) or counts.shape[-1:] != (4,):
        msg = f"counts have type {counts.dtype}, shape {counts.shape}; expected integers (..., 4)"
        raise ValueError(msg)
    if (counts < 0).any():
        msg = f"counts go down to {counts.min()}; pixels cannot be fewer than 0"
        raise ValueError(msg)
    # Sums of pixels overflow narrow types: 256 x 256 is already beyond uint16.
    tp, fp, fn, _ = np.moveaxis(counts.astype(np.int64), -1, 0)
    return tp, fp, fn


def _ratio(
    numerator: NDArray[np.int64], denominator: NDArray[np.int64], wrong: NDArray[np.int64]
) -> Scores:
    quotient = numerator / np.maximum(denominator, 1)
    return np.where(denominator == 0, wrong == 0, quotient).astype(np.float64)
