"""Weights that change with the epoch: by hand, and with the same bits after a stop."""

from __future__ import annotations

import pytest
import torch

from workers.catalogue.losses import weight_in_epoch
from workers.contract import Component, DataProtocol, Runtime, TrainingProtocol, TrialSpec
from workers.losses import build_loss
from workers.run import run_trial

FALLING = {"start": 1.0, "end": 0.25, "epochs": 4}
RISING = {"start": 0.0, "end": 0.75, "epochs": 4}


def test_weight_falls_in_equal_steps_and_then_stays():
    assert [weight_in_epoch(FALLING, epoch) for epoch in range(1, 7)] == [
        1.0, 0.75, 0.5, 0.25, 0.25, 0.25,
    ]  # fmt: skip
    assert weight_in_epoch(0.3, 7) == 0.3


def test_sum_has_the_weights_of_its_epoch():
    logits = torch.tensor([[[[2.0, -1.0], [0.5, -3.0]]]], dtype=torch.float64)
    target = torch.tensor([[[1, 0], [1, 0]]])
    loss = build_loss("dice+boundary", weights=[FALLING, RISING])
    dice, boundary = (build_loss(name)(logits, target).item() for name in ("dice", "boundary"))
    for epoch, weights in ((1, (1.0, 0.0)), (3, (0.5, 0.5)), (9, (0.25, 0.75))):
        expected = weights[0] * dice + weights[1] * boundary
        assert loss.at(epoch)(logits, target).item() == pytest.approx(expected, rel=1e-12)
    assert loss(logits, target).item() == dice


class Checkpoint:
    """Keeps the state of a trial in memory."""

    def __init__(self) -> None:
        self.content = None

    def load(self):
        return self.content

    def save(self, content):
        self.content = content


def spec_with(weights):
    return TrialSpec(
        dataset=Component(
            name="synthetic-skin", parameters={"num_images": 10, "seed": 0, "size": 32}
        ),
        model=Component(name="unet", parameters={"width": 2}),
        loss=Component(name="dice+boundary", parameters={"weights": weights}),
        repeat=0,
        seed=1,
        data=DataProtocol(image_size=32),
        training=TrainingProtocol(max_epochs=4, patience=9),
    )


def test_training_with_a_schedule_continues_with_the_same_bits(tmp_path):
    runtime = Runtime(data_root=None, cache_dir=str(tmp_path), checkpoint_interval_seconds=0)

    def train(weights, checkpoint, last_epoch=9):
        losses = []

        def on_epoch(record):
            losses.append((record.train_loss, record.val_dice))
            if record.epoch > last_epoch:
                raise KeyboardInterrupt

        run_trial(spec_with(weights), runtime, checkpoint, on_epoch)
        return losses

    whole = train([FALLING, RISING], Checkpoint())
    stopped = Checkpoint()
    with pytest.raises(KeyboardInterrupt):
        train([FALLING, RISING], stopped, last_epoch=2)
    assert stopped.content is not None
    assert train([FALLING, RISING], stopped) == whole
    constant = train([1.0, 0.0], Checkpoint())
    assert constant[0] == whole[0]  # in epoch 1 the weights are the same
    assert constant[1] != whole[1]
