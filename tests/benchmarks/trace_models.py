"""Operations, bytes and activations of a training step of each model, without a device.

    python tests/benchmarks/trace_models.py --json traced.json

One step (forward, backward; no optimiser) runs on torch's meta device, with the replacements that a
GPU gets (`workers.models.resampling`). The table has, per image of the batch, the bytes that the
operations read and write, and the bytes that are kept for the backward pass. Per step, it has the
number of operations without views. `workers/catalogue/costs.json` holds the table under `traced`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.benchmarks.machine import parse
from workers.catalogue.models import MODELS
from workers.models import build_model, resampling

SIDE, BATCH_SIZE = 224, 8

_FREE = frozenset({"detach", "empty", "empty_like"})
"""Operations without a computation."""


class Operations(TorchDispatchMode):
    """Counts operations with a computation, and the bytes of their arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.num_bytes = 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        """Runs the operation; a result that shares its memory with an argument is a view."""
        result = func(*args, **(kwargs or {}))
        given = [item for item in tree_leaves((args, kwargs)) if isinstance(item, Tensor)]
        made = [item for item in tree_leaves(result) if isinstance(item, Tensor)]
        if not func.is_view and func.overloadpacket.__name__ not in _FREE:
            self.number += 1
            self.num_bytes += sum(item.numel() * item.element_size() for item in given + made)
        return result


def trace(name: str, parameters: dict[str, Any]) -> dict[str, float]:
    """Returns one row of the table."""
    kept: dict[int, int] = {}
    with torch.device("meta"):
        network = build_model(name, **parameters).train()
        image_BCHW = torch.zeros(BATCH_SIZE, 3, SIDE, SIDE)
    own = {item.untyped_storage()._cdata for item in network.state_dict().values()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with Operations() as operations, saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(image_BCHW)
        maps = (output.logits_BCHW, *output.supervised())
        total = sum((m.square().mean() for m in maps), torch.zeros((), device="meta"))
        forward = operations.number
        total.backward()
    return {
        "operations": operations.number,
        "forward_operations": forward,
        "bytes_per_image": round(operations.num_bytes / BATCH_SIZE),
        "activation_bytes_per_image": round(sum(kept.values()) / BATCH_SIZE),
    }


def main() -> None:
    """Traces the requested models and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest={"models": ["unet"]})
    resampling.REPLACED_ON = frozenset({"meta"})
    torch.use_deterministic_algorithms(True)
    rows = {name: trace(name, {}) for name in arguments.models}
    for name, row in rows.items():
        print(
            f"{name:16}{row['operations']:>7} operations; per image "
            f"{row['bytes_per_image'] / 1e9:6.2f} GB read and written, "
            f"{row['activation_bytes_per_image'] / 2**20:7.1f} MiB kept"
        )
    if arguments.json:
        document = {"image_size": SIDE, "batch_size": BATCH_SIZE, "models": rows}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
