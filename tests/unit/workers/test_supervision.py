"""The loss over several outputs: by hand, its gradients, and what a model asks of its weights."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.unit.workers.models.demands import without_memory
from workers.catalogue.models import MODELS, complete_model, num_supervised
from workers.contract import Component, DataProtocol, TrainingProtocol, TrialSpec
from workers.losses import build_loss
from workers.models import SegmentationOutput
from workers.requirements import batch_problem, left_out_note, supervision_problem
from workers.training import supervised_loss

LOSS = build_loss("iou+focal")
TARGET = (torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).long()


def leaves(number: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 1, 8, 8, generator=generator, requires_grad=True) for _ in range(number)]


def gradients(value: torch.Tensor, maps: list[torch.Tensor]) -> list[torch.Tensor]:
    return [
        torch.zeros_like(m) if g is None else g
        for m, g in zip(maps, torch.autograd.grad(value, maps, allow_unused=True), strict=True)
    ]


@pytest.mark.parametrize(
    ("protocol", "weights"),
    [
        (TrainingProtocol(), (1, 1, 1)),
        (TrainingProtocol(auxiliary_weight=0.5), (0.5, 0.5, 0.5)),
        (TrainingProtocol(auxiliary_weight=(0.1, 0.0, 2.0)), (0.1, 0, 2)),
        (TrainingProtocol(auxiliary_weight=0), (0, 0, 0)),
        (TrainingProtocol(deep_supervision=False), (0, 0, 0)),
        (TrainingProtocol(deep_supervision=False, auxiliary_weight=(1, 1, 1)), (0, 0, 0)),
    ],
    ids=str,
)
def test_gradients_are_those_of_the_sum_written_by_hand(protocol, weights):
    maps = leaves(4)
    value = supervised_loss(LOSS, SegmentationOutput(maps[0], tuple(maps[1:])), TARGET, protocol)
    by_hand = LOSS(maps[0], TARGET)
    for weight, logits in zip(weights, maps[1:], strict=True):
        by_hand = by_hand + weight * LOSS(logits, TARGET)
    torch.testing.assert_close(value, by_hand)
    for mine, theirs in zip(gradients(value, maps), gradients(by_hand, maps), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("given", "used"),
    [(1.0, (0.5, 0.25)), (2.0, (1.0, 0.5)), ((1.0, 3.0), (1.0, 3.0)), (0.0, (0.0, 0.0))],
)
def test_number_scales_and_list_replaces_the_authors_weights(given, used):
    maps = leaves(3)
    output = SegmentationOutput(maps[0], tuple(maps[1:]), weights=(0.5, 0.25))
    value = supervised_loss(LOSS, output, TARGET, TrainingProtocol(auxiliary_weight=given))
    by_hand = LOSS(maps[0], TARGET)
    for weight, logits in zip(used, maps[1:], strict=True):
        by_hand = by_hand + weight * LOSS(logits, TARGET)
    assert torch.equal(value, by_hand)


def test_mutation_loss_is_the_sum_over_15_subsets():
    maps = leaves(4)
    output = SegmentationOutput(maps[3], tuple(maps[:3]), mutation=True)
    value = supervised_loss(LOSS, output, TARGET, TrainingProtocol())
    subsets = [chosen for size in (1, 2, 3, 4) for chosen in itertools.combinations(maps, size)]
    assert len(subsets) == 15
    by_hand = sum(LOSS(torch.stack(chosen).sum(0), TARGET) for chosen in subsets)
    torch.testing.assert_close(value, by_hand)
    for mine, theirs in zip(gradients(value, maps), gradients(by_hand, maps), strict=True):
        torch.testing.assert_close(mine, theirs)
    alone = supervised_loss(LOSS, output, TARGET, TrainingProtocol(deep_supervision=False))
    torch.testing.assert_close(alone, LOSS(maps[3], TARGET))


def test_output_with_weight_0_is_not_used():
    (final,) = leaves(1)
    broken = torch.full_like(final, float("nan"))
    protocol = TrainingProtocol(auxiliary_weight=(0.0,))
    value = supervised_loss(LOSS, SegmentationOutput(final, (broken,)), TARGET, protocol)
    assert value.isfinite()


def test_wrong_number_of_output_weights_is_an_error():
    final, other = leaves(2)
    protocol = TrainingProtocol(auxiliary_weight=(1.0, 1.0))
    with pytest.raises(ValueError, match="shorter"):
        supervised_loss(LOSS, SegmentationOutput(final, (other,)), TARGET, protocol)


def spec(model: str, size: int = 32, **training: Any) -> TrialSpec:
    return TrialSpec(
        dataset=Component(name="synthetic-skin", label="skin"),
        model=Component(name=model, parameters=complete_model(model, {})[1]),
        loss=Component(name="bce"),
        repeat=0,
        seed=0,
        data=DataProtocol(image_size=size),
        training=replace(TrainingProtocol(), **training),
    )


@pytest.mark.parametrize(
    ("model", "number"),
    [("unetpp", 3), ("caranet", 3), ("colonformer", 3), ("emcad", 14), ("nnunet", 3), ("unet", 0)],
)
def test_list_of_output_weights_must_fit_the_model(model, number):
    assert num_supervised(model, complete_model(model, {})[1]) == number
    assert supervision_problem(spec(model, auxiliary_weight=(1.0,) * (number or 2))) is None
    assert supervision_problem(spec(model, auxiliary_weight=2.0)) is None
    wrong = supervision_problem(spec(model, auxiliary_weight=(1.0, 1.0)))
    if number:
        assert wrong == (
            f"training.auxiliary_weight has 2 weights, and model {model!r} trains {number} outputs "
            f"beside the prediction: give {number} weights, or one for all"
        )
    else:
        assert wrong is None


SMALL = [
    ("unet", {"width": 2}), ("unetpp", {"width": 2}), ("unetpp", {"encoder": "resnet18"}),
    ("unetpp", {"width": 2, "deep_supervision": False}), ("emcad", {"variant": "B0"}),
    ("emcad", {"variant": "B0", "mutation": False}), ("esfpnet", {"variant": "T"}),
    ("duck-net", {"filters": 2}), ("colonsegnet", {}), ("nnunet", {"stages": 4}),
    ("nnunet-resenc", {"stages": 5}),
]  # fmt: skip
WHOLE = [
    pytest.param(name, {}, marks=[pytest.mark.slow, pytest.mark.timeout(120)])
    for name in MODELS
    if name not in ("unet", "unetpp", "esfpnet", "duck-net", "colonsegnet")
]


@pytest.mark.parametrize(("name", "parameters"), [*SMALL, *WHOLE])
def test_catalogue_has_the_outputs_of_every_model(name, parameters):
    network = without_memory(name, **parameters).eval()
    output = network(torch.zeros(1, 3, 64, 64, device="meta"))
    complete = complete_model(name, parameters)[1]
    assert len(output.supervised()) == num_supervised(name, complete)


@pytest.mark.parametrize(
    ("model", "size", "batch", "images", "refused", "left_out"),
    [
        ("colonformer", 224, 1, 9, True, False),
        ("colonformer", 224, 8, 1, True, False),
        ("colonformer", 224, 8, 9, False, True),
        ("colonformer", 224, 8, 8, False, False),
        ("colonformer", 224, 8, 10, False, False),
        ("caranet", 32, 8, 9, False, True),
        ("caranet", 64, 8, 9, False, False),
        ("caranet", 64, 1, 9, False, False),
        ("unet", 32, 1, 1, False, False),
    ],
)
def test_small_batches_are_refused_or_not_trained_on(model, size, batch, images, refused, left_out):
    trial = spec(model, size, batch_size=batch)
    problem, note = batch_problem(trial, images), left_out_note(trial, images)
    assert (problem is not None) == refused
    if problem:
        assert f"model {model!r} needs at least 2 images in a training step" in problem
        assert "raise training.batch_size or use more images" in problem
    elif left_out:
        assert note == (
            "the last batch of each epoch (1 of 9 training images, different ones in each epoch) "
            "is not trained on: the model needs 2 images in a step"
        )
    else:
        assert note is None
