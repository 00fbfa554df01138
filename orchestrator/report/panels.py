"""What the study's figures 1 and 3 show: test images, counts, and masks in both binarisations."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.report.data import Sweep, column
from orchestrator.report.examples import Example, dice

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


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One test image.

    Attributes:
        pixels: uint8, shape (H, W, 3).
        truth: Boolean, shape (H, W).
        masks: By loss and binarisation.
    """

    dataset: str
    model: str
    repeat: int
    image: str
    pixels: np.ndarray
    truth: np.ndarray
    masks: Mapping[str, Mapping[str, Mask]]


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """Images of a dataset; two numbers where the repeats differ.

    Attributes:
        total: Least and most images of a repeat.
        train: Of its training part; `val` and `test` likewise.
    """

    total: tuple[int, int]
    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]


def image_counts(sweep: Sweep, dataset: str) -> ImageCounts | None:
    """Returns how many images the trials of a dataset had, or None where they do not say."""
    trials = sweep.trials[sweep.trials["dataset"] == dataset]
    parts = [
        pd.to_numeric(column(trials, f"num_{part}_images")) for part in ("train", "val", "test")
    ]
    if trials.empty or any(part.isna().any() for part in parts):
        return None
    total = parts[0] + parts[1] + parts[2]
    ranges = [(int(part.min()), int(part.max())) for part in (total, *parts)]
    return ImageCounts(total=ranges[0], train=ranges[1], val=ranges[2], test=ranges[3])


def panels_like(sweep: Sweep, example: Example) -> list[Panel]:
    """Returns all kept images of the example's dataset, model and repeat, its own first."""
    rows = sweep.predictions
    same = rows["dataset"] == example.dataset
    for name, value in (("model", example.model), ("repeat", example.repeat)):
        if name in rows:
            same &= rows[name] == value
    panels = [_panel(sweep, image_rows) for _, image_rows in rows[same].groupby("image", sort=True)]
    return sorted(panels, key=lambda panel: panel.image != example.image)


def _panel(sweep: Sweep, rows: pd.DataFrame) -> Panel:
    first = rows.iloc[0]
    truth = _mask(first["truth_png"])
    by_loss = {str(row["loss"]): row for _, row in rows.iterrows()}
    return Panel(
        dataset=str(first["dataset"]),
        model=str(first.get("model") or ""),
        repeat=int(first.get("repeat") or 0),
        image=str(first["image"]),
        pixels=np.asarray(Image.open(io.BytesIO(first["image_jpeg"])).convert("RGB")),
        truth=truth,
        masks={loss: _masks(by_loss[loss], truth) for loss in sweep.losses if loss in by_loss},
    )


def _masks(row: pd.Series[Any], truth: np.ndarray) -> dict[str, Mask]:
    """Returns the masks that the trial kept; those of older results from the grey levels."""
    half, mean = row.get("mask_png"), row.get("mean_mask_png")
    threshold = row.get("logit_mean")
    if isinstance(half, bytes) and isinstance(mean, bytes) and threshold is not None:
        found = {"half": (_mask(half), 0.0), "mean": (_mask(mean), float(threshold))}
    else:
        logits = _logits(row)
        average = float(logits.mean())
        found = {"half": (logits > 0, 0.0), "mean": (logits > average, average)}
    return {
        kind: Mask(lesion=lesion, threshold=limit, dice=dice(lesion, truth))
        for kind, (lesion, limit) in found.items()
    }


def _mask(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("L")) > 127


def _logits(row: pd.Series[Any]) -> np.ndarray:
    grey = np.asarray(Image.open(io.BytesIO(bytes(row["logits_png"]))).convert("L"))
    low, high = float(row["logit_min"]), float(row["logit_max"])
    return np.asarray(low + (high - low) * (grey / 255.0))
