"""The training loop: epochs, early stopping, checkpoints, divergence."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from workers.checkpoint import TrainingState, pack, unpack
from workers.contract import (
    Checkpoints,
    EpochRecord,
    OnEpoch,
    SpecificationError,
    TrainingProtocol,
)
from workers.evaluation import NonFiniteOutputError, count_images
from workers.losses import SegmentationLoss
from workers.metrics.scores import score_images
from workers.models import SegmentationOutput
from workers.models.output import output_of
from workers.optimisation import Optimisation
from workers.task import Task

Loss = Callable[..., Tensor]

MAX_SAVING_FRACTION = 0.02
"""Largest fraction of a training's time spent on saving its state (2 GiB for FCN)."""


class DivergedError(Exception):
    """The loss or the output became NaN or infinite; the trial ends with the worst result."""

    def __init__(self, message: str, state: TrainingState) -> None:
        super().__init__(message)
        self.state = state


def train(
    model: nn.Module,
    loss: Loss,
    task: Task,
    checkpoints: Checkpoints,
    on_epoch: OnEpoch,
    *,
    learning_rate: float,
    checkpoint_key: str,
    checkpoint_interval_seconds: float,
    min_train_batch: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> TrainingState:
    """Trains until early stopping or the last epoch, then restores the best weights.

    The state is saved at the end of an epoch if `checkpoint_interval_seconds` have passed since the
    last save, and at least fifty times the duration of that save. On a CPU, a training that
    continues from a saved state ends with the same bits as one that was never stopped: the order
    of images depends only on seed, repeat and epoch, and all other random state is saved.

    Args:
        model: On the task's device.
        loss: Takes (logits_BCHW, target_BHW), and `maps` if the task has maps of the masks.
        task: The images and the protocol.
        checkpoints: Where the state is saved.
        on_epoch: Called with each epoch's record, also those of a saved state.
        learning_rate: Step size of the optimizer.
        checkpoint_key: Names the trial and its data; a state under another key is not used.
        checkpoint_interval_seconds: See above; 0 saves after every epoch.
        min_train_batch: Smaller batches are not trained on.
        clock: Monotonic seconds.

    Raises:
        DivergedError: The summed loss of an epoch, or a logit of a validation image, is not finite.
        SpecificationError: The model or the loss returned something that is not allowed, no weight
            got a gradient in the first step, or all gradients of the first epoch were zero.
    """
    protocol = task.training
    optimisation = Optimisation(
        model,
        protocol,
        learning_rate=learning_rate,
        steps_per_epoch=len(_batches(task, 1, min_train_batch)),
    )
    trained = compiled(model) if protocol.compiled else model
    saved = checkpoints.load()
    state = saved and unpack(saved, checkpoint_key, model, optimisation, task.device)
    if not state:
        state = TrainingState()
    for record in state.history:
        on_epoch(record)
    last_save, pause_seconds = clock(), checkpoint_interval_seconds
    while not state.is_over(max_epochs=protocol.max_epochs, patience=protocol.patience):
        record = _run_epoch(trained, loss, task, optimisation, state, min_train_batch, clock)
        state.update(record, optimisation.evaluated)
        on_epoch(record)
        began = clock()
        if began - last_save >= pause_seconds:
            checkpoints.save(pack(checkpoint_key, state, model, optimisation))
            last_save = clock()
            if checkpoint_interval_seconds:
                pause_seconds = max(
                    checkpoint_interval_seconds, (last_save - began) / MAX_SAVING_FRACTION
                )
    model.load_state_dict(state.best_weights)
    return state


def compiled(model: nn.Module) -> nn.Module:
    """Returns the same network behind torch.compile, for training.

    It is compiled for two sizes: full batches and the last batch. Evaluation would add many more.
    """
    return cast("nn.Module", torch.compile(model, dynamic=False))


def _run_epoch(
    trained: nn.Module,
    loss: Loss,
    task: Task,
    optimisation: Optimisation,
    state: TrainingState,
    min_train_batch: int,
    clock: Callable[[], float],
) -> EpochRecord:
    began = clock()
    epoch = state.epoch + 1
    if isinstance(loss, SegmentationLoss):
        loss = loss.at(epoch)
    train_loss = train_epoch(trained, loss, task, optimisation, epoch, min_train_batch)
    if not math.isfinite(train_loss):
        message = f"the training loss became {train_loss} in epoch {epoch}"
        raise DivergedError(message, state)
    try:
        counts = count_images(optimisation.evaluated, task, task.indices(task.split.val))
    except NonFiniteOutputError as error:
        message = f"validation in epoch {epoch}: {error}"
        raise DivergedError(message, state) from error
    scores = score_images(counts)
    return EpochRecord(
        epoch=epoch,
        train_loss=train_loss,
        val_dice=scores["dice"],
        val_iou=scores["iou"],
        seconds=clock() - began,
    )


_REMEDY = (
    "so that nothing would be learned: compute the model's output and the loss with functions of "
    "torch that have a gradient, without detach(), numpy, argmax, round() or comparisons on the way"
)


def _backward(step_loss: Tensor, optimisation: Optimisation, *, is_first: bool) -> None:
    """Computes the gradients.

    Raises:
        SpecificationError: No weight got a gradient. This is checked once per epoch.
    """
    if step_loss.requires_grad:
        optimisation.backward(step_loss)
        if not is_first or optimisation.gradients():
            return
    message = f"no weight of the model got a gradient from the loss, {_REMEDY}"
    raise SpecificationError(message)


def supervised_loss(
    loss: Loss, output: SegmentationOutput, target_BHW: Tensor, protocol: TrainingProtocol
) -> Tensor:
    """Returns the loss of the prediction plus, with deep supervision, the losses of the other maps.

    The maps are `SegmentationOutput.supervised`; each loss is multiplied by its weight. One weight
    in the protocol multiplies the weights that the model's authors gave the maps; several replace
    them. A map with weight 0 is skipped.

    Raises:
        ValueError: There are several weights, but not one per map.
    """
    total = loss(output.logits_BCHW, target_BHW)
    weights = protocol.auxiliary_weight
    if not protocol.deep_supervision or not weights:
        return total
    maps = output.supervised()
    if isinstance(weights, int | float):
        weights = tuple(weights * own for own in output.weights or (1,) * len(maps))
    if not maps:
        return total
    for weight, logits_BCHW in zip(weights, maps, strict=True):
        if weight:
            total = total + weight * loss(logits_BCHW, target_BHW)
    return total


def train_epoch(
    model: nn.Module,
    loss: Loss,
    task: Task,
    optimisation: Optimisation,
    epoch: int,
    min_train_batch: int = 1,
) -> float:
    """Runs one epoch of steps; the host waits for the device once, at the end.

    A last batch of fewer than `min_train_batch` images is not trained on.

    Returns:
        Mean loss per training image; NaN or infinite if the loss of any step was.

    Raises:
        SpecificationError: As in `train`.
    """
    model.train()
    total = torch.zeros((2,), dtype=torch.float64, device=task.device)
    num_images = 0
    augmentation = task.augmentation(epoch)
    for batch in _batches(task, epoch, min_train_batch):
        images_BCHW, target_BHW = task.batch(batch, augmentation)
        batch_loss = functools.partial(loss, maps=task.maps(batch)) if task.maps_NHW else loss
        with task.autocast():
            output = output_of(model, images_BCHW)
            step_loss = supervised_loss(batch_loss, output, target_BHW, task.training)
        _backward(step_loss, optimisation, is_first=not num_images)
        if epoch == 1:
            total[1] += nn.utils.get_total_norm(optimisation.gradients())
        optimisation.update()
        total[0] += step_loss.detach() * len(batch)
        num_images += len(batch)
    optimisation.end_epoch()
    summed, slope = total.tolist()
    # A loss without a slope on one batch can have one on the next.
    if epoch == 1 and slope == 0 and math.isfinite(summed):
        message = f"in the whole first epoch every weight got the gradient 0, {_REMEDY}"
        raise SpecificationError(message)
    return float(summed) / max(num_images, 1)


def _batches(task: Task, epoch: int, min_train_batch: int) -> list[Tensor]:
    """Returns the image numbers of each step of an epoch."""
    batches = task.epoch_order(epoch).split(task.batch_size)
    return [batch for batch in batches if len(batch) >= min_train_batch]
