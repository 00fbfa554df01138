"""Example predictions: one test image a dataset, seen by one model trained with each loss."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.report.data import Sweep, column

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


Point = tuple[float, float]


def outlines(mask: np.ndarray) -> list[list[Point]]:
    """Returns closed outlines of a mask, each a list of (x, y) in pixels.

    Points lie in the middle of pixel borders, so that stairs become slopes; straight runs keep
    only their ends. Holes are outlines of their own.

    Args:
        mask: Boolean, shape (H, W).
    """
    following = _borders(mask)
    lines: list[list[Point]] = []
    for start in sorted(following):
        while following[start]:
            line = [start]
            current = following[start].pop()
            # As many borders enter a corner as leave it, so every walk comes back.
            while current != start:
                line.append(current)
                current = following[current].pop()
            lines.append(_slopes(line))
    return lines


def _borders(mask: np.ndarray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Returns the pixel borders as directed steps from corner to corner, the mask on the right."""
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    inside = padded[1:-1, 1:-1]
    steps = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # nothing above: along the top, to the right
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, begin, end in steps:
        ys, xs = np.nonzero(inside & ~neighbour)
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            following.setdefault((x + begin[0], y + begin[1]), []).append((x + end[0], y + end[1]))
    return following


def _slopes(corners: list[tuple[int, int]]) -> list[Point]:
    """Joins the middles of neighbouring borders and drops points inside straight runs."""
    middles = [
        ((x + next_x) / 2, (y + next_y) / 2)
        for (x, y), (next_x, next_y) in zip(corners, corners[1:] + corners[:1], strict=True)
    ]
    kept: list[Point] = []
    for index, (x, y) in enumerate(middles):
        before = middles[index - 1]
        after = middles[(index + 1) % len(middles)]
        turn = (x - before[0]) * (after[1] - y) - (y - before[1]) * (after[0] - x)
        if turn:
            kept.append((x, y))
    return kept


def svg_path(lines: list[list[Point]]) -> str:
    """Returns the outlines as the data of one SVG path."""
    return "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in line) + "Z" for line in lines if line)


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
