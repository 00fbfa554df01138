"""`resources.gpus: auto`: the share of a GPU that one trial's memory asks for."""

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
"""Room for what the table does not see: fragments, library workspaces, the CUDA context."""

MAX_TRIALS_PER_GPU = 64
"""More share nothing but waiting; and Ray's four decimals tell so many shares apart."""

ASSUMED_NUM_IMAGES = 2_000
"""For the user's own folders, which nobody has counted here."""

_BYTES_PER_PIXEL = 4
"""Three colours and the mask."""

_GIB = 1 << 30


def gpu_share(memory_bytes: float, device_memory_bytes: float, margin: float) -> float:
    """Returns the share of a GPU for a trial: 1 / n, with n the trials that fit side by side.

    Args:
        memory_bytes: What one trial needs.
        device_memory_bytes: Memory of one GPU.
        margin: Added to what is needed, as a fraction of it.

    Returns:
        1 where not even two fit; rounded down to Ray's four decimals, so that n of them fit, n at
        most `MAX_TRIALS_PER_GPU`.

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
) -> dict[str, float] | None:
    """Returns the share that each model needs on the largest of the datasets, by its label.

    A trial for which it is too little is tried again with twice as much.

    Returns:
        None where the memory of a GPU is neither given nor told by this machine.
    """
    name, found = local_gpu() or ("", None)
    device = gpu_memory_gib * _GIB if gpu_memory_gib is not None else found
    if device is None:
        return None
    resident = max((resident_bytes(d, image_size) for d in datasets), default=0)
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


def resident_bytes(dataset: Component, image_size: int) -> int:
    """Returns the memory of a dataset's images and masks, which a trial keeps on its GPU."""
    generated = dataset.parameters.get("num_images")
    entry = DATASETS.get(dataset.name)
    known = generated if isinstance(generated, int) else entry.num_images if entry else None
    return (ASSUMED_NUM_IMAGES if known is None else known) * image_size**2 * _BYTES_PER_PIXEL


def local_gpu() -> tuple[str, float] | None:
    """Returns name and memory, in bytes, of this machine's smallest GPU, as nvidia-smi tells it.

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
