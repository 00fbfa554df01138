"""Example predictions: one test image a dataset, seen by one model trained with each loss."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.report.data import Sweep, column
from orchestrator.report.masks import decode_mask, masks_of

MAX_EXAMPLES = 12
"""Datasets shown, so that a page with many of them stays small."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the network trained with one loss made of the image.

    Attributes:
        mask: Boolean, shape (H, W); True where sigmoid(logit) is over 0.5.
        dice: Dice of this image.
        mean_mask: The same, True where the logit is over the mean of the image's logits, as in
            the study's figure 3.
        mean_dice: Dice of that mask.
    """

    loss: str
    mask: np.ndarray
    dice: float
    mean_mask: np.ndarray
    mean_dice: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """One test image.

    Attributes:
        image_jpeg: The image as stored.
        pixels: The same, decoded, uint8, shape (H, W, 3).
        truth: True mask, boolean, shape (H, W).
        seen: One entry a loss, in the order of the podium.
    """

    dataset: str
    model: str
    repeat: int
    image: str
    image_jpeg: bytes
    pixels: np.ndarray
    truth: np.ndarray
    seen: tuple[Seen, ...]


def examples(sweep: Sweep) -> list[Example]:
    """Returns one example a dataset that has predictions, at most `MAX_EXAMPLES`.

    Chosen without looking at which loss gains: the model and repeat that cover the most losses
    (then the best mean test Dice), and of their images the one whose Dice, over the losses, is
    nearest to the mean test Dice of those trials: a typical image, not a flattering one.
    """
    predictions = sweep.predictions
    needed = {"dataset", "loss", "image", "image_jpeg", "truth_png", "logits_png"}
    if predictions.empty or not needed <= set(predictions.columns):
        return []
    chosen: list[Example] = []
    for dataset in sweep.grid.datasets:
        rows = predictions[predictions["dataset"] == dataset]
        if len(chosen) < MAX_EXAMPLES and not rows.empty:
            chosen.append(_typical(sweep, rows))
    return chosen


def _typical(sweep: Sweep, rows: pd.DataFrame) -> Example:
    test_dice = dict(
        zip(column(sweep.trials, "trial_id"), sweep.trials["dice"].astype(float), strict=True)
    )
    rows = rows.assign(
        model=column(rows, "model").fillna("").astype(str),
        repeat=column(rows, "repeat").fillna(0).astype(int),
        test_dice=column(rows, "trial_id").map(test_dice).fillna(0.0),
    )
    groups = [
        (-group["loss"].nunique(), -group["test_dice"].mean(), key, group)
        for key, group in rows.groupby(["model", "repeat"], sort=True)
    ]
    group = min(groups, key=lambda entry: entry[:3])[3]
    target = float(group.drop_duplicates("loss")["test_dice"].mean())
    images = [_example(sweep, image_rows) for _, image_rows in group.groupby("image", sort=True)]
    return min(
        images,
        key=lambda example: (
            -len(example.seen),
            abs(float(np.mean([seen.dice for seen in example.seen])) - target),
            example.image,
        ),
    )


def _example(sweep: Sweep, rows: pd.DataFrame) -> Example:
    first = rows.iloc[0]
    truth = decode_mask(first["truth_png"])
    by_loss = {str(row["loss"]): row for _, row in rows.iterrows()}
    return Example(
        dataset=str(first["dataset"]),
        model=str(first["model"]),
        repeat=int(first["repeat"]),
        image=str(first["image"]),
        image_jpeg=bytes(first["image_jpeg"]),
        pixels=np.asarray(Image.open(io.BytesIO(first["image_jpeg"])).convert("RGB")),
        truth=truth,
        seen=tuple(_seen(loss, by_loss[loss], truth) for loss in sweep.losses if loss in by_loss),
    )


def _seen(loss: str, row: pd.Series[Any], truth: np.ndarray) -> Seen:
    masks = masks_of(row, truth)
    return Seen(
        loss=loss,
        mask=masks["half"].lesion,
        dice=masks["half"].dice,
        mean_mask=masks["mean"].lesion,
        mean_dice=masks["mean"].dice,
    )
