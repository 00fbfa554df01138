"""What the study asks of every model of the catalogue, in its smallest form.

Any size, both layouts, ten losses in two arithmetics, a batch of one, initial weights.
"""

from __future__ import annotations

import hashlib
import inspect
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.workers.models.demands import check_sizes_and_layouts, check_ten_losses
from workers.catalogue.models import MODELS, complete_model, min_train_batch
from workers.contract import Component, TrainingProtocol
from workers.models import build_model
from workers.models.fcn import FCN8s
from workers.run import initial_model
from workers.training import supervised_loss

SMALL: list[tuple[str, dict[str, Any]]] = [
    ("unet", {"width": 4}),
    ("unet", {"encoder": "resnet18"}),
    ("unetpp", {"width": 4}),
    ("unetpp", {"encoder": "resnet18"}),
    ("colonsegnet", {}),
    ("deeplabv3plus", {"encoder": "mobilenet_v2"}),
    ("esfpnet", {"variant": "T"}),
    ("duck-net", {"filters": 2}),
    ("emcad", {"variant": "B0"}),
    ("fanet", {"iterations": 2}),
    ("nnunet", {"stages": 4}),
    ("nnunet-resenc", {"stages": 4}),
    ("frozen-vit", {"encoder": "tu-vit_tiny_patch16_224"}),
    ("smp", {"architecture": "FPN", "encoder": "resnet18"}),
]
LARGE: list[tuple[str, dict[str, Any]]] = [
    ("fcn", {}),
    ("fat-net", {}),
    ("fcbformer", {}),
    ("colonformer", {"variant": "S"}),
    ("caranet", {}),
]
SLOW = [pytest.mark.slow, pytest.mark.timeout(120)]


@dataclass(frozen=True)
class Case:
    name: str
    parameters: dict[str, Any]
    network: nn.Module


def test_every_model_is_here():
    assert {name for name, _ in SMALL + LARGE} == set(MODELS)


def build(name: str, parameters: dict[str, Any], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    if name != "fcn":
        return build_model(name, **parameters)
    network = FCN8s(1, fc_width=64)  # with 4096 a build takes seconds and checks no more
    # Its scores start at zero and hide what is before them.
    for score in (network.score_32, network.score_16, network.score_8):
        nn.init.normal_(score.weight, std=0.01)
    return network


@pytest.fixture(
    scope="module",
    params=[*SMALL, *(pytest.param(case, marks=SLOW) for case in LARGE)],
    ids=lambda case: "-".join(map(str, (case[0], *case[1].values()))),
)
def case(request: pytest.FixtureRequest) -> Case:
    """A network of the catalogue, built once for all tests of this file."""
    name, parameters = request.param
    return Case(name, parameters, build(name, parameters))


def numpy_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002


def images(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_any_size_and_layout(case):
    check_sizes_and_layouts(case.network, (32, 32), (96, 64), (512, 32))


@pytest.mark.parametrize("name", ["unet", "duck-net"])
def test_the_largest_size(name):
    width = {"width": 2} if name == "unet" else {"filters": 1}
    check_sizes_and_layouts(build(name, width), (512, 512))


def test_ten_losses_in_both_arithmetics(case):
    for autocast in (False, True):
        check_ten_losses(case.network, images(2, 3, 64, 64), autocast=autocast)


def any_scalar(logits_BCHW: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return logits_BCHW.square().mean()


def test_batch_of_one_trains_or_is_refused_by_the_catalogue(case):
    network = case.network.train()
    complete = complete_model(case.name, case.parameters)[1]
    target = torch.zeros(2, 64, 64, dtype=torch.long)
    for side in (32, 64):
        least = min_train_batch(case.name, complete, side)
        output = network(images(least, 3, side, side))
        value = supervised_loss(any_scalar, output, target, TrainingProtocol())
        value.backward()
        assert value.isfinite()
        if least > 1 and not case.parameters.get("encoder"):
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                network(images(1, 3, side, side))


def test_seed_of_torch_alone_fixes_the_weights(case):
    others = random.getstate(), numpy_state()
    again, other = (build(case.name, case.parameters, seed) for seed in (0, 1))
    assert (random.getstate(), numpy_state()) == others
    weights = dict(case.network.named_parameters())
    assert all(torch.equal(weights[key], tensor) for key, tensor in again.named_parameters())
    assert any(not torch.equal(weights[key], tensor) for key, tensor in other.named_parameters())


def digest(model: Component, *, seed: int, repeat: int) -> str:
    """Returns a digest of the weights that a trial starts from."""
    torch.randn(repeat)  # a reused process has drawn numbers before
    content = hashlib.sha256()
    for key, tensor in initial_model(model, (), seed=seed, repeat=repeat).state_dict().items():
        content.update(key.encode() + tensor.contiguous().numpy().tobytes())
    return content.hexdigest()


def test_initial_weights_depend_on_model_seed_and_repeat():
    # All losses start from the same weights, because none of these arguments holds the loss.
    arguments = {"model", "files", "seed", "repeat"}
    assert set(inspect.signature(initial_model).parameters) == arguments
    plain, wide = (Component(name="unet", parameters={"width": width}) for width in (2, 4))
    digests = [
        digest(model, seed=seed, repeat=repeat)
        for model, seed, repeat in [(plain, 42, 0), (wide, 42, 0), (plain, 43, 0), (plain, 42, 1)]
    ]
    assert len(set(digests)) == 4
    assert digest(plain, seed=42, repeat=0) == digests[0]
