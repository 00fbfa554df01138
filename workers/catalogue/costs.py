"""What training steps cost, from the measured table that ships with the package."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.catalogue import CatalogueError
from workers.catalogue.models import MODELS, Parameters, Variant, complete_model

TABLE = Path(__file__).with_name("costs.json")
"""Made by `tests/benchmarks/models.py`, one table a kind of device."""

STATE_BYTES_PER_PARAMETER = 16
"""Weight, gradient and Adam's two moments in float32."""

GPU_CONTEXT_BYTES = 600 << 20
"""What a process holds on a GPU before its first tensor."""

# Of smp's decoder on a ResNet-34 (shared measurements); other encoders are of that order.
_ENCODER_GMACS_224 = {"unet": 5.98, "unetpp": 14.08, "deeplabv3plus": 6.04}


@dataclass(frozen=True, kw_only=True)
class Size:
    """Trainable parameters, and 1e9 multiply-adds of one 1x3x224x224 forward pass."""

    parameters: float
    gmacs_224: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One default model's training step: on what, and what it cost."""

    size: Size
    image_size: int
    batch_size: int
    threads: int
    seconds_per_step: float
    peak_memory_bytes: float


@functools.cache
def measured_steps(device: str = "cpu") -> Mapping[str, Measured]:
    """Returns the shipped table of a kind of device by model; empty where none was measured."""
    document = json.loads(TABLE.read_text(encoding="utf-8")).get(device, {"models": {}})
    return {
        name: Measured(
            size=Size(parameters=row["parameters"], gmacs_224=row["gmacs_224"]),
            image_size=document["image_size"],
            batch_size=document["batch_size"],
            threads=document["threads"],
            seconds_per_step=row["seconds_per_step"],
            peak_memory_bytes=row["peak_memory_bytes"],
        )
        for name, row in document["models"].items()
    }


def model_size(name: str, parameters: Parameters) -> Size:
    """Returns a model's size, as far as the catalogue tells it.

    A plain network's size grows with the square of its width, also of DUCK-Net's filters. A name
    the catalogue does not know counts as a default U-Net.
    """
    if name not in MODELS:
        return model_size("unet", {})
    entry = MODELS[name]
    whole = Size(parameters=entry.parameters, gmacs_224=entry.gmacs_224)
    for variant in entry.variants:
        if _is_variant(variant, parameters):
            return Size(parameters=variant.parameters, gmacs_224=variant.gmacs_224)
    try:
        default = complete_model(name, {})[1]
    except CatalogueError:
        return whole
    for key in ("width", "filters"):
        width, usual = parameters.get(key), default.get(key)
        if isinstance(width, int) and isinstance(usual, int):
            ratio = (width / usual) ** 2
            return Size(parameters=whole.parameters * ratio, gmacs_224=whole.gmacs_224 * ratio)
    if parameters.get("encoder") != default.get("encoder") and name in _ENCODER_GMACS_224:
        return Size(parameters=whole.parameters, gmacs_224=_ENCODER_GMACS_224[name])
    return whole


def _is_variant(variant: Variant, parameters: Parameters) -> bool:
    return all(parameters.get(key) == value for key, value in variant.options.items())


def pass_seconds(name: str, parameters: Parameters, *, threads: int) -> float | None:
    """Returns seconds a training step takes an image of 224x224 on so many CPU threads.

    Scaled from the shipped table by multiply-adds; None for a model that is not in it.
    """
    row = measured_steps().get(name)
    if row is None:
        return None
    images_224 = row.batch_size * (row.image_size / 224) ** 2
    ratio = model_size(name, parameters).gmacs_224 / row.size.gmacs_224
    return row.seconds_per_step / images_224 * ratio * row.threads / threads


def step_memory_bytes(
    name: str, parameters: Parameters, *, image_size: int, batch_size: int
) -> float:
    """Returns the memory of training in float32: weights and moments, and what a batch needs.

    The batch's part is scaled from the shipped table by pixels and multiply-adds; for a model
    that is not in it, the largest share a multiply-add has there is taken.
    """
    size = model_size(name, parameters)
    table = measured_steps()
    rows = [table[name]] if name in table else list(table.values())
    share = max((_bytes_per_gmac(row) for row in rows), default=0.0)
    images_224 = batch_size * (image_size / 224) ** 2
    return STATE_BYTES_PER_PARAMETER * size.parameters + share * size.gmacs_224 * images_224


def _bytes_per_gmac(row: Measured) -> float:
    """Returns what an image's multiply-adds keep for the backward pass."""
    kept = row.peak_memory_bytes - STATE_BYTES_PER_PARAMETER * row.size.parameters
    images_224 = row.batch_size * (row.image_size / 224) ** 2
    return max(0.0, kept) / (row.size.gmacs_224 * images_224)
