"""What a loss and a model of one's own may return, and a training that would teach nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from torch import Tensor, nn

from workers.contract import (
    Component,
    DataProtocol,
    EpochRecord,
    FailureClass,
    SpecificationError,
    TrainingProtocol,
)
from workers.datasets import open_dataset
from workers.datasets.cache import load_arrays
from workers.datasets.split import split_indices
from workers.evaluation import sigmoid_note
from workers.failures import classify_failure
from workers.losses import SegmentationLoss, Term, build_loss
from workers.models import SegmentationOutput
from workers.models.output import output_of
from workers.task import Task, prepare_task
from workers.training import train

TRUTH = torch.tensor([[[1, 0], [0, 1]], [[0, 1], [1, 1]]])


def logits() -> Tensor:
    values = [[[[1.0, -2.0], [0.5, 3.0]]], [[[-1.0, 2.0], [0.0, 1.0]]]]
    return torch.tensor(values, requires_grad=True)


def bce(logits_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits_BCHW, truth_BCHW)


def each(logits_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits_BCHW, truth_BCHW, reduction="none")


REFUSED = {
    "one value an image": (lambda x, t: each(x, t).mean((1, 2, 3)), r"a tensor of shape \(2,\)"),
    "a map": (each, r"a tensor of shape \(2, 1, 2, 2\); return one value"),
    "no value": (lambda x, t: each(x, t)[x > 9], r"a tensor of shape \(0,\)"),
    "integer": (lambda x, _: (x > 0).sum(), "a tensor of type torch.int64; return a floating"),
    "complex": (lambda x, t: torch.fft.fft2(x - t).mean(), "a tensor of type torch.complex64"),
    "a number": (lambda x, t: bce(x, t).item(), "a float; return a tensor"),
    "nothing": (lambda x, t: None, "a NoneType"),
    "more than the value": (lambda x, t: (bce(x, t), {}), "a tuple"),
    "detached": (lambda x, t: bce(x.detach(), t), "a value without a gradient to the logits"),
    "wrapped": (lambda x, t: torch.tensor(1.0, requires_grad=True) * 2, "a value without a"),
}


@pytest.mark.parametrize(("loss", "message"), REFUSED.values(), ids=REFUSED)
def test_loss_without_one_differentiable_value_is_refused(loss, message):
    for terms in ([loss], [bce, loss]):
        named = [Term(name=f"term-{n}", compute=term) for n, term in enumerate(terms)]
        found = SegmentationLoss(named)
        name = named[-1].name
        with pytest.raises(SpecificationError, match=f"'{name}' returned {message}") as caught:
            found(logits(), TRUTH)
    assert classify_failure(caught.value) is FailureClass.BUG


@pytest.mark.parametrize(
    "same",
    [lambda x, t: bce(x, t).view(1, 1), lambda x, t: bce(x.double(), t.double())],
    ids=["(1, 1)", "float64"],
)
def test_loss_value_of_another_form_gives_equal_gradients(same):
    one, other = logits(), logits()
    half = Term(name="b", compute=bce, weight=0.5)
    SegmentationLoss([Term(name="a", compute=bce), half])(one, TRUTH).backward()
    value = SegmentationLoss([Term(name="a", compute=same), half])(other, TRUTH)
    value.backward()
    # By hand: 1.5 times the mean of log(1 + exp(-z)) over the eight pixels, z positive where right.
    z = torch.tensor([1, 2, -0.5, 3, 1, 2, 0, 1])
    assert value.item() == pytest.approx(1.5 * (1 + (-z).exp()).log().mean().item())
    torch.testing.assert_close(one.grad, other.grad)


def test_losses_are_measured_without_gradients_as_well():
    with torch.inference_mode():
        assert build_loss("dice+bce")(logits().detach(), TRUTH).isfinite()


class Net(nn.Module):
    """One convolution, and what becomes of its output."""

    def __init__(self, last) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)
        self.last = last

    def forward(self, image_BCHW: Tensor) -> object:
        return self.last(self.layer(image_BCHW), self.training)


MODELS = {
    "tensor": (lambda x, _: x, r"returned a tensor of shape \(2, 1, 32, 32\)"),
    "tuple": (lambda x, _: (x, x), "returned a tuple of 2"),
    "dict": (lambda x, _: {"out": x}, "returned a dict with the keys 'out'"),
    "in one mode": (lambda x, training: x if training else None, "in training mode the model"),
    "two channels": (
        lambda x, _: SegmentationOutput(torch.cat((x, x), 1)),
        r"whose logits_BCHW is a tensor of shape \(2, 2, 32, 32\)",
    ),
    "small map": (
        lambda x, _: SegmentationOutput(x, (x, x[..., ::2, ::2])),
        r"whose auxiliary\[1\] is a tensor of shape \(2, 1, 16, 16\)",
    ),
    "map of no tuple": (lambda x, _: SegmentationOutput(x, x), r"auxiliary\[0\] is a tensor"),
}


@pytest.mark.parametrize(("last", "message"), MODELS.values(), ids=MODELS)
def test_model_with_wrong_output_is_refused_with_remedy(last, message):
    with pytest.raises(SpecificationError, match=message) as caught:
        output_of(Net(last), torch.zeros(2, 3, 32, 32))
    assert "return SegmentationOutput(logits_BCHW) of workers.models, with logits of" in str(
        caught.value
    )


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Task:
    """Twenty generated images on the CPU."""
    cache: Path = tmp_path_factory.mktemp("cache")
    component = Component(name="synthetic-skin", parameters={"num_images": 20})
    arrays = load_arrays(open_dataset(component, None), 32, cache)
    data = DataProtocol(image_size=32)
    split = split_indices(arrays.groups, data.split, unit="image", seed=0, repeat=0)
    return prepare_task(
        arrays, split, TrainingProtocol(max_epochs=2, batch_size=4), torch.device("cpu"),
        normalisation="imagenet", seed=0, repeat=0,
    )  # fmt: skip


class NoCheckpoints:
    def load(self):
        return None

    def save(self, state):
        pass


def epochs_of(model, loss, task):
    records: list[EpochRecord] = []
    train(
        model, loss, task, NoCheckpoints(), records.append,
        learning_rate=0.001, checkpoint_key="", checkpoint_interval_seconds=60,
    )  # fmt: skip
    return records


def out(x: Tensor, training: bool) -> SegmentationOutput:
    return SegmentationOutput(x)


@pytest.mark.parametrize(
    ("last", "loss", "message"),
    [
        (out, lambda x, t: torch.tensor(1.0, requires_grad=True), "no weight of the model got a"),
        (lambda x, _: SegmentationOutput(x.detach()), build_loss("bce"), "no weight of the model"),
        (out, lambda x, t: (x.sigmoid().round() - t.unsqueeze(1)).abs().mean(), "the gradient 0"),
        (out, lambda x, t: 0 * x.sum(), "in the whole first epoch every weight got the gradient 0"),
    ],
    ids=["constant", "detached model", "rounded", "zero"],
)
def test_training_without_gradients_is_refused(task, last, loss, message):
    with pytest.raises(SpecificationError, match=message):
        epochs_of(Net(last), loss, task)


def test_loss_without_slope_on_first_batch_is_trained(task):
    """As a region loss without smoothing has none where no image of the batch has a lesion."""
    calls = []

    def later(x, t):
        calls.append(1)
        return F.binary_cross_entropy_with_logits(x, t.unsqueeze(1).float()) * (len(calls) > 1)

    assert len(epochs_of(Net(out), later, task)) == 2


@pytest.mark.parametrize(
    ("last", "suspected"),
    [
        (lambda x, _: SegmentationOutput(x.sigmoid()), True),
        (lambda x, _: SegmentationOutput(x.clamp(0, 1)), True),
        (lambda x, training: SegmentationOutput(x if training else x.sigmoid()), True),
        (out, False),
        (lambda x, _: SegmentationOutput(x.tanh()), False),
        (lambda x, _: SegmentationOutput(x * float("nan")), False),
    ],
    ids=["sigmoid", "clamped", "sigmoid in evaluation", "logits", "tanh", "NaN"],
)
def test_outputs_between_0_and_1_get_a_note(task, last, suspected):
    torch.manual_seed(0)
    note = sigmoid_note(Net(last), task, "mine")
    assert (note is not None) == suspected
    assert note is None or "model 'mine': all outputs for 4 validation images lie between" in note
