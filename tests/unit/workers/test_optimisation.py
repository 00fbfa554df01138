"""Optimizers, schedules, clipping and averaging: rates by hand, and torch used by hand."""

import copy

import pytest
import torch
from torch import nn

from workers.contract import TrainingProtocol
from workers.optimisation import Optimisation

HALF = 0.5**0.9


def optimisation(model, steps_per_epoch=2, learning_rate=0.1, **options):
    protocol = TrainingProtocol(**{"max_epochs": 4} | options)
    return Optimisation(
        model, protocol, learning_rate=learning_rate, steps_per_epoch=steps_per_epoch
    )


def rates(steps_per_epoch=2, **options):
    """Returns the learning rate of each step of four epochs, relative to the full rate."""
    model = nn.Linear(1, 1)
    found = optimisation(model, steps_per_epoch, learning_rate=1.0, **options)
    used = []
    for _ in range(4):
        for _ in range(steps_per_epoch):
            used.append(found.optimizer.param_groups[0]["lr"])
            found.backward(model(torch.ones(1, 1)).sum())
            found.update()
        found.end_epoch()
    return used


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1] * 8),
        ({"schedule": "poly", "schedule_power": 1.0}, [1, 1, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25]),
        ({"schedule": "poly", "schedule_power": 1.0, "schedule_unit": "step"},
         [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ({"schedule": "cosine"}, [1, 1, 0.853553, 0.853553, 0.5, 0.5, 0.146447, 0.146447]),
        ({"schedule": "step", "schedule_interval": 2}, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1]),
        ({"schedule": "step", "schedule_interval": 1, "schedule_factor": 0.5,
          "schedule_unit": "step"}, [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]),
        ({"warmup_epochs": 1}, [0.5, 0.5, 1, 1, 1, 1, 1, 1]),
        ({"warmup_epochs": 1, "schedule_unit": "step"}, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1]),
        ({"warmup_epochs": 2, "schedule": "poly"}, [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1, HALF, HALF]),
        ({"warmup_epochs": 2, "schedule": "step", "schedule_interval": 1},
         [1 / 3, 1 / 3, 2 / 3, 2 / 3, 1, 1, 0.1, 0.1]),
    ],
)  # fmt: skip
def test_learning_rate_of_each_step_is_as_by_hand(options, expected):
    assert rates(**options) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "kind", "given"),
    [
        ({}, torch.optim.Adam, {}),
        ({"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}, torch.optim.Adam,
         {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
        ({"optimizer": "adamw", "weight_decay": 0.1}, torch.optim.AdamW, {"weight_decay": 0.1}),
        ({"optimizer": "sgd"}, torch.optim.SGD, {}),
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
         torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ],
)  # fmt: skip
def test_optimizer_gives_the_bits_of_torch_used_by_hand(options, kind, given):
    torch.manual_seed(0)
    mine = nn.Linear(3, 2)
    other = copy.deepcopy(mine)
    found = optimisation(mine, gradient_clip_norm=0.5, **options)
    bare = kind(other.parameters(), lr=0.1, **given)
    for _ in range(3):
        batch = torch.rand(4, 3)
        found.backward(mine(batch).square().mean())
        found.update()
        bare.zero_grad()
        other(batch).square().mean().backward()
        nn.utils.clip_grad_norm_(other.parameters(), 0.5)
        bare.step()
    assert torch.equal(mine.weight, other.weight)


def test_average_of_weights_and_buffers_is_as_by_hand():
    linear, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False)
    model = nn.Sequential(linear, norm)
    found = optimisation(model, optimizer="sgd", ema=0.75)
    expected: list[float] = []
    for step in range(3):
        found.backward(model(torch.rand(4, 1) + step).sum() + linear.weight.sum())
        found.update()
        now = [linear.weight.item(), norm.state_dict()["running_mean"].item()]
        before = expected or now
        expected = [0.75 * old + 0.25 * new for old, new in zip(before, now, strict=True)]
    average = found.evaluated.state_dict()
    assert [average["0.weight"].item(), average["1.running_mean"].item()] == pytest.approx(expected)
    assert linear.weight.item() != pytest.approx(expected[0])


def test_gradient_below_the_range_of_float16_still_moves_weights():
    weight = nn.Linear(1, 1, bias=False)
    found = optimisation(weight, optimizer="sgd", precision="float16", learning_rate=1e7)
    before = weight.weight.item()
    with torch.autocast("cpu", dtype=torch.float16):
        output = weight(torch.ones(1, 1))
    found.backward(output.float().sum() * 1e-8)
    found.update()
    assert weight.weight.item() == pytest.approx(before - 0.1, rel=1e-2)
