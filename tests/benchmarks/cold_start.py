"""From nothing to the first training step: decoding, the cache, a sweep's start, a new worker.

    python tests/benchmarks/cold_start.py --data ../shared/data --json cold.json

Decoding: every JPEG of ISIC-2017 as the cache prepares it, beside Pillow's plain
`Image.open(path).convert("RGB").resize((side, side))`, one after the other, in processor seconds;
errors are mean absolute grey levels against an antialiased reference, all of the file decoded and
resized with Pillow's bilinear filter. Start: `podium run` on two logical slots, from the call of
the program to the first step of the first trial, which is what the rows tell: the time of commit
less the seconds of training.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from orchestrator.store import Store
from tests.benchmarks.machine import describe, in_one_line, parse, print_table, save
from workers.contract import Component
from workers.datasets import FileDataset, open_dataset
from workers.datasets.cache import load_arrays, prepare_image

ROOT = Path(__file__).resolve().parents[2]


def plain(path: Path, side: int) -> np.ndarray:
    """What most scripts do."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((side, side)))


def reference(path: Path, side: int) -> np.ndarray:
    """Everything decoded, then antialiased."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(small).astype(int)


def measure_decoding(dataset: FileDataset, side: int, repeats: int) -> dict[str, Any]:
    """Decodes each image by both in turns; returns one row."""
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    errors: dict[str, list[float]] = {"plain": [], "ours": []}
    for index, sample in enumerate(dataset.samples):
        path = dataset.image_path(sample)
        truth = reference(path, side)
        ways = {
            "plain": lambda: plain(path, side),  # noqa: B023
            "ours": lambda: prepare_image(dataset, index, side)[0],  # noqa: B023
        }
        for key, way in ways.items():
            spent = []
            for _ in range(repeats):
                began = time.process_time()
                found = way()
                spent.append(time.process_time() - began)
            seconds[key].append(statistics.median(spent))
            errors[key].append(float(np.abs(found.astype(int) - truth).mean()))
    total = {key: sum(values) for key, values in seconds.items()}
    return {
        "side": side,
        "images": len(dataset.samples),
        "ms plain": 1e3 * total["plain"] / len(dataset.samples),
        "ms ours": 1e3 * total["ours"] / len(dataset.samples),
        "times faster": total["plain"] / total["ours"],
        "grey levels off, plain": statistics.mean(errors["plain"]),
        "ours": statistics.mean(errors["ours"]),
        "ours, worst image": max(errors["ours"]),
    }


def measure_cache(dataset: FileDataset, side: int, folder: Path) -> dict[str, Any]:
    """Builds the cache with masks and fingerprint, and opens it again."""
    began = time.perf_counter()
    load_arrays(dataset, side, folder)
    built = time.perf_counter()
    load_arrays(dataset, side, folder)
    opened = time.perf_counter()
    return {"side": side, "s to build": built - began, "ms to open": 1e3 * (opened - built)}


def measure_run(folder: Path, engine: str) -> dict[str, Any]:
    """Starts a sweep of eight tiny trials and returns when training began."""
    config = folder / f"{engine}.yaml"
    results = folder / engine
    document = {
        "datasets": [{"name": "synthetic-skin", "parameters": {"num_images": 15}}],
        "models": [{"name": "unet", "parameters": {"width": 4}}],
        "losses": ["dice", "bce"],
        "repeats": 4,
        "data": {"image_size": 32, "cache": str(folder / "cache")},
        "training": {"max_epochs": 1},
        "runtime": {"example_images": 0},
        "cluster": {"cpus": 2},
        "results": str(results),
    }
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    called = datetime.now(UTC)
    subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", str(config), "--engine", engine],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
    )  # fmt: skip
    ended = datetime.now(UTC)
    trials = Store(str(results)).read("trials").sort_values("committed_at")
    since_call = (trials["committed_at"] - called).dt.total_seconds()
    begins = (since_call - trials["train_seconds"]).sort_values().tolist()
    gaps = trials["committed_at"].diff().dt.total_seconds() - trials["train_seconds"]
    return {
        "engine": engine,
        "s to the first step": begins[0],
        "s to the second worker's": begins[1],
        "s a trial after that": float(gaps.iloc[2:].clip(lower=0).median()),
        "s in all": (ended - called).total_seconds(),
    }


def main() -> None:
    """Measures and prints three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 224])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest={"repeats": 1, "sides": [64]})
    machine = describe("pillow", "numpy", "torch", "ray")
    print(in_one_line(machine))
    dataset = open_dataset(Component(name="isic-2017"), arguments.data)
    if not isinstance(dataset, FileDataset):
        raise TypeError(dataset)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sides = arguments.sides
        decoding = [measure_decoding(dataset, side, arguments.repeats) for side in sides]
        print_table(decoding)
        cache = [measure_cache(dataset, side, folder / "images") for side in sides]
        print_table(cache)
        runs = [measure_run(folder, engine) for engine in ("inline", "ray")]
        print_table(runs)
    figures = {"machine": machine, "decoding": decoding, "cache": cache, "runs": runs}
    save(arguments.json, figures)


if __name__ == "__main__":
    main()
