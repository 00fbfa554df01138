"""A trial measured on validation images: the test images change nothing, whatever they hold."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from workers import run as running
from workers.contract import (
    Component,
    DataProtocol,
    Runtime,
    TrainingProtocol,
    TrialSpec,
    TrialStatus,
)
from workers.datasets.split import split_indices
from workers.models import SegmentationOutput
from workers.run import run_trial


class NoCheckpoints:
    def load(self):
        return None

    def save(self, state):
        pass


SPEC = TrialSpec(
    dataset=Component(name="folder", parameters={"label": "mine", "images": "images",
                                                 "masks": "masks"}, label="mine"),
    model=Component(name="unet", parameters={"width": 2}),
    loss=Component(name="dice"),
    repeat=0,
    seed=3,
    data=DataProtocol(image_size=32, measured_on="val"),
    training=TrainingProtocol(max_epochs=2, patience=2, batch_size=4),
)  # fmt: skip


def write(folder, spoiled=()):
    """Writes 15 images with a square each; those in `spoiled` hold noise."""
    random = np.random.default_rng(0)
    for number in range(15):
        image = random.integers(0, 80, (32, 32, 3), dtype=np.uint8)
        mask = np.zeros((32, 32), dtype=np.uint8)
        mask[8:20, 4 + number % 8 : 20] = 255
        image[mask > 0] += 120
        if number in spoiled:
            noise = np.random.default_rng(number)
            image = noise.integers(0, 255, (32, 32, 3), dtype=np.uint8)
            mask = noise.integers(0, 2, (32, 32), dtype=np.uint8) * 255
        for name, pixels in (("images", image), ("masks", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


def train(spec, folder, tmp_path):
    runtime = Runtime(data_root=str(folder), cache_dir=str(tmp_path / "cache"))
    return run_trial(spec, runtime, NoCheckpoints(), lambda record: None)


def numbers(result):
    return [dataclasses.replace(record, seconds=0.0) for record in result.epochs]


@pytest.fixture
def spec(tmp_path):
    from workers.catalogue.datasets import complete_dataset
    from workers.catalogue.losses import complete_loss
    from workers.catalogue.models import complete_model

    _, dataset = complete_dataset("folder", {"label": "mine"})
    _, model = complete_model("unet", {"width": 2})
    return dataclasses.replace(
        SPEC,
        dataset=Component(name="folder", parameters=dataset, label="mine"),
        model=Component(name="unet", parameters=model),
        loss=Component(name="dice", parameters=complete_loss("dice", {})[1]),
    )


def test_no_number_depends_on_a_test_image(tmp_path, spec):
    split = split_indices(
        [str(n) for n in range(15)], spec.data.split, unit="image", seed=spec.seed, repeat=0
    )
    write(tmp_path / "clean")
    write(tmp_path / "spoiled", spoiled=set(split.test.tolist()))
    clean, spoiled = (train(spec, tmp_path / name, tmp_path) for name in ("clean", "spoiled"))
    assert clean.dataset_fingerprint != spoiled.dataset_fingerprint
    assert numbers(clean) == numbers(spoiled)
    assert clean.best_val_dice == spoiled.best_val_dice
    assert (clean.metrics, clean.images, clean.predictions, clean.num_test_images) == (
        {},
        (),
        (),
        0,
    )
    # The same on test images does depend on them: the check above can fail.
    tested = dataclasses.replace(spec, data=dataclasses.replace(spec.data, measured_on="test"))
    on_test = [train(tested, tmp_path / name, tmp_path) for name in ("clean", "spoiled")]
    assert on_test[0].metrics != on_test[1].metrics
    assert numbers(on_test[0]) == numbers(clean)


def test_network_gets_only_training_and_validation_images(tmp_path, spec, monkeypatch):
    write(tmp_path / "clean")
    fed: set[int] = set()
    prepare: Any = vars(running)["prepare_task"]

    def watched(*args, **kwargs):
        task = prepare(*args, **kwargs)
        batch = type(task).batch

        class Watched(type(task)):  # type: ignore[misc]
            def batch(self, indices, *augmentation):
                fed.update(indices.tolist())
                return batch(self, indices, *augmentation)

        fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
        return Watched(**fields)

    monkeypatch.setattr(running, "prepare_task", watched)
    split = split_indices(
        [str(n) for n in range(15)], spec.data.split, unit="image", seed=spec.seed, repeat=0
    )
    train(spec, tmp_path / "clean", tmp_path)
    assert fed == set(split.train.tolist()) | set(split.val.tolist())


class Breaking(nn.Module):
    """Gives one logit for all pixels, and in evaluation `value` in one pixel of a plain image."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(0.5))
        self.value = value

    def forward(self, image_BCHW):
        logits = self.logit.expand(len(image_BCHW), 1, *image_BCHW.shape[2:]).clone()
        if not self.training:
            plain_B = (image_BCHW == image_BCHW[:, :, :1, :1]).flatten(1).all(dim=1)
            logits[plain_B, 0, 0, 0] = self.value
        return SegmentationOutput(logits)


@pytest.mark.parametrize(
    ("part", "value", "place", "epoch"),
    [
        ("val", math.nan, "validation in epoch 1", None),
        ("val", math.inf, "validation in epoch 1", None),
        ("test", -math.inf, "test with the weights of epoch 1", 1),
    ],
)
def test_a_non_finite_logit_is_a_divergence(part, value, place, epoch, tmp_path, spec, monkeypatch):
    split = split_indices(
        [str(n) for n in range(15)], spec.data.split, unit="image", seed=spec.seed, repeat=0
    )
    write(tmp_path / "data")
    plain = Image.new("RGB", (32, 32), (255, 255, 255))
    plain.save(tmp_path / "data" / "images" / f"{getattr(split, part)[0]:02}.png")
    monkeypatch.setattr(running, "build_model", lambda *_, **__: Breaking(value))
    tested = dataclasses.replace(spec, data=dataclasses.replace(spec.data, measured_on="test"))
    found = train(tested, tmp_path / "data", tmp_path)
    assert (found.status, found.metrics, found.images) == (TrialStatus.DIVERGED, {}, ())
    number = len(getattr(split, part))
    broken = f"the network's output became NaN or infinite on 1 of {number} images"
    assert found.message == f"{place}: {broken}"
    assert found.best_epoch == epoch
