"""Augmentation of training batches on their device, equal for all losses.

What happens to an image depends on seed, repeat, epoch and the number of the image in its dataset,
never on model or loss. Images are in [0, 1]; the operations and their options are in
`workers.catalogue.augmentations`, the arithmetic is kornia's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import kornia
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own habit
from kornia.geometry import transform
from torch import Tensor

from workers.seeding import derive_seed

Pair = tuple[Tensor, Tensor]
"""Images (B, C, H, W) in [0, 1] and masks (B, 1, H, W) of whole numbers, both float32."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one operation draws for a batch.

    Attributes:
        uniform_BK: Numbers in [0, 1), as many as the operation asks for.
        generator: For numbers of each pixel, in the order of the batches of the epoch.
    """

    uniform_BK: Tensor
    generator: torch.Generator

    def within(self, column: int, ends: Sequence[float]) -> Tensor:
        """Returns (B,) numbers in a range."""
        low, high = ends
        return low + (high - low) * self.uniform_BK[:, column]


Values = Mapping[str, Any]
Apply = Callable[[Pair, Drawn, Values], Pair]


class Augmentation:
    """The augmentation of one epoch.

    Args:
        operations: Names and options, complete, in their order.
        num_images: Images of the dataset.
        seed: Seed of the sweep.
        repeat: Number of the repeat.
        epoch: Number of the epoch, from 1.
        device: Of the batches.
    """

    def __init__(
        self,
        operations: Sequence[Values],
        *,
        num_images: int,
        seed: int,
        repeat: int,
        epoch: int,
        device: torch.device,
    ) -> None:
        self._operations = operations
        self._widths = [1 + OPERATIONS[one["name"]][0](one) for one in operations]
        generator = torch.Generator().manual_seed(derive_seed(seed, "augmentation", repeat, epoch))
        draws_NK = torch.rand(num_images, sum(self._widths), generator=generator)
        self._draws_NK = draws_NK.to(device)
        self._pixels = torch.Generator(device)
        self._pixels.manual_seed(derive_seed(seed, "pixels", repeat, epoch))

    def __call__(
        self, images_BCHW: Tensor, masks_BHW: Tensor, indices_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the changed images, in [0, 1], and masks, in their type.

        Args:
            images_BCHW: float32 in [0, 1].
            masks_BHW: Whole numbers.
            indices_B: Numbers of the images in the dataset.
        """
        pair = images_BCHW, masks_BHW[:, None].float()
        draws_BK = self._draws_NK[indices_B]
        for options, draws in zip(
            self._operations, draws_BK.split(self._widths, dim=1), strict=True
        ):
            drawn = Drawn(uniform_BK=draws[:, 1:], generator=self._pixels)
            changed = OPERATIONS[options["name"]][1](pair, drawn, options)
            chosen = (draws[:, 0] < options.get("probability", 1.0)).view(-1, 1, 1, 1)
            pair = _choose(chosen, changed, pair)
        return pair[0].clamp(0, 1), pair[1][:, 0].round().to(masks_BHW.dtype)


def draw_examples(
    image_HWC: np.ndarray,
    mask_HW: np.ndarray,
    number: int,
    *,
    operations: Sequence[Values],
    num_images: int,
    seed: int,
    epochs: Iterable[int],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields image and mask as the first repeat sees them in some epochs, uint8.

    Args:
        image_HWC: uint8.
        mask_HW: uint8.
        number: Of the image in its dataset.
        operations: See `Augmentation`; likewise the others.
        num_images: Images of the dataset.
        seed: Seed of the sweep.
        epochs: From 1.
    """
    images_BCHW = torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)[None].float() / 255
    masks_BHW = torch.from_numpy(mask_HW.copy())[None]
    for epoch in epochs:
        augmentation = Augmentation(
            operations,
            num_images=num_images,
            seed=seed,
            repeat=0,
            epoch=epoch,
            device=images_BCHW.device,
        )
        images, masks = augmentation(images_BCHW, masks_BHW, torch.tensor([number]))
        yield (images[0].permute(1, 2, 0) * 255).round().byte().numpy(), masks[0].numpy()


def _choose(chosen_B111: Tensor, changed: Pair, kept: Pair) -> Pair:
    images, masks = (
        torch.where(chosen_B111, one, other) for one, other in zip(changed, kept, strict=True)
    )
    return images, masks


def _flips(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    for column, (axis, key) in enumerate(((-1, "horizontal"), (-2, "vertical"))):
        chosen = (drawn.uniform_BK[:, column] < options[key]).view(-1, 1, 1, 1)
        pair = _choose(chosen, (pair[0].flip(axis), pair[1].flip(axis)), pair)
    return pair


def _right_angles(pair: Pair, drawn: Drawn, _: Values) -> Pair:
    turns = (drawn.uniform_BK[:, 0] * 4).long().view(-1, 1, 1, 1)
    turned = pair
    for number in (1, 2, 3):
        images, masks = (part.rot90(number, (-2, -1)) for part in pair)
        turned = _choose(turns == number, (images, masks), turned)
    return turned


def _affine(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    height, width = pair[0].shape[-2:]
    size = torch.tensor([width, height], device=pair[0].device, dtype=torch.float32)
    moved_B2 = torch.stack([drawn.within(k, options["translate"]) for k in (0, 1)], dim=1) * size
    scale_B = drawn.within(2, options["scale"])
    shear = [drawn.within(k, options["shear"]).deg2rad() for k in (4, 5)]
    matrix_B33 = transform.get_affine_matrix2d(
        moved_B2,
        ((size - 1) / 2).expand_as(moved_B2),
        scale_B[:, None].expand_as(moved_B2),
        drawn.within(3, options["degrees"]),
        *shear,
    )
    images, masks = (
        transform.warp_affine(part, matrix_B33[:, :2], (height, width), mode=mode)
        for part, mode in zip(pair, ("bilinear", "nearest"), strict=True)
    )
    return images, masks


def _elastic(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    points, (height, width) = options["points"], pair[0].shape[-2:]
    moved = (2 * drawn.uniform_BK - 1).view(-1, 2, points, points) * options["strength"]
    moved = F.interpolate(moved, (height, width), mode="bicubic", align_corners=True)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=moved.device),
        torch.arange(width, device=moved.device),
        indexing="ij",
    )
    x_BHW, y_BHW = columns + moved[:, 0] * width, rows + moved[:, 1] * height
    images, masks = (
        transform.remap(part, x_BHW, y_BHW, mode=mode, align_corners=True)
        for part, mode in zip(pair, ("bilinear", "nearest"), strict=True)
    )
    return images, masks


def _colour(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    steps = (
        ("brightness", kornia.enhance.adjust_brightness_accumulative),
        ("contrast", kornia.enhance.adjust_contrast_with_mean_subtraction),
        ("saturation", kornia.enhance.adjust_saturation_with_gray_subtraction),
    )
    images = pair[0]
    for column, (key, adjust) in enumerate(steps):
        images = adjust(images, drawn.within(column, options[key]))
    return images, pair[1]


def _gamma(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    return kornia.enhance.adjust_gamma(pair[0], drawn.within(0, options["gamma"])), pair[1]


def _blur(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    side = 2 * math.ceil(3 * options["sigma"][1]) + 1
    sigma_B2 = drawn.within(0, options["sigma"])[:, None].expand(-1, 2)
    return kornia.filters.gaussian_blur2d(pair[0], (side, side), sigma_B2), pair[1]


def _noise(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    noise = torch.randn(pair[0].shape, generator=drawn.generator, device=pair[0].device)
    deviation = drawn.within(0, options["deviation"]).view(-1, 1, 1, 1)
    return pair[0] + deviation * noise, pair[1]


def _cutout(pair: Pair, drawn: Drawn, options: Values) -> Pair:
    height, width = pair[0].shape[-2:]
    half = drawn.within(0, options["side"]).view(-1, 1, 1, 1) / 2
    x, y = (drawn.uniform_BK[:, k].view(-1, 1, 1, 1) for k in (1, 2))
    columns = (torch.arange(width, device=half.device) + 0.5) / width
    rows = ((torch.arange(height, device=half.device) + 0.5) / height)[:, None]
    hidden = ((columns - x).abs() < half) & ((rows - y).abs() < half)
    return torch.where(hidden, 0.0, pair[0]), pair[1]


OPERATIONS: Mapping[str, tuple[Callable[[Values], int], Apply]] = {
    "flips": (lambda _: 2, _flips),
    "right-angles": (lambda _: 1, _right_angles),
    "affine": (lambda _: 6, _affine),
    "elastic": (lambda options: 2 * int(options["points"]) ** 2, _elastic),
    "colour": (lambda _: 3, _colour),
    "gamma": (lambda _: 1, _gamma),
    "blur": (lambda _: 1, _blur),
    "noise": (lambda _: 1, _noise),
    "cutout": (lambda _: 3, _cutout),
}
"""How many numbers each operation draws for an image, and what it does."""
