"""Wound: a foot on a cloth with a tiny wound, or none.

Like FUSeg: the wound covers a percent or less, about one mask in fifteen is empty, red skin,
nails and shadows between the toes resemble it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workers.datasets.generated import ImageGenerator, Picture
from workers.datasets.synthetic import fields
from workers.datasets.synthetic.fields import Field, Outline

_CLOTHS = ((0.20, 0.32, 0.48), (0.28, 0.46, 0.42), (0.62, 0.64, 0.66), (0.16, 0.16, 0.18))
_SKINS = ((0.82, 0.62, 0.52), (0.74, 0.53, 0.42), (0.60, 0.41, 0.31), (0.45, 0.30, 0.23))
_BEDS = ((0.55, 0.10, 0.10), (0.66, 0.24, 0.20), (0.72, 0.56, 0.34), (0.22, 0.09, 0.08))
EMPTY_SHARE = 0.07


def _foot(rng: np.random.Generator, size: int) -> tuple[Field, float, float]:
    """Returns the depth inside a foot (a sole with toes) and the middle of the sole."""
    x, y = float(rng.normal(0.5, 0.06)), float(rng.normal(0.55, 0.05))
    half = float(rng.uniform(0.26, 0.42))
    sole = Outline(
        x, y, half, half * 1.45, float(rng.normal(0, 0.08)), fields.waves(rng, range(2, 5), 0.05)
    )
    depth = sole.depth(size)
    for i in range(5):
        # Toes stand side by side along the front of the sole, the big one first.
        along = -0.78 + 0.4 * i
        toe_x = x + half * along
        toe_y = y - half * 1.45 * float(np.sqrt(1 - along * along)) - 0.02
        toe = Outline(toe_x, toe_y, half * (0.24 - 0.02 * i), half * (0.36 - 0.03 * i))
        depth = np.maximum(depth, toe.depth(size))
    return depth, x, y


def _draw(rng: np.random.Generator, size: int) -> Picture:
    at = fields.pixel_positions(size)
    cloth = fields.fill(_CLOTHS[rng.integers(len(_CLOTHS))], size)
    weave = 0.05 * np.sin(at.x * np.float32(rng.uniform(80, 160))) * np.sin(at.y * 120)
    rgb = cloth * (1 + weave + 0.08 * fields.fractal(rng, size, 3, 3))[..., None]

    foot, x, y = _foot(rng, size)
    shadow = fields.blur(fields.step(foot + 0.02, 0.02), 0.03)
    rgb *= (1 - 0.45 * shadow)[..., None]
    skin = fields.fill(_SKINS[rng.integers(len(_SKINS))], size)
    # A foot is rounded: darker towards its edge, with creases and patches of redness.
    skin *= (0.72 + 0.28 * np.tanh(np.clip(foot, 0, None) / 0.09))[..., None]
    skin *= (1 + 0.05 * fields.fractal(rng, size, 6, 4))[..., None]
    red = fields.step(fields.noise(rng, size, 4) - 0.7, 0.5) * np.float32(rng.uniform(0, 0.6))
    skin = fields.paint(skin, (0.72, 0.32, 0.28), red)
    for _ in range(int(rng.integers(1, 4))):
        crease = fields.curve(rng, size, 0.008, 0.3)
        crease *= fields.step(fields.noise(rng, size, 3) - 0.3, 0.3)
        skin = fields.paint(skin, (0.40, 0.20, 0.16), crease * np.float32(0.5))
    # Scabs, nails and moles: wound-like in size or colour, not labelled.
    skin = fields.paint(
        skin,
        (0.36, 0.16, 0.13),
        fields.spots(rng, size, int(rng.integers(0, 6)), 0.014) * np.float32(0.7),
    )
    skin = fields.paint(
        skin,
        (0.90, 0.80, 0.72),
        fields.spots(rng, size, int(rng.integers(0, 4)), 0.02) * np.float32(0.5),
    )

    mask = np.zeros((size, size), dtype=np.bool_)
    if rng.random() >= EMPTY_SHARE:
        for _ in range(1 if rng.random() < 0.8 else 2):
            skin, mask = _add_wound(rng, skin, mask, x, y)
    rgb = fields.paint(rgb, skin, fields.step(foot, 0.008))
    rgb *= fields.light(rng, size, 0.22)[..., None]
    return fields.finish(rng, rgb, mask & (foot > 0), 0.014)


def _add_wound(
    rng: np.random.Generator,
    skin: NDArray[np.float32],
    mask: NDArray[np.bool_],
    x: float,
    y: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    size = mask.shape[0]
    radius = float(np.exp(rng.uniform(np.log(0.035), np.log(0.105))))
    wound = Outline(
        x=x + float(rng.normal(0, 0.09)),
        y=y + float(rng.normal(0, 0.16)),
        radius_x=radius,
        radius_y=radius * float(rng.uniform(0.6, 1.0)),
        angle=float(rng.uniform(0, np.pi)),
        waves=fields.waves(rng, range(2, 7), 0.10),
    )
    depth = wound.depth(size)
    halo = fields.step(depth + 0.02, 0.02)
    skin = fields.paint(skin, (0.78, 0.40, 0.36), halo * np.float32(rng.uniform(0.1, 0.6)))
    bed = fields.fill(_BEDS[rng.integers(len(_BEDS))], size)
    slough = fields.step(fields.noise(rng, size, 14) - 0.6, 0.3)
    bed = fields.paint(bed, (0.80, 0.70, 0.46), slough * np.float32(rng.uniform(0, 0.7)))
    inside = fields.step(depth, float(rng.uniform(0.004, 0.012)))
    skin = fields.paint(skin, bed, inside * np.float32(rng.uniform(0.55, 1.0)))
    return skin, mask | fields.labelled(rng, depth, 0.004)


GENERATOR = ImageGenerator("synthetic-wound", _draw)
