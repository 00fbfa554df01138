"""Building blocks of generated images: smooth noise, blurs, outlines and light, as float32 fields.

A field is an (S, S) array. Positions are in units of the image side: x and y run from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from workers.datasets.generated import Picture

Field = NDArray[np.float32]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class PixelPositions:
    """Positions of pixel centres.

    Attributes:
        x: (S, S), left to right.
        y: (S, S), top to bottom.
    """

    x: Field
    y: Field


@lru_cache(maxsize=8)
def pixel_positions(size: int) -> PixelPositions:
    """Returns the pixel positions of a square image."""
    line = ((np.arange(size) + 0.5) / size).astype(np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    return PixelPositions(x, y)


@lru_cache(maxsize=64)
def _spline(size: int, cells: int) -> Field:
    """Returns the (size, cells + 3) matrix of uniform cubic B-spline weights."""
    position = (np.arange(size) + 0.5) / size * cells
    knots = np.arange(cells + 3) - 1
    distance = np.abs(position[:, None] - knots[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far), dtype=np.float32)


@lru_cache(maxsize=64)
def _gaussian(size: int, width_thousandths: int) -> Field:
    """Returns the (size, size) matrix that blurs along one axis, edges repeated."""
    line = (np.arange(size) + 0.5) / size
    width = width_thousandths / 1000
    weights = np.exp(-(((line[:, None] - line[None, :]) / width) ** 2) / 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def noise(rng: np.random.Generator, size: int, cells_y: int, cells_x: int | None = None) -> Field:
    """Returns smooth noise of mean 0 and standard deviation about 1, with cells per side."""
    cells_x = cells_x or cells_y
    knots = rng.standard_normal((cells_y + 3, cells_x + 3), dtype=np.float32)
    # A cubic spline of independent knots has about 0.48 of their variance along each axis.
    field = _spline(size, cells_y) @ knots @ _spline(size, cells_x).T
    return np.asarray(field / np.float32(0.48), dtype=np.float32)


def fractal(rng: np.random.Generator, size: int, cells: int, octaves: int) -> Field:
    """Returns noise of several scales, each half as wide and 0.55 as strong as the one before."""
    total = np.zeros((size, size), dtype=np.float32)
    for octave in range(octaves):
        total += np.float32(0.55**octave) * noise(rng, size, min(cells << octave, size))
    return total


def blur(field: Field, width_y: float, width_x: float | None = None) -> Field:
    """Returns a Gaussian blur; widths are standard deviations in image sides."""
    size = field.shape[0]
    rows = _gaussian(size, max(1, round(width_y * 1000)))
    columns = _gaussian(size, max(1, round((width_x or width_y) * 1000)))
    return np.asarray(rows @ field @ columns.T, dtype=np.float32)


def step(field: Field, softness: float) -> Field:
    """Returns a smooth step from 0 where the field is negative to 1 where it is positive."""
    return np.asarray(0.5 + 0.5 * np.tanh(field / np.float32(softness)), dtype=np.float32)


@dataclass(frozen=True)
class Outline:
    """A closed shape: an ellipse whose radius varies with the angle.

    Attributes:
        x: Centre.
        y: Centre.
        radius_x: Half axis before rotation.
        radius_y: Half axis before rotation.
        angle: Rotation in radians.
        waves: (frequency, amplitude, phase) of the relative variations of the radius.
    """

    x: float
    y: float
    radius_x: float
    radius_y: float
    angle: float = 0.0
    waves: tuple[tuple[int, float, float], ...] = ()

    def depth(self, size: int, *, num_waves: int | None = None) -> Field:
        """Returns how far inside the outline each pixel is, in image sides; negative outside.

        Args:
            size: Side of the field, pixels.
            num_waves: Number of waves to use, the first ones; fewer give a smoother outline.
        """
        at = pixel_positions(size)
        dx, dy = at.x - np.float32(self.x), at.y - np.float32(self.y)
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        u = (dx * cos + dy * sin) / np.float32(self.radius_x)
        v = (dy * cos - dx * sin) / np.float32(self.radius_y)
        radius = np.sqrt(u * u + v * v)
        limit = np.ones_like(radius)
        waves = self.waves[:num_waves]
        if waves:
            theta = np.arctan2(v, u)
            for frequency, amplitude, phase in waves:
                limit += np.float32(amplitude) * np.cos(
                    np.float32(frequency) * theta + np.float32(phase)
                )
        return (limit - radius) * np.float32(min(self.radius_x, self.radius_y))


def waves(
    rng: np.random.Generator, frequencies: range, amplitude: float, decay: float = 0.8
) -> tuple[tuple[int, float, float], ...]:
    """Returns random waves for an outline, weaker with frequency."""
    return tuple(
        (
            frequency,
            float(rng.normal(0, amplitude * decay**i)),
            float(rng.uniform(0, 2 * np.pi)),
        )
        for i, frequency in enumerate(frequencies)
    )


def curve(rng: np.random.Generator, size: int, width: float, bend: float) -> Field:
    """Returns a soft bent line across the image: 1 on it, 0 away from it."""
    at = pixel_positions(size)
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u = (at.x - 0.5) * cos + (at.y - 0.5) * sin
    v = (at.y - 0.5) * cos - (at.x - 0.5) * sin
    offset, slope, arch = rng.uniform(-0.45, 0.45), rng.normal(0, bend), rng.normal(0, bend)
    away = v - np.float32(offset) - np.float32(slope) * u - np.float32(arch) * u * u
    return np.exp(-((away / np.float32(width)) ** 2))


def spots(rng: np.random.Generator, size: int, num: int, radius: float) -> Field:
    """Returns soft round spots of random position and size: up to 1 inside, 0 away from them."""
    at = pixel_positions(size)
    total = np.zeros((size, size), dtype=np.float32)
    for _ in range(num):
        x, y = rng.uniform(0, 1, 2).astype(np.float32)
        width = np.float32(radius * rng.uniform(0.5, 1.5))
        total = np.maximum(total, np.exp(-(((at.x - x) ** 2 + (at.y - y) ** 2) / width**2)))
    return total


def light(rng: np.random.Generator, size: int, unevenness: float) -> Field:
    """Returns uneven illumination around 1: a slope and a bright spot."""
    at = pixel_positions(size)
    slope_x, slope_y = rng.normal(0, unevenness, 2).astype(np.float32)
    x, y = rng.uniform(0.2, 0.8, 2).astype(np.float32)
    fall = np.float32(rng.uniform(0.3, 1.2) * unevenness * 2)
    away = (at.x - x) ** 2 + (at.y - y) ** 2
    slope = slope_x * (at.x - 0.5) + slope_y * (at.y - 0.5)
    return np.asarray(1 + slope - fall * away, dtype=np.float32)


def paint(
    base: NDArray[np.float32], colour: NDArray[np.float32] | Colour, amount: Field
) -> NDArray[np.float32]:
    """Returns `base` (S, S, 3) blended towards a colour by an amount in 0..1."""
    target = np.asarray(colour, dtype=np.float32)
    return base + (target - base) * amount[..., None]


def fill(colour: Colour, size: int) -> NDArray[np.float32]:
    """Returns an (S, S, 3) image of one colour; levels run from 0 to 1."""
    return np.broadcast_to(np.asarray(colour, dtype=np.float32), (size, size, 3)).copy()


def finish(
    rng: np.random.Generator, rgb: NDArray[np.float32], mask: NDArray[np.bool_], grain: float
) -> Picture:
    """Returns the picture with camera noise, in 8 bits."""
    noisy = rgb + rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(grain)
    image = np.clip(noisy * 255 + 0.5, 0, 255).astype(np.uint8)
    return Picture(image=image, mask=mask)


def labelled(rng: np.random.Generator, depth: Field, doubt: float) -> NDArray[np.bool_]:
    """Returns the mask of an imprecise annotator: its outline deviates by about `doubt`.

    Args:
        rng: Random generator.
        depth: Depth inside the true outline, in image sides.
        doubt: Standard deviation of the drawn outline, in image sides.
    """
    size = depth.shape[0]
    wander = noise(rng, size, 6) * np.float32(doubt)
    return np.asarray(depth + wander + np.float32(rng.normal(0, doubt / 2)) > 0)
