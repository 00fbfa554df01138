"""The images of one trial, resident on its device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workers.catalogue.weights import NORMALISATIONS
from workers.contract import TrainingProtocol
from workers.datasets.cache import DatasetArrays
from workers.datasets.split import Split
from workers.seeding import derive_seed

if TYPE_CHECKING:
    from workers.augmentation import Augmentation


@dataclass(frozen=True, kw_only=True)
class Task:
    """The images of one dataset on the device, their split, and how to train on them.

    The loss is not part of it: all losses of one (dataset, model, repeat) get the same images in
    the same order. Only the maps of the masks depend on what the loss needs.

    Attributes:
        training: The training protocol.
        seed: Seed of the sweep.
        repeat: Number of the repeat; with the seed it decides the order of the images.
        images_NHWC: uint8.
        masks_NHW: uint8, 0 or 1.
        maps_NHW: Maps of the masks that the loss needs, by name, float32; empty with augmentation,
            which changes the masks.
        scale: (1, 3, 1, 1). A uint8 image times `scale` plus `shift` is normalised.
        source_images: `images_NHWC` as the cache holds it, on the host; likewise `source_masks`.
    """

    training: TrainingProtocol
    seed: int
    repeat: int
    device: torch.device
    images_NHWC: Tensor
    masks_NHW: Tensor
    maps_NHW: Mapping[str, Tensor]
    scale: Tensor
    shift: Tensor
    split: Split
    names: tuple[str, ...]
    source_images: np.ndarray
    source_masks: np.ndarray

    @property
    def batch_size(self) -> int:
        """Images per step, in training and evaluation."""
        return self.training.batch_size

    def indices(self, part: np.ndarray) -> Tensor:
        """Returns image numbers as an int64 tensor on the device."""
        return torch.from_numpy(np.asarray(part, dtype=np.int64)).to(self.device)

    def epoch_order(self, epoch: int) -> Tensor:
        """Returns the training images of an epoch in their order, from seed, repeat and epoch."""
        generator = torch.Generator().manual_seed(
            derive_seed(self.seed, "order", self.repeat, epoch)
        )
        order = torch.randperm(len(self.split.train), generator=generator)
        return self.indices(self.split.train)[order.to(self.device)]

    def augmentation(self, epoch: int) -> Augmentation | None:
        """Returns the augmentation of the training images of an epoch; None without one."""
        if not self.training.augmentation:
            return None
        from workers.augmentation import Augmentation

        return Augmentation(
            self.training.augmentation,
            num_images=len(self.names),
            seed=self.seed,
            repeat=self.repeat,
            epoch=epoch,
            device=self.device,
        )

    def batch(
        self, indices: Tensor, augmentation: Augmentation | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns normalised images (B, 3, H, W) float32 and masks (B, H, W) uint8."""
        images_BCHW = self.images_NHWC[indices].permute(0, 3, 1, 2).float()
        masks_BHW = self.masks_NHW[indices]
        if augmentation:
            images_BCHW, masks_BHW = augmentation(images_BCHW / 255, masks_BHW, indices)
            images_BCHW = images_BCHW * 255
        images_BCHW = images_BCHW.mul_(self.scale).add_(self.shift)
        layout = torch.channels_last if self.training.channels_last else torch.contiguous_format
        return images_BCHW.contiguous(memory_format=layout), masks_BHW

    def maps(self, indices: Tensor) -> dict[str, Tensor]:
        """Returns the maps that the loss needs for a batch, by name, (B, 1, H, W) float32."""
        return {name: map_NHW[indices].unsqueeze(1) for name, map_NHW in self.maps_NHW.items()}

    def autocast(self) -> AbstractContextManager[object]:
        """Returns the arithmetic of the forward pass."""
        return autocast(self.training, self.device)


def autocast(training: TrainingProtocol, device: torch.device) -> AbstractContextManager[object]:
    """Returns the arithmetic of a forward pass under a training protocol."""
    precision = training.precision
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "float32")


def input_scaling(normalisation: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns scale and shift, (1, 3, 1, 1): a uint8 image times scale plus shift is normalised.

    Args:
        normalisation: A key of `NORMALISATIONS`.
        device: Of the result.
    """
    mean, std = (np.asarray(v) for v in NORMALISATIONS[normalisation])
    scale = torch.tensor(1 / (255 * std), dtype=torch.float32).view(1, 3, 1, 1)
    shift = torch.tensor(-mean / std, dtype=torch.float32).view(1, 3, 1, 1)
    return scale.to(device), shift.to(device)


def prepare_task(
    arrays: DatasetArrays,
    split: Split,
    training: TrainingProtocol,
    device: torch.device,
    *,
    normalisation: str,
    seed: int,
    repeat: int,
) -> Task:
    """Puts the images of a trial on its device; on the CPU the node's cache is used in place.

    Args:
        arrays: The images and masks of the dataset.
        split: Their division into training, validation and test images.
        training: The training protocol.
        device: The device of the trial.
        normalisation: Input scaling, a key of `NORMALISATIONS`.
        seed: Seed of the sweep.
        repeat: Number of the repeat.
    """
    scale, shift = input_scaling(normalisation, device)
    return Task(
        training=training,
        seed=seed,
        repeat=repeat,
        device=device,
        images_NHWC=_as_tensor(arrays.images).to(device),
        masks_NHW=_as_tensor(arrays.masks).to(device),
        maps_NHW={name: _as_tensor(one).to(device) for name, one in arrays.maps.items()},
        scale=scale,
        shift=shift,
        split=split,
        names=arrays.names,
        source_images=arrays.images,
        source_masks=arrays.masks,
    )


def _as_tensor(array: np.ndarray) -> Tensor:
    """Shares an array with torch; a read-only map is opened again as private, copied on write."""
    if isinstance(array, np.memmap):
        array = np.memmap(
            str(array.filename), dtype=array.dtype, mode="c", offset=array.offset, shape=array.shape
        )
    return torch.from_numpy(array)
