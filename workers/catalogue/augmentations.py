"""The catalogue of augmentations and their presets. The code is in workers/augmentation.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from workers.catalogue import CatalogueError, Options, complete_options, nearest

Operation = dict[str, Any]
"""Name of an augmentation under `name`, and all its options."""


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        msg = f"the first number of a range must not be larger, as in [{ends[1]:g}, {ends[0]:g}]"
        raise ValueError(msg)
    return ends


Probability = Annotated[float, Field(ge=0, le=1)]
Interval = Annotated[tuple[float, float], AfterValidator(_ascending)]
Angle = Annotated[float, Field(gt=-90, lt=90)]
Shear = Annotated[tuple[Angle, Angle], AfterValidator(_ascending)]
# Beyond 10 the Gaussian, cut off at three standard deviations, is wider than an image of 32 pixels.
Sigma = Annotated[float, Field(gt=0, le=10)]
Blur = Annotated[tuple[Sigma, Sigma], AfterValidator(_ascending)]
Positive = Annotated[
    tuple[Annotated[float, Field(gt=0, le=100)], Annotated[float, Field(gt=0, le=100)]],
    AfterValidator(_ascending),
]
Fractions = Annotated[tuple[Probability, Probability], AfterValidator(_ascending)]


class FlipOptions(Options):
    """Probabilities of a horizontal and a vertical flip."""

    horizontal: Probability = 0.5
    vertical: Probability = 0.5


class SometimesOptions(Options):
    """Fraction of the images that are changed."""

    probability: Probability = 1.0


class AffineOptions(SometimesOptions):
    """Ranges of an affine map around the centre.

    Rotation and shear are in degrees, scale is a factor, translation a fraction of the side.
    """

    degrees: Interval = (-30.0, 30.0)
    scale: Positive = (0.8, 1.25)
    translate: Interval = (-0.1, 0.1)
    shear: Shear = (-10.0, 10.0)


class ElasticOptions(SometimesOptions):
    """Control points on a side, and how far each moves at most, as a fraction of the side."""

    points: int = Field(default=4, ge=2, le=32)
    strength: float = Field(default=0.05, ge=0, le=0.5)


class ColourOptions(SometimesOptions):
    """Factors of brightness, contrast (around the mean) and saturation (around grey)."""

    brightness: Positive = (0.8, 1.25)
    contrast: Positive = (0.8, 1.25)
    saturation: Positive = (0.8, 1.25)


class GammaOptions(SometimesOptions):
    """Exponent of values in [0, 1]."""

    gamma: Positive = (0.7, 1.5)


class BlurOptions(SometimesOptions):
    """Standard deviation of a Gaussian, pixels of the network's input."""

    sigma: Blur = (0.5, 1.5)


class NoiseOptions(SometimesOptions):
    """Standard deviation of Gaussian noise on values in [0, 1]."""

    deviation: Fractions = (0.0, 0.05)


class CutoutOptions(SometimesOptions):
    """Side of a black square, as a fraction of the image's side; the mask keeps what it hides."""

    side: Fractions = (0.1, 0.3)


AUGMENTATIONS: Mapping[str, type[Options]] = {
    "flips": FlipOptions,
    "right-angles": SometimesOptions,
    "affine": AffineOptions,
    "elastic": ElasticOptions,
    "colour": ColourOptions,
    "gamma": GammaOptions,
    "blur": BlurOptions,
    "noise": NoiseOptions,
    "cutout": CutoutOptions,
}

PRESETS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "none": (),
    "flips": ({"name": "flips"},),
    "geometric": ({"name": "flips"}, {"name": "right-angles"}, {"name": "affine"}),
    "strong": (
        {"name": "flips"},
        {"name": "right-angles"},
        {"name": "affine"},
        {"name": "elastic", "probability": 0.3},
        {"name": "colour"},
        {"name": "gamma", "probability": 0.5},
        {"name": "blur", "probability": 0.2},
        {"name": "noise", "probability": 0.2},
        {"name": "cutout", "probability": 0.3},
    ),
}


def complete_augmentation(given: object) -> list[Operation]:
    """Returns the operations of a preset or a list, each with all its options.

    Args:
        given: Name of a preset, or a list of names or mappings with `name` and options; the
            operations are applied in this order.

    Raises:
        CatalogueError: A name or an option is unknown or refused.
    """
    if isinstance(given, str):
        if given not in PRESETS:
            reason = f"unknown preset; {nearest(given, PRESETS)}, or a list of operations"
            raise CatalogueError((), given, reason)
        given = PRESETS[given]
    if not isinstance(given, Sequence):
        reason = f"must be a list of operations, or one of {', '.join(PRESETS)}"
        raise CatalogueError((), given, reason)
    return [_complete(str(position), item) for position, item in enumerate(given)]


def _complete(position: str, item: object) -> Operation:
    if isinstance(item, str):
        item = {"name": item}
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
        reason = "must be a name, or a mapping with the key 'name' and options"
        raise CatalogueError((position,), item, reason)
    name = item["name"]
    if name not in AUGMENTATIONS:
        reason = f"unknown augmentation; {nearest(name, AUGMENTATIONS)}"
        raise CatalogueError((position, "name"), name, reason)
    options = {key: value for key, value in item.items() if key != "name"}
    return {"name": name, **complete_options(AUGMENTATIONS[name], options, (position,))}
