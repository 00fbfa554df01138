"""Cost of training steps, from tables that ship with the package."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.catalogue import CatalogueError
from workers.catalogue.models import MODELS, Parameters, Variant, complete_model

TABLE = Path(__file__).with_name("costs.json")
"""One table per measured device, written by `tests/benchmarks/models.py`; under `traced` the
operations of a step, written by `tests/benchmarks/trace_models.py`."""

STATE_BYTES_PER_PARAMETER = 20
"""Weight, gradient, Adam's two moments and the best weights so far, in float32."""

GPU_CONTEXT_BYTES = 600 << 20
"""Memory of a process on a GPU before its first tensor."""

ASSUMED_OPERATION_SECONDS = 10e-6
"""Time of the host to start one operation; it limits a step with many small operations."""

ASSUMED_GPU_FLOPS = 30e12
ASSUMED_GPU_BYTES_PER_SECOND = 1.5e12
"""Float32 arithmetic and memory traffic per second of a whole GPU: about half of a large card."""

_STEP_PER_FORWARD = 3
"""A training step costs three forward passes: one forward, two backward."""

# Of smp's decoder on a ResNet-34 (shared measurements); other encoders are of that order.
_ENCODER_GMACS_224 = {"unet": 5.98, "unetpp": 14.08, "deeplabv3plus": 6.04}


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """Trainable parameters, and 1e9 multiply-adds of one 1x3x224x224 forward pass."""

    parameters: float
    gmacs_224: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measured training step of a default model.

    Attributes:
        size: Size of the model.
        image_size: Side of the images, pixels.
        batch_size: Images per step.
        threads: CPU threads.
        seconds_per_step: Forward, backward and optimiser.
        seconds_per_forward: Forward pass alone; None if it was not measured.
        peak_memory_bytes: Resident on a CPU, allocated by torch on a GPU.
        reserved_memory_bytes: Reserved by torch on a GPU; None on a CPU.
    """

    size: ModelSize
    image_size: int
    batch_size: int
    threads: int
    seconds_per_step: float
    seconds_per_forward: float | None
    peak_memory_bytes: float
    reserved_memory_bytes: float | None


@dataclass(frozen=True, kw_only=True)
class Traced:
    """The operations of one training step of a default model on a GPU.

    Attributes:
        operations: Number in forward and backward pass, without views.
        forward_operations: Number in the forward pass.
        bytes_per_image: Read and written by them, for an image of 224x224.
        activation_bytes_per_image: Kept for the backward pass, likewise.
    """

    operations: int
    forward_operations: int
    bytes_per_image: float
    activation_bytes_per_image: float


@dataclass(frozen=True, kw_only=True)
class StepSeconds:
    """Seconds of a training step and of a forward pass of the same batch."""

    step: float
    forward: float


@functools.cache
def measured_steps(device: str = "cpu") -> Mapping[str, Measured]:
    """Returns the shipped table of a kind of device by model; empty if the device has none."""
    document = json.loads(TABLE.read_text(encoding="utf-8")).get(device, {"models": {}})
    return {
        name: Measured(
            size=ModelSize(parameters=row["parameters"], gmacs_224=row["gmacs_224"]),
            image_size=document["image_size"],
            batch_size=document["batch_size"],
            threads=document["threads"],
            seconds_per_step=row["seconds_per_step"],
            seconds_per_forward=row.get("seconds_per_forward"),
            peak_memory_bytes=row["peak_memory_bytes"],
            reserved_memory_bytes=row.get("reserved_memory_bytes"),
        )
        for name, row in document["models"].items()
    }


@functools.cache
def traced_steps() -> Mapping[str, Traced]:
    """Returns the shipped table of traced steps by model."""
    document = json.loads(TABLE.read_text(encoding="utf-8"))["traced"]
    return {name: Traced(**row) for name, row in document["models"].items()}


def model_size(name: str, parameters: Parameters) -> ModelSize:
    """Returns the size of a model, measured or estimated from the catalogue.

    The size of a plain network grows with the square of its width (DUCK-Net: of its filters). A
    name that the catalogue does not know counts as a default U-Net.
    """
    if name not in MODELS:
        return model_size("unet", {})
    entry = MODELS[name]
    whole = ModelSize(parameters=entry.parameters, gmacs_224=entry.gmacs_224)
    for variant in entry.variants:
        if _is_variant(variant, parameters):
            return ModelSize(parameters=variant.parameters, gmacs_224=variant.gmacs_224)
    try:
        default = complete_model(name, {})[1]
    except CatalogueError:
        return whole
    for key in ("width", "filters"):
        width, usual = parameters.get(key), default.get(key)
        if isinstance(width, int) and isinstance(usual, int):
            ratio = (width / usual) ** 2
            return ModelSize(parameters=whole.parameters * ratio, gmacs_224=whole.gmacs_224 * ratio)
    if parameters.get("encoder") != default.get("encoder") and name in _ENCODER_GMACS_224:
        return ModelSize(parameters=whole.parameters, gmacs_224=_ENCODER_GMACS_224[name])
    return whole


def _is_variant(variant: Variant, parameters: Parameters) -> bool:
    return all(parameters.get(key) == value for key, value in variant.options.items())


def pass_seconds(name: str, parameters: Parameters, *, threads: int) -> float | None:
    """Returns the seconds of a training step per image of 224x224 on a number of CPU threads.

    They are scaled from the shipped table by multiply-adds; None for a model that is not in it.
    """
    row = measured_steps().get(name)
    if row is None:
        return None
    images_224 = row.batch_size * (row.image_size / 224) ** 2
    ratio = model_size(name, parameters).gmacs_224 / row.size.gmacs_224
    return row.seconds_per_step / images_224 * ratio * row.threads / threads


def step_memory_bytes(
    name: str, parameters: Parameters, *, image_size: int, batch_size: int, device: str = ""
) -> float:
    """Returns the memory of training in float32 on a GPU: the state and the memory of a batch.

    Args:
        name: The model.
        parameters: Its options; activations are scaled from the default model by multiply-adds.
        image_size: Side of the images, pixels.
        batch_size: Images per step.
        device: Name of the GPU. If the shipped table has it, its reserved memory counts; otherwise
            the traced activations.
    """
    size = model_size(name, parameters)
    images_224 = batch_size * (image_size / 224) ** 2
    state = STATE_BYTES_PER_PARAMETER * size.parameters
    row = measured_steps(device).get(name)
    if row is not None and row.reserved_memory_bytes is not None:
        kept = max(0.0, row.reserved_memory_bytes - STATE_BYTES_PER_PARAMETER * row.size.parameters)
        kept /= row.batch_size * (row.image_size / 224) ** 2
    else:
        kept = max(item.activation_bytes_per_image for item in _traced(name))
    return state + kept * _growth(name, size) * images_224


def gpu_step_seconds(
    name: str,
    parameters: Parameters,
    *,
    image_size: int,
    batch_size: int,
    share: float,
    device: str = "",
) -> StepSeconds:
    """Returns the seconds of a training step and a forward pass on a GPU share, in float32.

    If the device has a measured table, it is scaled by pixels and multiply-adds. Otherwise the
    seconds are estimated: the device's arithmetic and memory traffic, and at least the time of the
    host to start the operations, which does not depend on the GPU share.
    """
    size = model_size(name, parameters)
    images_224 = batch_size * (image_size / 224) ** 2
    row = measured_steps(device).get(name)
    if row is not None:
        ratio = images_224 / (row.batch_size * (row.image_size / 224) ** 2)
        ratio *= size.gmacs_224 / row.size.gmacs_224 / share
        forward = row.seconds_per_forward or row.seconds_per_step / _STEP_PER_FORWARD
        return StepSeconds(step=row.seconds_per_step * ratio, forward=forward * ratio)
    traced = max(_traced(name), key=lambda item: item.operations)
    flops = 2e9 * size.gmacs_224 * images_224
    num_bytes = traced.bytes_per_image * _growth(name, size) * images_224
    forward_part = 1 / _STEP_PER_FORWARD

    def seconds(part: float, operations: int) -> float:
        arithmetic = _STEP_PER_FORWARD * flops / ASSUMED_GPU_FLOPS
        traffic = num_bytes / ASSUMED_GPU_BYTES_PER_SECOND
        return max(part * (arithmetic + traffic) / share, operations * ASSUMED_OPERATION_SECONDS)

    return StepSeconds(
        step=seconds(1.0, traced.operations),
        forward=seconds(forward_part, traced.forward_operations),
    )


def _traced(name: str) -> list[Traced]:
    """Returns the model's row, or every row for a model that is not in the table."""
    table = traced_steps()
    return [table[name]] if name in table else list(table.values())


def _growth(name: str, size: ModelSize) -> float:
    """Returns the activations of a form of a model, as a multiple of those of the default form.

    They grow with the width, multiply-adds with its square; with the depth both grow alike. The
    larger result is returned.
    """
    if name not in MODELS:
        return 1.0
    ratio = size.gmacs_224 / MODELS[name].gmacs_224
    return max(ratio, math.sqrt(ratio))
