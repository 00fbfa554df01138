"""Trials per hour of `podium run` and of a typical script in a shell loop.

    python tests/benchmarks/usual_script.py --data ../shared/data --json usual.json

Both train the same grid: Kvasir-SEG and CVC-ClinicDB, two losses, one U-Net. The loop starts
`usual_trial.py` once per trial, which uses every core. Half of its trials run before the sweep and
half after, so that other programs on the machine favour neither. Both times include the start of
processes. Then each choice of Podium is measured alone, in separate processes: threads per trial,
memory layout, and large blocks in the allocator.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.machine import describe, in_one_line, parse, print_table, save

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "kvasir-seg": ("Kvasir-SEG/images", "Kvasir-SEG/masks"),
    "cvc-clinicdb": ("CVC-ClinicDB/PNG/Original", "CVC-ClinicDB/PNG/Ground Truth"),
}
LOSSES, WIDTH = ("bce", "dice"), 16
STEPS = """
import json, sys, time, torch
from tests.benchmarks.loop import make_task
from workers import environment
from workers.contract import Runtime
from workers.losses import build_loss
from workers.models import build_model
from workers.optimisation import Optimisation
from workers.training import train_epoch
side, threads, allocator, last, epochs = json.loads(sys.argv[1])
if not allocator:
    environment.keep_large_blocks = lambda: False
task = make_task(side, 32, 8, torch.device("cpu"))
runtime = Runtime(data_root=None, cache_dir="", num_threads=threads)
environment.prepare_process(task.training, runtime)
layout = torch.channels_last if last else torch.contiguous_format
model = build_model("unet", num_classes=1, width=16).to(memory_format=layout)
if not last:
    object.__setattr__(task.training, "channels_last", False)
adam = Optimisation(model, task.training, learning_rate=0.001, steps_per_epoch=3)
loss = build_loss("dice")
train_epoch(model, loss, task, adam, 1)
began = time.perf_counter()
for epoch in range(epochs):
    train_epoch(model, loss, task, adam, epoch + 2)
print(epochs * 24 / (time.perf_counter() - began))
"""


def environment() -> dict[str, str]:
    """Returns the environment of every process that is measured."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def run_loop(data: Path, side: int, epochs: int, repeats: int, half: int) -> float:
    """Runs every second trial of the grid with the typical script; returns the seconds."""
    combinations = list(itertools.product(FOLDERS, LOSSES, range(repeats)))
    began = time.perf_counter()
    for dataset, loss, repeat in combinations[half::2]:
        images, masks = (str(data / folder) for folder in FOLDERS[dataset])
        subprocess.run(
            [sys.executable, str(ROOT / "tests/benchmarks/usual_trial.py"), images, masks,
             "--loss", loss, "--side", str(side), "--epochs", str(epochs),
             "--width", str(WIDTH), "--seed", str(repeat)],
            env=environment(), check=True, capture_output=True,
        )  # fmt: skip
    return time.perf_counter() - began


def run_podium(data: Path, side: int, epochs: int, repeats: int, folder: Path) -> float:
    """Runs the grid with `podium run` and an empty cache; returns the seconds."""
    document = {
        "datasets": list(FOLDERS),
        "models": [{"name": "unet", "parameters": {"width": WIDTH}}],
        "losses": list(LOSSES),
        "repeats": repeats,
        "data": {"root": str(data), "image_size": side, "cache": str(folder / f"cache-{side}")},
        "training": {"max_epochs": epochs, "patience": epochs},
        "resources": {"cpus": 1},
        "cluster": {"cpus": 2},
        "results": str(folder / f"results-{side}"),
    }
    config = folder / f"{side}.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", str(config)],
        cwd=ROOT, env=environment(), check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - began


def measure(data: Path, side: int, epochs: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Returns one row: both ways over the same grid."""
    number = len(FOLDERS) * len(LOSSES) * repeats
    first = run_loop(data, side, epochs, repeats, 0)
    ours = run_podium(data, side, epochs, repeats, folder)
    second = run_loop(data, side, epochs, repeats, 1)
    print(f"{side} px: loop {first:.1f} s and {second:.1f} s, podium {ours:.1f} s", flush=True)
    return {
        "side": side,
        "trials": number,
        "epochs": epochs,
        "trials/h script": number / (first + second) * 3600,
        "trials/h podium": number / ours * 3600,
        "podium/script": (first + second) / ours,
        "second half/first": second / first,
    }


def speed(side: int, epochs: int, *, processes: int = 1, **changes: Any) -> float:
    """Returns training images per second, summed over concurrent processes."""
    options = {"threads": 1, "allocator": True, "channels_last": True} | changes
    order = [side, options["threads"], options["allocator"], options["channels_last"], epochs]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", STEPS, json.dumps(order)],
            cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for _ in range(processes)
    ]  # fmt: skip
    return sum(float(process.communicate()[0]) for process in started)


def measure_choices(side: int, epochs: int, rounds: int) -> list[dict[str, Any]]:
    """Compares each choice with its opposite, in turns."""
    choices: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "two trials of one thread, over one trial of two threads": (
            {"processes": 2}, {"threads": 2},
        ),
        "channels_last, over contiguous": ({}, {"channels_last": False}),
        "large blocks kept, over released": ({}, {"allocator": False}),
    }  # fmt: skip
    rows = []
    for title, (chosen, other) in choices.items():
        pairs = [
            (speed(side, epochs, **chosen), speed(side, epochs, **other)) for _ in range(rounds)
        ]
        print(f"{side} px, {title}: images/s {pairs}", flush=True)
        rows.append(
            {
                "side": side,
                "choice": title,
                "images/s": statistics.median(mine for mine, _ in pairs),
                "images/s opposite": statistics.median(theirs for _, theirs in pairs),
                "ratio": statistics.median(mine / theirs for mine, theirs in pairs),
            }
        )
    return rows


def main() -> None:
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 224])
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[12, 4], help="epochs for each side"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["grid", "choices"])
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest={"sides": [32], "epochs": [1], "repeats": 1, "rounds": 1})
    machine = describe("torch", "ray", "segmentation-models-pytorch", "pillow")
    print(in_one_line(machine), flush=True)
    data = arguments.data.resolve()
    figures: dict[str, Any] = {"machine": machine}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "choices":
            figures["grid"] = [
                measure(data, side, epochs, arguments.repeats, Path(folder))
                for side, epochs in zip(arguments.sides, arguments.epochs, strict=True)
            ]
            print_table(figures["grid"])
    if arguments.only != "grid":
        figures["choices"] = [
            row
            for side in arguments.sides
            for row in measure_choices(side, 4 if side < 200 else 1, arguments.rounds)
        ]
        print_table(figures["choices"])
    save(arguments.json, figures)


if __name__ == "__main__":
    main()
