"""How weights are updated: optimizer, learning-rate schedule, clipping, scaling, averaging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from workers.contract import TrainingProtocol

OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], tuple[str, ...]]] = {
    "adam": (torch.optim.Adam, ("betas", "eps", "weight_decay")),
    "adamw": (torch.optim.AdamW, ("betas", "eps", "weight_decay")),
    "sgd": (torch.optim.SGD, ("momentum", "nesterov", "weight_decay")),
}
"""Class of each optimizer, and the fields of the training protocol that it takes."""

Schedule = Callable[[torch.optim.Optimizer, TrainingProtocol, int, int], lr_scheduler.LRScheduler]

SCHEDULES: Mapping[str, Schedule] = {
    "constant": lambda optimizer, _, __, ___: lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "poly": lambda optimizer, protocol, total, _: lr_scheduler.PolynomialLR(
        optimizer, total_iters=total, power=protocol.schedule_power
    ),
    "cosine": lambda optimizer, _, total, __: lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=total
    ),
    "step": lambda optimizer, protocol, _, per_epoch: lr_scheduler.StepLR(
        optimizer,
        step_size=protocol.schedule_interval * per_epoch,
        gamma=protocol.schedule_factor,
    ),
}
"""Schedule of each name, from its total length and the length of an epoch, in epochs or steps."""


class Optimisation:
    """Updates the weights of a model from losses, as the training protocol says.

    Attributes:
        evaluated: The network to validate and test: the moving average if there is one.

    Args:
        model: On its device.
        protocol: The training protocol.
        learning_rate: Step size of the optimizer before the schedule.
        steps_per_epoch: Steps of one epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        protocol: TrainingProtocol,
        *,
        learning_rate: float,
        steps_per_epoch: int,
    ) -> None:
        kind, options = OPTIMIZERS[protocol.optimizer]
        self._model = model
        self._clip_norm = protocol.gradient_clip_norm
        self.optimizer = kind(
            model.parameters(),
            lr=learning_rate,
            fused=protocol.fused_optimizer or None,
            **{option: getattr(protocol, option) for option in options},
        )
        self._schedule = _schedule(self.optimizer, protocol, steps_per_epoch)
        self._by_step = protocol.schedule_unit == "step"
        device = next(model.parameters()).device.type
        self._scaler = torch.amp.GradScaler(device, enabled=protocol.precision == "float16")
        self._average = None
        if protocol.ema is not None:
            # The average of a network includes the buffers that batch norm uses in evaluation.
            self._average = AveragedModel(
                model, multi_avg_fn=get_ema_multi_avg_fn(protocol.ema), use_buffers=True
            )
        self.evaluated: nn.Module = model if self._average is None else self._average.module

    def backward(self, loss: Tensor) -> None:
        """Computes the gradients of a scalar that depends on the weights."""
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()

    def gradients(self) -> list[Tensor]:
        """Returns the gradient of each weight that has one, in float16 still scaled."""
        return [weight.grad for weight in self._model.parameters() if weight.grad is not None]

    def update(self) -> None:
        """Updates the weights once from their gradients."""
        if self._clip_norm is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._average is not None:
            self._average.update_parameters(self._model)
        if self._schedule and self._by_step:
            self._schedule.step()

    def end_epoch(self) -> None:
        """Moves a schedule by epochs on."""
        if self._schedule and not self._by_step:
            self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of all parts that have one, without the weights of the model."""
        return {key: part.state_dict() for key, part in self._parts().items()}

    def load_state_dict(self, states: Mapping[str, Any]) -> None:
        """Restores the state; the model has its weights already."""
        for key, part in self._parts().items():
            part.load_state_dict(states[key])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "optimizer": self.optimizer,
            "schedule": self._schedule,
            "scaler": self._scaler if self._scaler.is_enabled() else None,
            "average": self._average,
        }
        return {key: part for key, part in parts.items() if part is not None}


def _schedule(
    optimizer: torch.optim.Optimizer, protocol: TrainingProtocol, steps_per_epoch: int
) -> lr_scheduler.LRScheduler | None:
    """Returns the schedule in its units; None if the learning rate never changes."""
    if protocol.schedule == "constant" and not protocol.warmup_epochs:
        return None
    per_epoch = steps_per_epoch if protocol.schedule_unit == "step" else 1
    warmup = protocol.warmup_epochs * per_epoch
    total = protocol.max_epochs * per_epoch - warmup
    main = SCHEDULES[protocol.schedule](optimizer, protocol, total, per_epoch)
    if not warmup:
        return main
    # The rate of unit k, from 0, is (k + 1) / (warmup + 1) of the full rate.
    rising = lr_scheduler.LinearLR(
        optimizer, start_factor=1 / (warmup + 1), end_factor=1.0, total_iters=warmup
    )
    return lr_scheduler.SequentialLR(optimizer, [rising, main], milestones=[warmup])
