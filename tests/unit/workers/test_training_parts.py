"""Early stopping, checkpoints, failure classes, examples: each checkable by hand."""

import errno

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workers.checkpoint import Progress, pack, unpack
from workers.contract import EpochRecord, FailureClass, UserError
from workers.evaluation import choose_examples
from workers.failures import classify_failure, spoils_process
from workers.seeding import derive_seed

CPU = torch.device("cpu")


def record(epoch, dice, seconds=1.0):
    return EpochRecord(
        epoch=epoch, train_loss=0.5, val_dice=dice, val_iou=dice / 2, seconds=seconds
    )


def progress_of(dices, model=None):
    progress = Progress()
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
    progress = progress_of(dices)
    assert progress.best_epoch == best
    assert progress.is_over(max_epochs=6, patience=2) is over


def test_the_best_weights_are_a_copy():
    model = nn.Linear(1, 1)
    progress = progress_of([0.5], model)
    kept = progress.best_weights["weight"].clone()
    with torch.no_grad():
        model.weight.add_(1)
    assert torch.equal(progress.best_weights["weight"], kept)


def trained(steps):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.rand(8, 3)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def test_a_checkpoint_gives_back_every_bit():
    model, optimizer = trained(3)
    progress = progress_of([0.1, 0.4, 0.2], model)
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
    states = optimizer.state_dict()["state"], other_optimizer.state_dict()["state"]
    for mine, theirs in zip(*(s.values() for s in states), strict=True):
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_a_torn_or_foreign_checkpoint_is_no_checkpoint(data):
    model, optimizer = trained(1)
    content = pack("id", progress_of([0.1], model), model, optimizer)
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
        (RuntimeError("CUDA error: uncorrectable ECC error"), FailureClass.INFRASTRUCTURE),
        (RuntimeError("CUDA error: device-side assert triggered"), FailureClass.BUG),
        (RuntimeError("shapes do not match"), FailureClass.BUG),
        (KeyError("x"), FailureClass.BUG),
    ],
)
def test_failures_fall_into_the_documented_classes(error, expected):
    assert classify_failure(error) == expected


@pytest.mark.parametrize(
    ("error", "spoiled"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("shapes do not match"), False),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_memory_and_device_errors_leave_a_process_that_nobody_should_use(error, spoiled):
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
