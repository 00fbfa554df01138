"""Ultrasound: a dark lesion in layered breast tissue, under speckle and shadows.

Like BUSI: benign lesions are smooth ellipses, wider than tall, with a bright rim and enhancement
below; malignant ones are irregular, taller, with a blurred bright margin and a shadow below. Fat
lobules and shadows of ligaments are as dark as lesions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from workers.datasets.generated import ImageGenerator, Picture
from workers.datasets.synthetic import fields
from workers.datasets.synthetic.fields import Field, Outline

NUM_LOOKS = 3
"""Independent speckle patterns that a scanner averages."""


@dataclass(frozen=True)
class _Lesion:
    """Parameters that distinguish the two kinds of image."""

    radii: tuple[float, float]
    height_to_width: tuple[float, float]
    tilt: float
    wave_amplitude: float
    wave_frequencies: range
    softness: tuple[float, float]
    echo: tuple[float, float]
    below: tuple[float, float]
    rim: float
    doubt: float


_BENIGN = _Lesion(
    radii=(0.11, 0.27),
    height_to_width=(0.45, 0.85),
    tilt=0.2,
    wave_amplitude=0.025,
    wave_frequencies=range(2, 5),
    softness=(0.006, 0.02),
    echo=(0.14, 0.5),
    below=(0.05, 0.5),
    rim=0.35,
    doubt=0.006,
)
_MALIGNANT = _Lesion(
    radii=(0.11, 0.26),
    height_to_width=(0.75, 1.35),
    tilt=0.6,
    wave_amplitude=0.13,
    wave_frequencies=range(2, 14),
    softness=(0.015, 0.05),
    echo=(0.2, 0.62),
    below=(-0.6, 0.05),
    rim=0.2,
    doubt=0.014,
)


def _tissue(rng: np.random.Generator, size: int) -> Field:
    """Returns echo strength of skin, fat with lobules, gland and muscle, from top to bottom."""
    at = fields.pixel_positions(size)
    depth = at.y + 0.03 * fields.noise(rng, size, 2, 4)
    fat_end, gland_end = float(rng.uniform(0.16, 0.34)), float(rng.uniform(0.62, 0.82))
    echo = np.full((size, size), rng.uniform(0.30, 0.42), dtype=np.float32)
    gland = fields.step(depth - np.float32(fat_end), 0.03)
    echo += gland * np.float32(rng.uniform(0.12, 0.30))
    muscle = fields.step(depth - np.float32(gland_end), 0.03)
    fibres = 0.5 + 0.5 * np.sin(depth * np.float32(rng.uniform(60, 110)))
    echo += muscle * (fibres * 0.22 - 0.26)
    echo += 0.07 * fields.noise(rng, size, 14, 5) + 0.05 * fields.noise(rng, size, 24, 9)
    # Dark lobules of fat, sized like lesions and not labelled.
    lobules = fields.step(fields.noise(rng, size, 6, 4) - 1.15, 0.3)
    echo *= 1 - lobules * np.float32(rng.uniform(0.25, 0.7))
    skin = np.exp(-(((depth - 0.025) / 0.018) ** 2))
    return np.asarray(np.clip(echo + 0.5 * skin, 0.03, None), dtype=np.float32)


def _shadow(depth: Field, strength: float, start: float) -> Field:
    """Returns the factor on everything below a shape: under 1 shadow, over 1 enhancement."""
    size = depth.shape[0]
    at = fields.pixel_positions(size)
    column = fields.step(depth.max(axis=0, keepdims=True), 0.02)
    under = fields.step(at.y - np.float32(start), 0.04)
    fade = np.exp(-np.clip(at.y - np.float32(start), 0, None) / 0.45)
    return 1 + np.float32(strength) * fields.blur(column * under * fade, 0.012)


def _draw(lesion: _Lesion, rng: np.random.Generator, size: int) -> Picture:
    at = fields.pixel_positions(size)
    echo = _tissue(rng, size)
    radius = float(np.exp(rng.uniform(*np.log(lesion.radii))))
    ratio = float(rng.uniform(*lesion.height_to_width))
    outline = Outline(
        x=float(rng.uniform(0.28, 0.72)),
        y=float(rng.uniform(0.30, 0.62)),
        radius_x=radius,
        radius_y=radius * ratio,
        angle=float(rng.normal(0, lesion.tilt)),
        waves=fields.waves(rng, lesion.wave_frequencies, lesion.wave_amplitude, 0.86),
    )
    depth = outline.depth(size)
    inside = fields.step(depth, float(rng.uniform(*lesion.softness)))
    rim = np.exp(-(((depth + 0.012) / 0.014) ** 2)) * (
        0.4 + 0.6 * np.abs(at.y - outline.y) / radius
    )
    echo *= 1 + np.float32(lesion.rim) * rim
    own = np.float32(rng.uniform(*lesion.echo)) * (1 + 0.25 * fields.noise(rng, size, 8))
    echo *= 1 + (own - 1) * inside
    below = float(rng.uniform(*lesion.below))
    echo *= _shadow(depth, below, outline.y + 0.7 * outline.radius_y)
    for _ in range(int(rng.integers(0, 3))):
        # Shadows of ligaments: dark columns with no lesion above them.
        x, width = np.float32(rng.uniform(0, 1)), np.float32(rng.uniform(0.02, 0.06))
        column = np.exp(-(((at.x - x + 0.1 * (at.y - 0.5)) / width) ** 2))
        top = fields.step(at.y - np.float32(rng.uniform(0.1, 0.5)), 0.05)
        echo *= 1 - column * top * np.float32(rng.uniform(0.3, 0.75))
    attenuation = np.exp(-at.y * np.float32(rng.uniform(0.2, 1.0)))
    echo *= attenuation * np.float32(rng.uniform(0.9, 1.4))
    grey = _speckle(rng, echo)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    return fields.finish(rng, rgb, fields.labelled(rng, depth, lesion.doubt), 0.01)


def _speckle(rng: np.random.Generator, echo: Field) -> Field:
    """Returns the log-compressed envelope: echo times speckle, wider than tall.

    A single exposure would be Rayleigh speckle; scanners average a few.
    """
    size = echo.shape[0]
    width = float(rng.uniform(0.011, 0.017))
    waves = [
        fields.blur(rng.standard_normal((size, size), dtype=np.float32), width * 0.6, width)
        for _ in range(NUM_LOOKS * 2)
    ]
    envelope = np.sqrt(sum(wave * wave for wave in waves))
    envelope /= envelope.mean()
    compressed = np.log1p(12 * echo * envelope) / np.log(13)
    return np.asarray(np.clip(compressed * 1.05 - 0.22, 0, 1), dtype=np.float32)


BENIGN = ImageGenerator("synthetic-ultrasound-benign", partial(_draw, _BENIGN))
MALIGNANT = ImageGenerator("synthetic-ultrasound-malignant", partial(_draw, _MALIGNANT))
