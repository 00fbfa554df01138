"""`resources.gpus: auto`: the GPU share of one trial, from its memory."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterable

from workers.catalogue.costs import GPU_CONTEXT_BYTES, step_memory_bytes
from workers.catalogue.datasets import DATASETS
from workers.contract import Component

AUTO = "auto"

MEMORY_MARGIN = 0.3
"""Added for memory that the table does not count: fragments, workspaces of libraries."""

MAX_TRIALS_PER_GPU = 64
"""More trials on one GPU would only wait for each other. Up to this number, shares stay distinct
in Ray's four decimals."""

ASSUMED_NUM_IMAGES = 2_000
"""Number of images of a user's own folder before Podium has counted them."""

_BYTES_PER_PIXEL = 4
"""Three colours and one mask."""

_BYTES_PER_MAP_PIXEL = 4
"""One float32."""

_GIB = 1 << 30


def gpu_share(memory_bytes: float, device_memory_bytes: float, margin: float) -> float:
    """Returns the share of a GPU for a trial: 1 / n, with n the trials that fit side by side.

    Args:
        memory_bytes: Memory of one trial.
        device_memory_bytes: Memory of one GPU.
        margin: Added to the memory of the trial, as a fraction of it.

    Returns:
        1 if two trials do not fit. The share is rounded down to Ray's four decimals, so that n
        trials fit, with n at most `MAX_TRIALS_PER_GPU`.

    Raises:
        ValueError: A number is not positive, or the margin is negative.
    """
    if memory_bytes <= 0 or device_memory_bytes <= 0 or margin < 0:
        msg = f"memory {memory_bytes}, device {device_memory_bytes}, margin {margin}"
        raise ValueError(msg)
    fitting = math.floor(device_memory_bytes / (memory_bytes * (1 + margin)))
    return math.floor(1e4 / min(max(1, fitting), MAX_TRIALS_PER_GPU)) / 1e4


def shares_for(
    models: Iterable[Component],
    datasets: Iterable[Component] = (),
    *,
    image_size: int,
    batch_size: int,
    gpu_memory_gib: float | None,
    num_maps: int = 0,
) -> dict[str, float] | None:
    """Returns the share that each model needs on the largest of the datasets, by its label.

    A trial that runs out of memory is started again with twice its share. `num_maps` is the largest
    number of maps of the masks that a loss needs.

    Returns:
        None if the memory of a GPU is not given and nvidia-smi reports none.
    """
    name, found = local_gpu() or ("", None)
    device = gpu_memory_gib * _GIB if gpu_memory_gib is not None else found
    if device is None:
        return None
    resident = max((resident_bytes(d, image_size, num_maps) for d in datasets), default=0)
    return {
        model.label: gpu_share(
            step_memory_bytes(
                model.name,
                model.parameters,
                image_size=image_size,
                batch_size=batch_size,
                device=name,
            )
            + resident
            + GPU_CONTEXT_BYTES,
            device,
            MEMORY_MARGIN,
        )
        for model in models
    }


def resident_bytes(dataset: Component, image_size: int, num_maps: int = 0) -> int:
    """Returns the memory of a dataset's images, masks and maps, which a trial keeps on its GPU."""
    generated = dataset.parameters.get("num_images")
    entry = DATASETS.get(dataset.name)
    known = generated if isinstance(generated, int) else entry.num_images if entry else None
    num_images = ASSUMED_NUM_IMAGES if known is None else known
    return num_images * image_size**2 * (_BYTES_PER_PIXEL + num_maps * _BYTES_PER_MAP_PIXEL)


def local_gpu() -> tuple[str, float] | None:
    """Returns name and memory, in bytes, of this machine's smallest GPU, from nvidia-smi.

    Returns:
        None without a GPU.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"]
    done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30)
    found = []
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        size, _, name = line.partition(",")
        if size.strip().isdigit():
            found.append((int(size), name.strip()))
    if not found:
        return None
    smallest = min(found)
    return smallest[1], smallest[0] * 2.0**20
