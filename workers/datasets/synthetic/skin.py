"""Skin: a pigmented lesion under uneven light, with hair, freckles and a dark rim.

Like ISIC-2017: lesions from a few to over half of the image, often hardly darker than the skin,
with soft borders; hair crosses them, freckles and ink marks resemble them.
"""

from __future__ import annotations

import numpy as np

from workers.datasets.generated import ImageGenerator, Picture
from workers.datasets.synthetic import fields

_SKINS = ((0.86, 0.68, 0.60), (0.80, 0.60, 0.50), (0.90, 0.76, 0.70), (0.68, 0.48, 0.38))
_LESIONS = ((0.42, 0.26, 0.20), (0.30, 0.18, 0.15), (0.56, 0.32, 0.27), (0.24, 0.20, 0.24))


def _draw(rng: np.random.Generator, size: int) -> Picture:
    skin = _SKINS[rng.integers(len(_SKINS))]
    rgb = fields.fill(skin, size) * (1 + rng.normal(0, 0.04, 3).astype(np.float32))
    rgb *= 1 + 0.035 * fields.fractal(rng, size, 6, 4)[..., None]

    freckles = fields.spots(rng, size, int(rng.integers(0, 7)), 0.025)
    rgb = fields.paint(rgb, _LESIONS[0], freckles * np.float32(rng.uniform(0.2, 0.6)))
    # A blotch of red skin: as large as a lesion, of another colour, not labelled.
    blotch = fields.step(fields.noise(rng, size, 3) - 1.0, 0.5)
    rgb = fields.paint(rgb, (0.80, 0.42, 0.40), blotch * np.float32(rng.uniform(0, 0.45)))

    radius = float(np.exp(rng.uniform(np.log(0.12), np.log(0.38))))
    outline = fields.Outline(
        x=float(rng.normal(0.5, 0.07)),
        y=float(rng.normal(0.5, 0.07)),
        radius_x=radius,
        radius_y=radius * float(rng.uniform(0.65, 1.0)),
        angle=float(rng.uniform(0, np.pi)),
        waves=fields.waves(rng, range(2, 9), 0.09),
    )
    depth = outline.depth(size) + 0.012 * fields.noise(rng, size, 10)
    inside = fields.step(depth, float(rng.uniform(0.008, 0.045)))
    contrast = float(rng.uniform(0.3, 1.0))
    lesion = fields.fill(_LESIONS[rng.integers(len(_LESIONS))], size)
    lesion *= (1 + 0.22 * fields.fractal(rng, size, 4, 3))[..., None]
    # Part of the lesion fades into the skin, as regression areas do.
    fading = 1 - 0.65 * fields.step(fields.noise(rng, size, 3) - 0.8, 0.3)
    rgb = fields.paint(rgb, lesion, inside * fading * np.float32(contrast))

    for _ in range(int(rng.integers(1, 9)) if rng.random() < 0.5 else 0):
        hair = fields.curve(rng, size, float(rng.uniform(0.003, 0.007)), 0.4)
        rgb = fields.paint(rgb, (0.13, 0.09, 0.08), hair * np.float32(rng.uniform(0.5, 0.95)))
    shine = fields.spots(rng, size, int(rng.integers(0, 5)), 0.018)
    rgb = fields.paint(rgb, (1.0, 0.98, 0.96), shine * np.float32(0.6))
    rgb *= fields.light(rng, size, 0.16)[..., None]
    if rng.random() < 0.35:
        radius = float(rng.uniform(0.52, 0.66))
        lens = fields.Outline(0.5, 0.5, radius, radius)
        rgb *= fields.step(lens.depth(size) + 0.01, 0.02)[..., None]
    return fields.finish(rng, rgb, fields.labelled(rng, depth, 0.008), 0.012)


GENERATOR = ImageGenerator("synthetic-skin", _draw)
