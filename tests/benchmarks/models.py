"""The cost of each model: parameters, GMAC, seconds per training step and peak memory.

    python tests/benchmarks/models.py --image-size 224 --batch-size 2 --json costs.json

Each model runs in a separate process, so that each peak is measured alone. On a CPU the memory is
the growth of the process, on a GPU the memory that torch allocated. `workers/catalogue/costs.json`
is such a file, with one table per kind of device.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.machine import parse
from workers.catalogue.models import MODELS
from workers.contract import TrainingProtocol
from workers.environment import device_name, keep_large_blocks
from workers.losses import build_loss
from workers.models import build_model
from workers.training import supervised_loss

GIB = 1 << 30
LOSS = "iou+focal"


def status_bytes(key: str) -> int:
    """Returns VmRSS or VmHWM of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1]) * 1024


def count(name: str, parameters: dict[str, Any]) -> tuple[int, float]:
    """Returns trainable parameters, and GMAC of one 224x224 forward pass, on the meta device."""
    with torch.device("meta"):
        network = build_model(name, **parameters).eval()
    with FlopCounterMode(display=False) as flops:
        network(torch.zeros(1, 3, 224, 224, device="meta"))
    number = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return number, flops.get_total_flops() / 2e9


def measure(name: str, parameters: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains a few steps on random images in this process and returns one row of the table."""
    keep_large_blocks()  # as a trial does
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    number, gmacs = count(name, parameters)
    side, batch = arguments.image_size, arguments.batch_size
    before_bytes = status_bytes("VmRSS")
    torch.manual_seed(0)
    network = build_model(name, **parameters).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss, protocol = build_loss(LOSS), TrainingProtocol()
    images_BCHW = torch.rand(batch, 3, side, side, device=device)
    images_BCHW = images_BCHW.to(memory_format=torch.channels_last)
    target_BHW = (torch.rand(batch, side, side, device=device) > 0.5).long()
    seconds = []
    for _ in range(1 + arguments.steps):
        began = time.perf_counter()
        value = supervised_loss(loss, network(images_BCHW), target_BHW, protocol)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        value.item()  # waits for the device
        seconds.append(time.perf_counter() - began)
    on_gpu = device.type == "cuda"
    forward = []
    with torch.inference_mode():
        network.eval()
        for _ in range(1 + arguments.steps):
            began = time.perf_counter()
            network(images_BCHW).logits_BCHW.sum().item()
            forward.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() if on_gpu else status_bytes("VmHWM") - before_bytes
    return {
        "model": name,
        "options": parameters,
        "parameters": number,
        "gmacs_224": round(gmacs, 3),
        "seconds_per_step": round(statistics.median(seconds[1:]), 4),
        "seconds_per_forward": round(statistics.median(forward[1:]), 4),
        "peak_memory_bytes": peak,
        "reserved_memory_bytes": torch.cuda.max_memory_reserved() if on_gpu else None,
        "device": device_name(device),
    }


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields the row of each model, measured in a fresh process."""
    for name in arguments.models:
        command = [sys.executable, __file__, "--one", name, "--threads", str(arguments.threads)]
        for option in ("image_size", "batch_size", "steps", "device"):
            command += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        yield json.loads(done.stdout)


def main() -> None:
    """Measures the requested models and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, default=3, help="timed steps, after one step to warm up"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parse(parser, smallest={"models": ["unet"], "image_size": 32, "steps": 1})
    if arguments.one:
        print(json.dumps(measure(arguments.one, {}, arguments)))
        return
    side, batch = arguments.image_size, arguments.batch_size
    print(f"{batch} images of {side}x{side}, {LOSS}, Adam, float32, {arguments.device}")
    print(f"{'model':16}{'parameters':>14}{'GMAC at 224':>13}{'s/step':>9}{'peak GiB':>10}")
    table = []
    for row in rows(arguments):
        table.append(row)
        memory = row["peak_memory_bytes"] / GIB
        sizes = f"{row['parameters']:>14,}{row['gmacs_224']:>13.2f}"
        print(f"{row['model']:16}{sizes}{row['seconds_per_step']:>9.3f}{memory:>10.2f}", flush=True)
    document = {
        "device": table[0]["device"] if table else arguments.device,
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "threads": arguments.threads,
        "image_size": side,
        "batch_size": batch,
        "models": {
            row["model"]: {key: row[key] for key in row if key not in ("model", "device")}
            for row in table
        },
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.exit(len(table) < len(arguments.models))


if __name__ == "__main__":
    main()
