"""Podium's epochs compared with a minimal PyTorch loop, and its validation with forward passes.

    python tests/benchmarks/loop.py --json loop.json

The minimal loop has all images normalised, as float32, on the device. It uses the same model,
batch, loss and optimiser as Podium, but sums no loss, computes no score and keeps no record. Both
train copies of one network in turns, epoch by epoch, in one process. Each ratio is the median of
the ratios per epoch.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.benchmarks.machine import describe, in_one_line, parse, print_table, save
from workers.contract import Runtime, TrainingProtocol
from workers.datasets.cache import DatasetArrays
from workers.datasets.likeness.relations import unrelated
from workers.datasets.split import Split
from workers.environment import device_name, prepare_process
from workers.evaluation import count_images
from workers.losses import build_loss
from workers.metrics.scores import score_images
from workers.models import build_model
from workers.optimisation import Optimisation
from workers.task import Task, prepare_task
from workers.training import train_epoch

CASES: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("unet", {"width": 16}, 64),
    ("unet", {"width": 16}, 96),
    ("unet", {"width": 16}, 224),
    ("emcad", {}, 96),
)
LOSS = "iou+focal"


def make_task(side: int, num_images: int, batch_size: int, device: torch.device) -> Task:
    """Returns random images, three quarters for training and the rest for validation."""
    generator = np.random.default_rng(0)
    arrays = DatasetArrays(
        images=generator.integers(0, 256, (num_images, side, side, 3), dtype=np.uint8),
        masks=generator.integers(0, 2, (num_images, side, side), dtype=np.uint8),
        names=tuple(map(str, range(num_images))),
        relations=unrelated(tuple(map(str, range(num_images)))),
        fingerprint="random",
    )
    train, val = np.split(np.arange(num_images), [num_images * 3 // 4])
    return prepare_task(
        arrays,
        Split(train=train, val=val, test=val),
        TrainingProtocol(batch_size=batch_size),
        device,
        normalisation="imagenet",
        seed=0,
        repeat=0,
    )


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Returns the seconds of a call: processor time, or wall time on a GPU.

    Processor time, because other programs can use the machine; all threads of this process count.
    """
    if device.type == "cpu":
        began = time.process_time()
        run()
        return time.process_time() - began
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    run()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


def bare_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: nn.Module,
    images_NCHW: Tensor,
    masks_NHW: Tensor,
    batch_size: int,
) -> None:
    """Trains an epoch as in a tutorial, with the data on the device."""
    model.train()
    order = torch.randperm(len(images_NCHW), device=images_NCHW.device)
    for batch in order.split(batch_size):
        value = loss(model(images_NCHW[batch]).logits_BCHW, masks_NHW[batch])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()


def bare_passes(model: nn.Module, images_NCHW: Tensor, batch_size: int) -> None:
    """Runs only the forward passes of a validation."""
    model.eval()
    with torch.inference_mode():
        for images_BCHW in images_NCHW.split(batch_size):
            model(images_BCHW)


def validate(model: nn.Module, task: Task) -> None:
    """Validates as at the end of an epoch."""
    score_images(count_images(model, task, task.indices(task.split.val)))


def measure(
    name: str, parameters: dict[str, Any], side: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measures both loops, forward passes and validation in turns; returns one row."""
    size = arguments.batch_size
    runtime = Runtime(
        data_root=None,
        cache_dir="",
        num_threads=arguments.threads,
        gpu_ids=("0",) if arguments.device == "cuda" else (),
    )
    device = prepare_process(TrainingProtocol(), runtime)
    task = make_task(side, arguments.images, size, device)
    ours = build_model(name, num_classes=1, **parameters).to(device)
    ours = ours.to(memory_format=torch.channels_last)
    bare = copy.deepcopy(ours)
    ours_adam = Optimisation(ours, task.training, learning_rate=0.001, steps_per_epoch=1)
    bare_adam = torch.optim.Adam(bare.parameters())
    loss = build_loss(LOSS)
    images_NCHW, masks_NHW = task.batch(task.indices(np.arange(arguments.images)))
    num_train = len(task.split.train)
    train, val = images_NCHW[:num_train], images_NCHW[num_train:]
    seconds: dict[str, list[float]] = {"ours": [], "bare": [], "validation": [], "passes": []}
    for epoch in range(1, arguments.epochs + 2):
        turn: dict[str, Callable[[], object]] = {
            "bare": lambda: bare_epoch(bare, bare_adam, loss, train, masks_NHW[:num_train], size),
            "ours": lambda: train_epoch(ours, loss, task, ours_adam, epoch),  # noqa: B023
            "passes": lambda: bare_passes(bare, val, size),
            "validation": lambda: validate(ours, task),
        }
        for key in turn if epoch % 2 else reversed(turn):
            seconds[key].append(timed(turn[key], device))
    median = {key: statistics.median(values[1:]) for key, values in seconds.items()}

    def ratio(one: str, other: str) -> float:
        pairs = zip(seconds[one][1:], seconds[other][1:], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return {
        "model": name,
        "side": side,
        "images/s minimal": num_train / median["bare"],
        "images/s podium": num_train / median["ours"],
        "podium/minimal": ratio("bare", "ours"),
        "ms passes": 1e3 * median["passes"],
        "ms validation": 1e3 * median["validation"],
        "validation/passes": ratio("validation", "passes"),
    }


def main() -> None:
    """Measures each case and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--max-side", type=int, default=224)
    parser.add_argument("--models", nargs="+", default=["unet", "emcad"])
    parser.add_argument("--json", type=Path)
    arguments = parse(
        parser, smallest={"images": 16, "epochs": 1, "max_side": 64, "models": ["unet"]}
    )
    machine = describe("torch", "numpy")
    print(f"{device_name(torch.device(arguments.device))}, {arguments.threads} threads, ", end="")
    print(f"batch {arguments.batch_size}, loss {LOSS}; {in_one_line(machine)}")
    rows = [
        measure(name, parameters, side, arguments)
        for name, parameters, side in CASES
        if side <= arguments.max_side and name in arguments.models
    ]
    print_table(rows)
    save(arguments.json, {"machine": machine, "arguments": str(vars(arguments)), "cases": rows})


if __name__ == "__main__":
    main()
