"""Predictions kept of test images: the example of each dataset, its masks, and their drawing."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.report.data import RankedSweep, column
from orchestrator.report.outlines import MAX_PATH_CHARACTERS, outline_path

BINARISATIONS: Mapping[str, str] = {
    "half": "sigmoid of the raw output over 0.5",
    "mean": "raw output over its own mean",
}
"""The two of the study's figure 3. Metrics use the first."""

MAX_EXAMPLES = 12
"""Datasets shown, so that a page with many of them stays small."""

MAX_TILES = 12
"""Losses drawn of one example on the page."""

_ALL_PATH_CHARACTERS = 3_000_000
_MAX_IMAGE_BYTES = 120_000
_SMALLER_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class Mask:
    """The prediction of one loss's network for an image, binarised in one way.

    Attributes:
        lesion: Boolean, shape (H, W).
        threshold: Raw output above which a pixel is lesion.
        dice: Dice of this image.
    """

    lesion: np.ndarray
    threshold: float
    dice: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """One test image with the predictions of one model and repeat.

    Attributes:
        image_jpeg: The image as stored.
        pixels: The same, decoded, uint8, shape (H, W, 3).
        truth: True mask, boolean, shape (H, W).
        masks: By loss, in the order of the podium, and by binarisation.
    """

    dataset: str
    model: str
    repeat: int
    image: str
    image_jpeg: bytes
    pixels: np.ndarray
    truth: np.ndarray
    masks: Mapping[str, Mapping[str, Mask]]


@dataclass(frozen=True, kw_only=True)
class DrawnTile:
    """The outline of one prediction in one binarisation."""

    loss: str
    dice: float
    path: str
    empty: bool


@dataclass(frozen=True, kw_only=True)
class DrawnExample:
    """One example on the page, which embeds its image once.

    Attributes:
        tiles: One tile per loss, by binarisation.
    """

    example: Example
    width: int
    height: int
    image_base64: str
    truth_path: str
    tiles: Mapping[str, tuple[DrawnTile, ...]]


@dataclass(frozen=True, kw_only=True)
class DatasetSizes:
    """Number of images of a dataset: the least and the most over its repeats.

    Attributes:
        total: Of all images.
        train: Of the training images; `val` and `test` likewise.
    """

    total: tuple[int, int]
    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]


def examples(sweep: RankedSweep) -> list[Example]:
    """Returns one example of each dataset that has predictions, at most `MAX_EXAMPLES`.

    The choice does not favour a loss. It takes the model and repeat with predictions of the most
    losses (then the best mean test Dice), and of their images the one whose mean Dice over the
    losses is nearest to the mean test Dice of those trials: a typical image.
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


def _typical(sweep: RankedSweep, rows: pd.DataFrame) -> Example:
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
            -len(example.masks),
            abs(float(np.mean([kinds["half"].dice for kinds in example.masks.values()])) - target),
            example.image,
        ),
    )


def examples_like(sweep: RankedSweep, example: Example) -> list[Example]:
    """Returns all kept images of the example's dataset, model and repeat, its own first."""
    rows = sweep.predictions
    same = rows["dataset"] == example.dataset
    for name, value in (("model", example.model), ("repeat", example.repeat)):
        if name in rows:
            same &= rows[name] == value
    found = [
        _example(sweep, image_rows) for _, image_rows in rows[same].groupby("image", sort=True)
    ]
    return sorted(found, key=lambda other: other.image != example.image)


def _example(sweep: RankedSweep, rows: pd.DataFrame) -> Example:
    first = rows.iloc[0]
    truth = decode_mask(first["truth_png"])
    by_loss = {str(row["loss"]): row for _, row in rows.iterrows()}
    return Example(
        dataset=str(first["dataset"]),
        model=str(first.get("model") or ""),
        repeat=int(first.get("repeat") or 0),
        image=str(first["image"]),
        image_jpeg=bytes(first["image_jpeg"]),
        pixels=np.asarray(Image.open(io.BytesIO(first["image_jpeg"])).convert("RGB")),
        truth=truth,
        masks={loss: masks_of(by_loss[loss], truth) for loss in sweep.losses if loss in by_loss},
    )


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


def draw_examples(examples: Sequence[Example]) -> list[DrawnExample]:
    """Draws all examples for the page; together their outlines stay within a few megabytes."""
    num_outlines = sum(1 + 2 * len(list(example.masks)[:MAX_TILES]) for example in examples)
    limit = min(MAX_PATH_CHARACTERS, _ALL_PATH_CHARACTERS // max(num_outlines, 1))
    return [draw_example(example, limit) for example in examples]


def draw_example(example: Example, limit: int = MAX_PATH_CHARACTERS) -> DrawnExample:
    """Draws the tiles of one image for the page.

    Args:
        example: The image and its predictions.
        limit: Characters of one outline; a longer one is drawn coarser.
    """
    height, width = example.truth.shape
    losses = list(example.masks)[:MAX_TILES]
    return DrawnExample(
        example=example,
        width=width,
        height=height,
        image_base64=b64encode(_small_jpeg(example)).decode("ascii"),
        truth_path=outline_path(example.truth, limit),
        tiles={
            kind: tuple(_tile(loss, example.masks[loss][kind], limit) for loss in losses)
            for kind in BINARISATIONS
        },
    )


def _tile(loss: str, mask: Mask, limit: int) -> DrawnTile:
    path = outline_path(mask.lesion, limit)
    return DrawnTile(loss=loss, dice=mask.dice, path=path, empty=not bool(mask.lesion.any()))


def _small_jpeg(example: Example) -> bytes:
    if len(example.image_jpeg) <= _MAX_IMAGE_BYTES:
        return example.image_jpeg
    picture = Image.fromarray(example.pixels)
    picture.thumbnail((_SMALLER_SIDE, _SMALLER_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def dataset_sizes(sweep: RankedSweep, dataset: str) -> DatasetSizes | None:
    """Returns how many images the trials of a dataset had, or None if a trial does not say."""
    trials = sweep.trials[sweep.trials["dataset"] == dataset]
    subsets = [
        pd.to_numeric(column(trials, f"num_{name}_images")) for name in ("train", "val", "test")
    ]
    if trials.empty or any(subset.isna().any() for subset in subsets):
        return None
    total = subsets[0] + subsets[1] + subsets[2]
    ranges = [(int(subset.min()), int(subset.max())) for subset in (total, *subsets)]
    return DatasetSizes(total=ranges[0], train=ranges[1], val=ranges[2], test=ranges[3])
