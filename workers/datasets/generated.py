"""Generated datasets: images that are drawn from a seed; numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.datasets.dataset import Sample
from workers.datasets.files.pictures import resize_mask
from workers.datasets.likeness.relations import ImageRelations, unrelated
from workers.identity import digest
from workers.seeding import derive_seed

GENERATOR_VERSION = 1
"""Raised when a generator draws other pixels: then all fingerprints of generated data change."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One drawn image.

    Attributes:
        image: (H, W, 3) levels in 0..255.
        mask: (H, W), True is lesion.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class ImageGenerator:
    """Draws one kind of image.

    Attributes:
        name: Part of the random seed and of the fingerprint.
        draw: (random generator, side in pixels) to a picture.
    """

    name: str
    draw: Callable[[np.random.Generator, int], Picture]


@lru_cache(maxsize=16)
def _draw(generator: ImageGenerator, seed: int, size: int, index: int) -> Picture:
    # Cached because image and mask of one index are asked for one after the other.
    rng = np.random.Generator(np.random.PCG64(derive_seed(seed, generator.name, 0, index)))
    picture = generator.draw(rng, size)
    picture.image.setflags(write=False)
    picture.mask.setflags(write=False)
    return picture


@dataclass(frozen=True, kw_only=True)
class GeneratedDataset:
    """A dataset drawn on demand: picture `index` depends only on generator, seed, size and index.

    Attributes:
        name: Name in messages.
        generator: Draws the pictures.
        num_images: Number of pairs.
        seed: Random seed of the whole dataset.
        size: Side of the square images, pixels.
    """

    name: str
    generator: ImageGenerator
    num_images: int
    seed: int
    size: int

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """The pairs; each is a group of its own."""
        names = [f"{self.generator.name}-{index:03d}" for index in range(self.num_images)]
        return tuple(Sample(name=name, image=None, masks=(), group=name) for name in names)

    def fingerprint(self, cache_dir: Path, image_size: int | None = None) -> str:  # noqa: ARG002 - nothing needs remembering
        """Returns 32 hexadecimal digits of the generator's version, name and options."""
        options = {"num_images": self.num_images, "seed": self.seed, "size": self.size}
        return digest([f"generator/{GENERATOR_VERSION}", self.generator.name, options], length=32)

    def read_image(self, index: int, *, min_side: int | None = None) -> NDArray[np.uint8]:  # noqa: ARG002
        """Returns the image (H, W, 3)."""
        return _draw(self.generator, self.seed, self.size, index).image

    def resized_image(self, index: int, side: int) -> NDArray[np.uint8] | None:  # noqa: ARG002
        """Returns None: nothing is decoded before it is read."""
        return None

    def read_mask(self, index: int, *, side: int | None = None) -> NDArray[np.bool_]:
        """Returns the mask (H, W), or its nearest pixels (side, side)."""
        mask = _draw(self.generator, self.seed, self.size, index).mask
        return mask if side is None else resize_mask(mask, width=side, height=side)

    def relations(self, cache_dir: Path) -> ImageRelations:  # noqa: ARG002 - nothing needs remembering
        """Returns that no two pictures are related: each is drawn independently."""
        return unrelated(tuple(sample.group for sample in self.samples))
