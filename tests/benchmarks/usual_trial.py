"""One training as in a typical script: the baseline of `usual_script.py`, without optimisation.

The workers of a DataLoader decode and resize the files in each epoch. The script reads the loss in
each step and computes metrics with a library, batch by batch. Network and loss are those of Podium,
so that the mathematics is the same.

    python tests/benchmarks/usual_trial.py IMAGES MASKS --loss dice --side 96 --epochs 6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, random_split

from tests.benchmarks.machine import parse
from workers.losses import build_loss
from workers.models import build_model

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Images, and masks with the same file names."""

    def __init__(self, images: Path, masks: Path, side: int) -> None:
        self.images, self.masks = (sorted(p for p in d.iterdir()) for d in (images, masks))
        self.side = side

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        size = (self.side, self.side)
        with Image.open(self.images[index]) as file:
            image = np.asarray(file.convert("RGB").resize(size), dtype=np.float32) / 255
        with Image.open(self.masks[index]) as file:
            mask = np.asarray(file.convert("L").resize(size, Image.Resampling.NEAREST)) > 127
        normalised = (image - MEAN) / STD
        return torch.from_numpy(normalised).permute(2, 0, 1).float(), torch.from_numpy(mask).long()


@torch.no_grad()
def evaluate(model: torch.nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> float:
    """Returns the mean of the batches' Dice."""
    model.eval()
    scores = []
    for images, masks in loader:
        logits = model(images).logits_BCHW
        counts = smp.metrics.get_stats(
            logits.sigmoid(), masks.unsqueeze(1), mode="binary", threshold=0.5
        )
        scores.append(smp.metrics.f1_score(*counts, reduction="micro-imagewise").item())
        smp.metrics.iou_score(*counts, reduction="micro-imagewise").item()
    return float(np.mean(scores))


def main() -> None:
    """Trains, keeps the best weights in memory and prints the test Dice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--loss", default="dice")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse(parser, smallest={"side": 32, "epochs": 1, "width": 4})
    torch.manual_seed(arguments.seed)
    data = Pairs(arguments.images, arguments.masks, arguments.side)
    train, val, test = (
        DataLoader(
            part,
            batch_size=arguments.batch_size,
            shuffle=number == 0,
            num_workers=arguments.workers,
        )
        for number, part in enumerate(random_split(data, [0.6, 0.2, 0.2]))
    )
    model, loss = (
        build_model("unet", num_classes=1, width=arguments.width),
        build_loss(arguments.loss),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    best, weights = -1.0, model.state_dict()
    for epoch in range(arguments.epochs):
        model.train()
        losses = []
        for images, masks in train:
            optimizer.zero_grad()
            value = loss(model(images).logits_BCHW, masks)
            value.backward()
            optimizer.step()
            losses.append(value.item())
        dice = evaluate(model, val)
        print(f"epoch {epoch}: loss {np.mean(losses):.4f}, val Dice {dice:.4f}", flush=True)
        if dice > best:
            best, weights = dice, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(weights)
    print(f"test Dice {evaluate(model, test):.4f}")


if __name__ == "__main__":
    main()
