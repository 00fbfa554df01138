"""Endoscopy: polyps on folded, wet mucosa, seen from afar (wide) or near (close).

Like CVC-ClinicDB (wide: small polyps, dark lumen, black corners) and Kvasir-SEG (close: larger
polyps, any hue, an inset box in a corner). A polyp differs from a fold by its closed outline more
than by its colour; highlights, bubbles and vessels cross both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from workers.datasets.generated import ImageGenerator, Picture
from workers.datasets.synthetic import fields
from workers.datasets.synthetic.fields import Colour, Field, Outline

_Image = NDArray[np.float32]


@dataclass(frozen=True)
class _View:
    """Parameters that distinguish the two kinds of image."""

    mucosas: tuple[Colour, ...]
    radii: tuple[float, float]
    lumen_radius: tuple[float, float]
    fold_strength: float
    softness: tuple[float, float]
    num_polyps: tuple[float, float]
    inset_share: float


_WIDE = _View(
    mucosas=((0.70, 0.36, 0.24), (0.62, 0.30, 0.22), (0.74, 0.44, 0.30)),
    radii=(0.09, 0.21),
    lumen_radius=(0.07, 0.16),
    fold_strength=0.22,
    softness=(0.006, 0.02),
    num_polyps=(0.9, 0.1),
    inset_share=0.0,
)
_CLOSE = _View(
    mucosas=((0.82, 0.48, 0.38), (0.76, 0.36, 0.30), (0.80, 0.60, 0.46), (0.66, 0.34, 0.36)),
    radii=(0.13, 0.36),
    lumen_radius=(0.0, 0.10),
    fold_strength=0.13,
    softness=(0.008, 0.03),
    num_polyps=(0.85, 0.15),
    inset_share=0.3,
)


def _mucosa(rng: np.random.Generator, size: int, view: _View) -> tuple[_Image, Field]:
    """Returns the wall with folds, vessels and lumen, and its shading."""
    at = fields.pixel_positions(size)
    x, y = (float(value) for value in rng.uniform(0.2, 0.8, 2))
    away = np.sqrt((at.x - x) ** 2 + (at.y - y) ** 2)
    warped = away + 0.05 * fields.fractal(rng, size, 3, 2)
    # Haustral folds are rings around the lumen: a bright crest beside a dark groove.
    phase = warped * np.float32(rng.uniform(14, 26)) + np.float32(rng.uniform(0, 6))
    crest = np.sin(phase) + 0.5 * np.sin(2 * phase + 0.7)
    patches = fields.step(fields.noise(rng, size, 3), 0.6)
    shading = 1 + np.float32(view.fold_strength) * crest * patches
    shading *= 0.55 + 0.6 * np.tanh(warped / 0.35)
    if view.lumen_radius[1] > 0:
        lumen_radius = np.float32(rng.uniform(*view.lumen_radius))
        shading *= 1 - 0.85 * fields.step(lumen_radius - warped, 0.04)
    rgb = fields.fill(view.mucosas[rng.integers(len(view.mucosas))], size)
    rgb *= (1 + rng.normal(0, 0.05, 3)).astype(np.float32)
    rgb *= (1 + 0.05 * fields.fractal(rng, size, 8, 3))[..., None]
    for _ in range(int(rng.integers(2, 7))):
        vessel = fields.curve(rng, size, float(rng.uniform(0.004, 0.009)), 0.5)
        visible = fields.step(fields.noise(rng, size, 4), 0.4)
        rgb = fields.paint(rgb, (0.48, 0.12, 0.12), vessel * visible * np.float32(0.5))
    return rgb, shading


def _add_polyp(
    rng: np.random.Generator, rgb: _Image, shading: Field, view: _View
) -> tuple[_Image, Field, Field]:
    """Returns wall and shading with a polyp, and the depth inside its outline."""
    size = shading.shape[0]
    radius = float(np.exp(rng.uniform(*np.log(view.radii))))
    outline = Outline(
        x=float(rng.uniform(0.25, 0.75)),
        y=float(rng.uniform(0.25, 0.75)),
        radius_x=radius,
        radius_y=radius * float(rng.uniform(0.6, 1.0)),
        angle=float(rng.uniform(0, np.pi)),
        waves=fields.waves(rng, range(2, 6), 0.07),
    )
    depth = outline.depth(size)
    inside = fields.step(depth, float(rng.uniform(*view.softness)))
    # Lit from the camera: a dome is brightest in its middle, with a groove around its foot.
    height = np.sqrt(np.clip(depth / np.float32(radius), 0, 1))
    dome = 0.72 + 0.42 * height + 0.06 * fields.fractal(rng, size, 10, 2)
    own = np.float32(rng.uniform(0.35, 0.9))
    groove = np.exp(-(((depth + 0.012) / 0.014) ** 2)) * np.float32(rng.uniform(0.1, 0.4))
    shading = shading * (1 - groove)
    shading = shading + (dome - shading) * inside * own
    tint = rgb * (1 + rng.normal(0, 0.05, 3) + (0.04, -0.05, -0.05)).astype(np.float32)
    return fields.paint(rgb, tint, inside), shading, depth


def _draw(view: _View, rng: np.random.Generator, size: int) -> Picture:
    rgb, shading = _mucosa(rng, size, view)
    mask = np.zeros((size, size), dtype=np.bool_)
    for _ in range(1 + int(rng.random() > view.num_polyps[0])):
        rgb, shading, depth = _add_polyp(rng, rgb, shading, view)
        mask |= fields.labelled(rng, depth, 0.008)
    # A smooth bulge of the wall, shaded like a polyp but without an edge, not labelled.
    bulge = fields.spots(rng, size, int(rng.integers(0, 4)), 0.09)
    rgb *= (shading * (1 + 0.28 * bulge) * fields.light(rng, size, 0.2))[..., None]
    # Specular highlights gather where the wall faces the lamp.
    glints = fields.spots(rng, size, int(rng.integers(4, 16)), 0.013)
    streaks = fields.step(fields.noise(rng, size, 18) * shading - 2.3, 0.15)
    rgb = fields.paint(rgb, (1.0, 0.97, 0.93), np.clip(glints + streaks, 0, 1) * np.float32(0.85))
    bubbles = fields.spots(rng, size, int(rng.integers(0, 5)), 0.03)
    rim = np.exp(-(((bubbles - 0.5) / 0.12) ** 2))
    rgb = fields.paint(rgb, (0.9, 0.85, 0.7), rim * np.float32(0.3))
    rgb, visible = _frame(rng, rgb, view)
    return fields.finish(rng, rgb, mask & visible, 0.012)


def _frame(rng: np.random.Generator, rgb: _Image, view: _View) -> tuple[_Image, NDArray[np.bool_]]:
    """Returns the image with black corners and perhaps an inset, and where tissue is visible."""
    size = rgb.shape[0]
    at = fields.pixel_positions(size)
    cut = np.float32(rng.uniform(0.70, 0.92))
    corner = (np.abs(at.x - 0.5) + np.abs(at.y - 0.5)) < cut
    border = np.maximum(np.abs(at.x - 0.5), np.abs(at.y - 0.5)) < 0.485
    visible = np.asarray(corner & border)
    if rng.random() < view.inset_share:
        inset = (at.x < 0.30) & (at.y > 0.66)
        rgb = np.where(inset[..., None], np.array((0.06, 0.30, 0.20), dtype=np.float32), rgb)
        visible &= ~inset
        corner, border = corner | inset, border | inset
    return rgb * np.where(corner & border, np.float32(1), np.float32(0.03))[..., None], visible


WIDE = ImageGenerator("synthetic-endoscopy-wide", partial(_draw, _WIDE))
CLOSE = ImageGenerator("synthetic-endoscopy-close", partial(_draw, _CLOSE))
