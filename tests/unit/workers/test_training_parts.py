"""Early stopping, checkpoints, failure classes, examples: each checkable by hand."""

import errno
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workers import training
from workers.checkpoint import TrainingState, pack, unpack
from workers.contract import (
    EpochRecord,
    FailureClass,
    TrainingProtocol,
    UserError,
)
from workers.datasets.cache import DatasetArrays
from workers.datasets.likeness.relations import unrelated
from workers.datasets.split import Split
from workers.evaluation import choose_examples
from workers.failures import classify_failure, spoils_process
from workers.losses import build_loss
from workers.models import build_model
from workers.optimisation import Optimisation
from workers.seeding import derive_seed
from workers.task import prepare_task

CPU = torch.device("cpu")


def record(epoch, dice, seconds=1.0):
    return EpochRecord(
        epoch=epoch, train_loss=0.5, val_dice=dice, val_iou=dice / 2, seconds=seconds
    )


def state_of(dices, model=None):
    progress = TrainingState()
    for epoch, dice in enumerate(dices, start=1):
        progress.update(record(epoch, dice), model or nn.Linear(1, 1))
    return progress


@pytest.mark.parametrize(
    ("dices", "best", "over"),
    [
        ([], None, False),
        ([0.1], 1, False),
        ([0.3, 0.2], 1, False),
        ([0.3, 0.2, 0.3], 1, True),  # an equal Dice is not better
        ([0.3, 0.2, 0.31], 3, False),
        ([0.0, 0.0, 0.0], 1, True),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6, True),  # the last epoch
    ],
)
def test_training_stops_after_patience_or_the_last_epoch(dices, best, over):
    progress = state_of(dices)
    assert progress.best_epoch == best
    assert progress.is_over(max_epochs=6, patience=2) is over


def test_the_best_weights_are_a_copy():
    model = nn.Linear(1, 1)
    progress = state_of([0.5], model)
    kept = progress.best_weights["weight"].clone()
    with torch.no_grad():
        model.weight.add_(1)
    assert torch.equal(progress.best_weights["weight"], kept)


def adam(model, learning_rate=0.001):
    return Optimisation(model, TrainingProtocol(), learning_rate=learning_rate, steps_per_epoch=1)


def trained(steps):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = adam(model, 0.1)
    for _ in range(steps):
        optimizer.backward(model(torch.rand(8, 3)).square().mean())
        optimizer.update()
    return model, optimizer


def test_a_checkpoint_gives_back_every_bit():
    model, optimizer = trained(3)
    progress = state_of([0.1, 0.4, 0.2], model)
    content = pack("id", progress, model, optimizer)
    expected = torch.rand(4)
    other, other_optimizer = trained(1)
    found = unpack(content, "id", other, other_optimizer, CPU)
    assert found is not None
    assert torch.equal(torch.rand(4), expected)
    assert found.history == progress.history
    assert (found.best_epoch, found.best_dice, found.seconds) == (2, 0.4, 3.0)
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
        assert torch.equal(found.best_weights[key], progress.best_weights[key])
    states = [adam.optimizer.state_dict()["state"] for adam in (optimizer, other_optimizer)]
    for mine, theirs in zip(*(s.values() for s in states), strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def devices(model, optimizer, progress):
    """Returns the device of every tensor that a training keeps."""
    found = {f"weight {key}": value.device.type for key, value in model.state_dict().items()}
    for number, state in optimizer.state_dict()["optimizer"]["state"].items():
        found |= {f"{key} {number}": value.device.type for key, value in state.items()}
    return found | {f"best {key}": v.device.type for key, v in progress.best_weights.items()}


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter:UserWarning")
def test_resumed_tensors_are_on_the_devices_of_a_fresh_trial():
    trained_on_cpu = trained(2)
    content = pack("id", state_of([0.1], trained_on_cpu[0]), *trained_on_cpu)
    meta = torch.device("meta")
    with meta:
        fresh, resumed = (
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)) for _ in range(2)
        )
        fresh_adam = adam(fresh)
        fresh_adam.backward(fresh(torch.rand(8, 3)).sum())
    fresh_adam.update()
    resumed_adam = adam(resumed)
    progress = unpack(content, "id", resumed, resumed_adam, meta)
    assert progress is not None
    expected = devices(fresh, fresh_adam, state_of([0.1], fresh))
    assert expected["step 0"] == "cpu"
    assert expected["exp_avg 0"] == "meta"
    assert devices(resumed, resumed_adam, progress) == expected


def test_a_checkpoint_is_one_copy_on_the_host():
    model = nn.Linear(1000, 500)
    optimizer = adam(model)
    tracemalloc.start()
    try:
        content = pack("id", state_of([0.1], model), model, optimizer)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(content) > 2 * 500 * 1000 * 4
    assert peak < 1.5 * len(content)


class SlowSaves:
    """Checkpoints on a clock that a test turns."""

    def __init__(self, seconds: float):
        self.now, self.seconds = 0.0, seconds
        self.saved_at: list[float] = []

    def load(self):
        return None

    def save(self, state):
        self.saved_at.append(self.now)
        self.now += self.seconds


@pytest.mark.parametrize(
    ("seconds", "interval", "expected"),
    [
        (0.0, 60.0, [60, 120, 180, 240, 300, 360]),
        (1.0, 60.0, [60, 121, 182, 243, 304, 365]),
        (4.0, 60.0, [60, 264]),  # 2 % of 200 s
        (4.0, 0.0, None),
    ],
)
def test_saving_takes_at_most_2_percent_of_a_training(seconds, interval, expected, monkeypatch):
    saves = SlowSaves(seconds)

    train_epoch = training.train_epoch

    def epoch(*words):
        saves.now += 20
        return train_epoch(*words)

    monkeypatch.setattr(training, "train_epoch", epoch)
    arrays = DatasetArrays(
        images=np.zeros((4, 32, 32, 3), np.uint8), masks=np.ones((4, 32, 32), np.uint8),
        names=tuple("abcd"), relations=unrelated(tuple("abcd")), fingerprint="",
    )  # fmt: skip
    part = np.arange(1)
    task = prepare_task(
        arrays, Split(train=part, val=part, test=part),
        TrainingProtocol(max_epochs=18, patience=18), CPU,
        normalisation="imagenet", seed=1, repeat=0,
    )  # fmt: skip
    training.train(
        build_model("unet", width=2), build_loss("dice"), task, saves, lambda _: None,
        learning_rate=0.001, checkpoint_key="id", checkpoint_interval_seconds=interval,
        clock=lambda: saves.now,
    )  # fmt: skip
    if expected is None:
        assert len(saves.saved_at) == 18
    else:
        assert [round(at) for at in saves.saved_at] == expected


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_damaged_or_foreign_checkpoint_is_ignored(data):
    model, optimizer = trained(1)
    content = pack("id", state_of([0.1], model), model, optimizer)
    cut = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[cut] ^= 1 << data.draw(st.integers(0, 7))
    for torn in (content[:cut], bytes(flipped), data.draw(st.binary(max_size=64))):
        assert unpack(torn, "id", model, optimizer, CPU) is None
    assert unpack(content, "another id", model, optimizer, CPU) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), FailureClass.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), FailureClass.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), FailureClass.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), FailureClass.INFRASTRUCTURE),
        (ConnectionResetError(), FailureClass.INFRASTRUCTURE),
        (UserError("data.root: /data is gone"), FailureClass.INFRASTRUCTURE),
        (RuntimeError("CUDA error: out of memory"), FailureClass.OUT_OF_MEMORY),
        (RuntimeError("cuBLAS: CUBLAS_STATUS_ALLOC_FAILED"), FailureClass.OUT_OF_MEMORY),
        (RuntimeError("CUDA driver error: out of memory"), FailureClass.OUT_OF_MEMORY),
        (
            RuntimeError("GET was unable to find an engine to execute this computation"),
            FailureClass.OUT_OF_MEMORY,
        ),
        (
            RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
            FailureClass.OUT_OF_MEMORY,
        ),
        (
            RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp"),
            FailureClass.OUT_OF_MEMORY,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), FailureClass.INFRASTRUCTURE),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED"), FailureClass.INFRASTRUCTURE),
        (RuntimeError("CUDA error: uncorrectable ECC error"), FailureClass.INFRASTRUCTURE),
        (RuntimeError("CUDA error: device-side assert triggered"), FailureClass.BUG),
        (RuntimeError("shapes do not match"), FailureClass.BUG),
        (KeyError("x"), FailureClass.BUG),
    ],
)
def test_failures_fall_into_the_documented_classes(error, expected):
    assert classify_failure(error) == expected


@pytest.mark.parametrize("text", ["CUDNN_STATUS_EXECUTION_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"])
def test_library_without_memory_under_a_cap_is_out_of_memory(text):
    error = RuntimeError(f"CUDA error: {text} when calling `cublasCreate(handle)`")
    assert classify_failure(error, capped=True) == FailureClass.OUT_OF_MEMORY
    assert spoils_process(error)
    assert classify_failure(ValueError("shapes do not match"), capped=True) == FailureClass.BUG


@pytest.mark.parametrize(
    ("error", "spoiled"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator"), True),
        (RuntimeError("shapes do not match"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_memory_and_device_errors_spoil_the_process(error, spoiled):
    assert spoils_process(error) == spoiled


def test_examples_are_the_lesions_of_median_size():
    masks = np.zeros((6, 4, 4), dtype=np.uint8)
    for index, area in enumerate([0, 1, 4, 5, 9, 16]):
        masks[index].flat[:area] = 1
    test = np.array([0, 1, 3, 4, 5])  # lesion areas 1, 5, 9, 16: the median is 7
    assert choose_examples(masks, test, 2).tolist() == [3, 4]
    assert choose_examples(masks, test, 0).tolist() == []
    assert choose_examples(masks, np.array([0]), 2).tolist() == [0]


@given(st.integers(0, 2**32), st.integers(0, 10**4))
def test_seeds_differ_by_purpose_and_fit_numpy_and_torch(seed, repeat):
    seeds = {derive_seed(seed, purpose, repeat) for purpose in ("split", "order", "weights")}
    assert len(seeds) == 3
    assert all(0 <= value < 2**63 for value in seeds)
    assert derive_seed(seed, "order", repeat, 1) != derive_seed(seed, "order", repeat, 2)


def test_known_seeds_do_not_change():
    assert derive_seed(42, "split", 0) == 2920161281362719258
