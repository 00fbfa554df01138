"""What the study's figures 1 and 3 show: test images, counts, and masks in both binarisations."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.report.data import Sweep, column
from orchestrator.report.examples import Example
from orchestrator.report.masks import Mask, decode_mask, masks_of


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
    truth = decode_mask(first["truth_png"])
    by_loss = {str(row["loss"]): row for _, row in rows.iterrows()}
    return Panel(
        dataset=str(first["dataset"]),
        model=str(first.get("model") or ""),
        repeat=int(first.get("repeat") or 0),
        image=str(first["image"]),
        pixels=np.asarray(Image.open(io.BytesIO(first["image_jpeg"])).convert("RGB")),
        truth=truth,
        masks={loss: masks_of(by_loss[loss], truth) for loss in sweep.losses if loss in by_loss},
    )
