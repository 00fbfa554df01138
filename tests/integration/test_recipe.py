"""An augmented training with AdamW and poly equals a bare script of torch and kornia."""

import json
from pathlib import Path

import kornia
import numpy as np
import pytest
import torch
from kornia.geometry import transform

import podium
from tests.integration.sweeps import run, write_config
from workers.contract import Component
from workers.datasets import open_dataset
from workers.datasets.cache import load_arrays
from workers.datasets.split import split_indices
from workers.models.output import output_of
from workers.seeding import derive_seed

EPOCHS, SEED, BATCH = 3, 7, 4
SIDE = 32
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def augmented(images, masks, draws):
    """Flips, an affine map and gamma, from the documented numbers of each image.

    Columns: chosen and two flips; chosen, two translations, scale, degrees and two shears; chosen
    and the exponent.
    """
    for column, axis in ((1, -1), (2, -2)):
        flipped = (draws[:, column] < 0.5).view(-1, 1, 1, 1)
        images = torch.where(flipped, images.flip(axis), images)
        masks = torch.where(flipped, masks.flip(axis), masks)
    moved = torch.stack([-0.1 + 0.2 * draws[:, k] for k in (4, 5)], dim=1) * SIDE
    matrix = transform.get_affine_matrix2d(
        moved,
        torch.full((len(draws), 2), (SIDE - 1) / 2),
        (0.8 + (1.25 - 0.8) * draws[:, 6])[:, None].expand(-1, 2),
        -30 + 60 * draws[:, 7],
        *((-10 + 20 * draws[:, k]).deg2rad() for k in (8, 9)),
    )[:, :2]
    images = transform.warp_affine(images, matrix, (SIDE, SIDE))
    masks = transform.warp_affine(masks, matrix, (SIDE, SIDE), mode="nearest")
    darker = kornia.enhance.adjust_gamma(images, 0.7 + (1.5 - 0.7) * draws[:, 11])
    images = torch.where((draws[:, 10] < 0.5).view(-1, 1, 1, 1), darker, images)
    return images.clamp(0, 1), masks.round()


def bare_training(dataset: Component, cache: Path) -> list[float]:
    """Returns the mean loss of each epoch."""
    arrays = load_arrays(open_dataset(dataset, None), SIDE, cache)
    split = split_indices(arrays.names, (0.6, 0.2, 0.2), unit="image", seed=SEED, repeat=0)
    images = torch.from_numpy(np.array(arrays.images)).permute(0, 3, 1, 2).float()
    masks = torch.from_numpy(np.array(arrays.masks))[:, None].float()
    torch.manual_seed(derive_seed(SEED, "weights", 0))
    model = podium.build_model("unet", width=4).to(memory_format=torch.channels_last)
    loss = podium.build_loss("dice")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.01)
    steps = -(-len(split.train) // BATCH)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, EPOCHS * steps, power=0.9)
    mean, std = (np.array(value) for value in (MEAN, STD))
    scale = torch.tensor(1 / (255 * std), dtype=torch.float32).view(1, 3, 1, 1)
    shift = torch.tensor(-mean / std, dtype=torch.float32).view(1, 3, 1, 1)
    means = []
    for epoch in range(1, EPOCHS + 1):
        order = torch.randperm(
            len(split.train),
            generator=torch.Generator().manual_seed(derive_seed(SEED, "order", 0, epoch)),
        )
        generator = torch.Generator().manual_seed(derive_seed(SEED, "augmentation", 0, epoch))
        draws = torch.rand(len(images), 12, generator=generator)
        total = 0.0
        model.train()
        for batch in torch.from_numpy(split.train)[order].split(BATCH):
            seen, truth = augmented(images[batch] / 255, masks[batch], draws[batch])
            seen = (seen * 255 * scale + shift).contiguous(memory_format=torch.channels_last)
            value = loss(output_of(model, seen).logits_BCHW, truth[:, 0].to(torch.uint8))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item() * len(batch)
        means.append(total / len(split.train))
    return means


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_recipe_equals_a_bare_script_of_torch_and_kornia(tmp_path):
    recipe = {
        "optimizer": "adamw", "weight_decay": 0.01, "schedule": "poly", "schedule_unit": "step",
        "augmentation": ["flips", "affine", {"name": "gamma", "probability": 0.5}],
        "max_epochs": EPOCHS, "patience": EPOCHS, "batch_size": BATCH,
    }  # fmt: skip
    config = write_config(tmp_path, training=recipe, losses=["dice"], repeats=1, seed=SEED)
    run(config)
    results = tmp_path / "results"
    (trial,) = podium.read_trials(results).to_dict("records")
    spec = json.loads(trial["spec"])
    assert json.loads(trial["versions"])["kornia"] == kornia.__version__
    stored = podium.read_epochs(results).sort_values("epoch")["train_loss"]
    bare = bare_training(Component(**spec["dataset"]), tmp_path / "cache")
    assert stored.tolist() == pytest.approx(bare, abs=1e-6)
