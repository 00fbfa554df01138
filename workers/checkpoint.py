"""Packs the state of an unfinished trial into bytes, and restores it from them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from workers.contract import EpochRecord
from workers.optimisation import Optimisation

CHECKPOINT_VERSION = 1
_MAGIC = b"podium checkpoint "
_CHECK_BYTES = 4
_HEAD_BYTES = len(_MAGIC) + _CHECK_BYTES


@dataclass(kw_only=True)
class TrainingState:
    """The finished epochs of a training, and its best weights so far.

    Attributes:
        history: One record per finished epoch.
        best_epoch: Epoch of the best validation Dice; None before the first epoch.
        best_weights: The state dict of that epoch.
        seconds: Wall time of all finished epochs.
    """

    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    best_dice: float | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def epoch(self) -> int:
        """The last finished epoch, 0 before the first."""
        return self.history[-1].epoch if self.history else 0

    def update(self, record: EpochRecord, model: nn.Module) -> None:
        """Adds a finished epoch; copies the weights if its validation Dice is the best so far."""
        self.history.append(record)
        self.seconds += record.seconds
        if self.best_dice is None or record.val_dice > self.best_dice:
            self.best_epoch, self.best_dice = record.epoch, record.val_dice
            self.best_weights = {key: value.clone() for key, value in model.state_dict().items()}

    def is_over(self, *, max_epochs: int, patience: int) -> bool:
        """Whether training ends: at `max_epochs`, or `patience` epochs without a better Dice."""
        waited = self.epoch - (self.best_epoch or 0)
        return self.epoch >= max_epochs or (self.epoch > 0 and waited >= patience)


def pack(
    key: str, state: TrainingState, model: nn.Module, optimisation: Optimisation
) -> memoryview:
    """Returns all that a training needs to continue bit for bit; the only copy on the host."""
    buffer = io.BytesIO()
    buffer.write(_MAGIC + bytes(_CHECK_BYTES))
    document = {
        "version": CHECKPOINT_VERSION,
        "key": key,
        "model": model.state_dict(),
        **optimisation.state_dict(),
        "history": [asdict(record) for record in state.history],
        "best_epoch": state.best_epoch,
        "best_dice": state.best_dice,
        "best_weights": state.best_weights,
        "seconds": state.seconds,
        "rng_cpu": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    torch.save(document, buffer)
    content = buffer.getbuffer()
    content[len(_MAGIC) : _HEAD_BYTES] = _check(content[_HEAD_BYTES:])
    return content


def unpack(
    content: bytes | memoryview,
    key: str,
    model: nn.Module,
    optimisation: Optimisation,
    device: torch.device,
) -> TrainingState | None:
    """Restores model, optimisation and random state from `pack`'s bytes.

    The state is read on the host; every tensor goes to the device that a fresh training uses. Adam
    counts its steps on the host: a counter on the device would make each later step wait for it.

    Returns:
        The state, or None if the bytes are damaged, of another version or of another trial: the
        training then starts from the beginning.
    """
    document = _load(content)
    if document is None or document["version"] != CHECKPOINT_VERSION or document["key"] != key:
        return None
    model.load_state_dict(document["model"])
    optimisation.load_state_dict(document)
    torch.set_rng_state(document["rng_cpu"])
    if document["rng_cuda"] and torch.cuda.device_count() == len(document["rng_cuda"]):
        torch.cuda.set_rng_state_all(document["rng_cuda"])
    return TrainingState(
        history=[EpochRecord(**record) for record in document["history"]],
        best_epoch=document["best_epoch"],
        best_dice=document["best_dice"],
        best_weights={key: value.to(device) for key, value in document["best_weights"].items()},
        seconds=document["seconds"],
    )


def _load(content: bytes | memoryview) -> Mapping[str, Any] | None:
    """Reads the state; returns None if the bytes are damaged or are no checkpoint."""
    head, body = content[:_HEAD_BYTES], content[_HEAD_BYTES:]
    if head != _MAGIC + _check(body):
        return None
    document: Mapping[str, Any] = torch.load(
        io.BytesIO(body), map_location="cpu", weights_only=True
    )
    return document


def _check(body: bytes | memoryview) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECK_BYTES, "big")
