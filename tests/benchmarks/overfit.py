"""Each model overfits eight real images: four of Kvasir-SEG, four of BUSI, IoU-Focal, Adam.

    python tests/benchmarks/overfit.py --data ../shared/data --json overfit.json

Dice is the mean over the images, computed from the logits of a training step. The training ends
after the step in which Dice is above 0.9. The table also has the Dice in evaluation mode, with
batch norm's running means.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks.machine import parse
from workers.catalogue.weights import NORMALISATIONS
from workers.contract import Component, TrainingProtocol
from workers.datasets import open_dataset
from workers.datasets.cache import load_arrays
from workers.environment import keep_large_blocks
from workers.losses import build_loss
from workers.metrics.counts import count_pixels
from workers.metrics.scores import score_images
from workers.models import build_model
from workers.training import supervised_loss

DATASETS = ("kvasir-seg", "breast-benign")
IMAGES_EACH = 4
LEAST_LESION, MOST_LESION = 0.15, 0.6
"""Fraction of the image: a map of stride 8 (8x8 at 64 pixels) cannot outline smaller lesions."""

LOSS = "iou+focal"
ENOUGH = 0.9


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Training of one model: Adam at a constant rate, all eight images in each step.

    Attributes:
        deep_supervision: False trains only the final output. CaraNet and ColonFormer need False at
            64 pixels: each of their maps refines the coarser map. If the maps of 4x4 and 2x2
            pixels are trained too, the last map stays below Dice 0.9.
    """

    learning_rate: float
    max_steps: int
    deep_supervision: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)


FULL: dict[str, Setting] = {
    "fcn": Setting(learning_rate=3e-4, max_steps=300),
    "deeplabv3plus": Setting(learning_rate=1e-3, max_steps=300),
    "unet": Setting(learning_rate=1e-3, max_steps=300),
    "unetpp": Setting(learning_rate=1e-3, max_steps=300),
    "colonsegnet": Setting(learning_rate=1e-3, max_steps=300),
    "fat-net": Setting(learning_rate=3e-4, max_steps=300),
    "fcbformer": Setting(learning_rate=3e-4, max_steps=300),
    "colonformer": Setting(learning_rate=1e-3, max_steps=300, deep_supervision=False),
    "caranet": Setting(learning_rate=3e-3, max_steps=300, deep_supervision=False),
    "esfpnet": Setting(learning_rate=3e-4, max_steps=300),
    "duck-net": Setting(learning_rate=1e-3, max_steps=300),
    "emcad": Setting(learning_rate=1e-3, max_steps=300),
    "fanet": Setting(learning_rate=1e-3, max_steps=300),
    "nnunet": Setting(learning_rate=1e-3, max_steps=300),
    "nnunet-resenc": Setting(learning_rate=1e-3, max_steps=300),
    "frozen-vit": Setting(learning_rate=1e-3, max_steps=300),
}
"""Whole models at 64 pixels."""


@dataclass(frozen=True, kw_only=True)
class Overfit:
    """The result of one training.

    Attributes:
        steps: Training steps until the Dice of a step was above `ENOUGH`, or all steps.
        train_dice: Dice of the last step, in training mode.
        evaluation_dice: Dice after the last step, in evaluation mode.
    """

    model: str
    learning_rate: float
    deep_supervision: bool
    steps: int
    max_steps: int
    train_dice: float
    evaluation_dice: float
    seconds: float


def eight_images(root: Path, side: int, cache: Path) -> tuple[Tensor, Tensor]:
    """Returns the first images with a lesion of medium size: (8, 3, S, S) and (8, S, S)."""
    images, masks = [], []
    for name in DATASETS:
        arrays = load_arrays(open_dataset(Component(name=name), root), side, cache)
        share = np.asarray(arrays.masks).reshape(len(arrays.masks), -1).mean(axis=1)
        chosen = np.flatnonzero((share > LEAST_LESION) & (share < MOST_LESION))[:IMAGES_EACH]
        images.append(np.asarray(arrays.images)[chosen])
        masks.append(np.asarray(arrays.masks)[chosen])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in NORMALISATIONS["imagenet"])
    pixels_BCHW = torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2) / 255
    return (pixels_BCHW - mean) / std, torch.from_numpy(np.concatenate(masks)).long()


def dice(logits_BCHW: Tensor, target_BHW: Tensor) -> float:
    """Returns the mean Dice of images."""
    counts = count_pixels(logits_BCHW.detach().float(), target_BHW)
    return float(score_images(counts.numpy())["dice"])


def overfit(
    name: str,
    setting: Setting,
    images_BCHW: Tensor,
    target_BHW: Tensor,
    build: Callable[..., nn.Module] = build_model,
) -> Overfit:
    """Trains a model until its Dice is above `ENOUGH`, or for its largest number of steps."""
    torch.manual_seed(0)
    network = build(name, **setting.parameters).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=setting.learning_rate)
    images_BCHW = images_BCHW.to(memory_format=torch.channels_last)
    loss = build_loss(LOSS)
    protocol = TrainingProtocol(deep_supervision=setting.deep_supervision)
    train_dice, step, began = 0.0, 0, time.perf_counter()
    while train_dice <= ENOUGH and step < setting.max_steps:
        step += 1
        output = network(images_BCHW)
        value = supervised_loss(loss, output, target_BHW, protocol)
        train_dice = dice(output.logits_BCHW, target_BHW)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
    return Overfit(
        model=name,
        learning_rate=setting.learning_rate,
        deep_supervision=setting.deep_supervision,
        steps=step,
        max_steps=setting.max_steps,
        train_dice=round(train_dice, 4),
        evaluation_dice=round(evaluate(network, images_BCHW, target_BHW), 4),
        seconds=round(time.perf_counter() - began, 1),
    )


def evaluate(network: nn.Module, images_BCHW: Tensor, target_BHW: Tensor) -> float:
    """Returns the Dice in evaluation mode."""
    network.eval()
    with torch.inference_mode():
        return dice(network(images_BCHW).logits_BCHW, target_BHW)


def main() -> None:
    """Trains the requested models, prints the table; exit code 1 if a model fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(FULL), metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest={"models": ["emcad"]})
    torch.set_num_threads(arguments.threads)
    keep_large_blocks()
    with tempfile.TemporaryDirectory() as cache:
        images_BCHW, target_BHW = eight_images(arguments.data, arguments.image_size, Path(cache))
    side = arguments.image_size
    print(f"eight images of {side}x{side} from {', '.join(DATASETS)}; {LOSS}, Adam, float32")
    print(f"{'model':16}{'rate':>8}{'steps':>7}{'of':>5}{'Dice':>8}{'eval':>8}{'s':>8}")
    results = []
    for name in arguments.models:
        found = overfit(name, FULL[name], images_BCHW, target_BHW)
        results.append(found)
        numbers = f"{found.learning_rate:>8g}{found.steps:>7}{found.max_steps:>5}"
        scores = f"{found.train_dice:>8.3f}{found.evaluation_dice:>8.3f}{found.seconds:>8.1f}"
        print(f"{name:16}{numbers}{scores}", flush=True)
    if arguments.json:
        text = json.dumps([asdict(found) for found in results], indent=2)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    sys.exit(any(found.train_dice <= ENOUGH for found in results))


if __name__ == "__main__":
    main()
