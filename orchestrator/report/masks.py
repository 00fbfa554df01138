"""Predicted masks as a trial kept them, in the two binarisations of the study's figure 3."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

BINARISATIONS: Mapping[str, str] = {
    "half": "sigmoid of the raw output over 0.5",
    "mean": "raw output over its own mean",
}
"""The two of the study's figure 3."""


@dataclass(frozen=True, kw_only=True)
class Mask:
    """What one loss's network found in an image, binarised in one way.

    Attributes:
        lesion: Boolean, shape (H, W).
        threshold: Raw output above which a pixel is lesion.
        dice: Dice of this image.
    """

    lesion: np.ndarray
    threshold: float
    dice: float


def masks_of(row: pd.Series[Any], truth: np.ndarray) -> dict[str, Mask]:
    """Returns the masks that the trial kept; those of older results from the grey levels."""
    half, mean = row.get("mask_png"), row.get("mean_mask_png")
    threshold = row.get("logit_mean")
    if isinstance(half, bytes) and isinstance(mean, bytes) and threshold is not None:
        found = {"half": (decode_mask(half), 0.0), "mean": (decode_mask(mean), float(threshold))}
    else:
        logits = _logits(row)
        average = float(logits.mean())
        found = {"half": (logits > 0, 0.0), "mean": (logits > average, average)}
    return {
        kind: Mask(lesion=lesion, threshold=limit, dice=dice(lesion, truth))
        for kind, (lesion, limit) in found.items()
    }


def decode_mask(data: bytes) -> np.ndarray:
    """Returns a stored mask as booleans, shape (H, W)."""
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("L")) > 127


def _logits(row: pd.Series[Any]) -> np.ndarray:
    """Returns the raw output of one image, shape (H, W), to 1/255 of its range."""
    grey = np.asarray(Image.open(io.BytesIO(bytes(row["logits_png"]))).convert("L"))
    low, high = float(row["logit_min"]), float(row["logit_max"])
    return np.asarray(low + (high - low) * (grey / 255.0))


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Returns 2 TP / (2 TP + FP + FN), and 1 where both masks (H, W) are empty."""
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else 1.0
