"""Time to the first training step: decoding, the cache, the start of a sweep, a new worker.

    python tests/benchmarks/cold_start.py --data ../shared/data --json cold.json

Decoding: the images of the six datasets as the cache prepares them, compared with Pillow's
`Image.open(path).convert("RGB").resize((side, side))`. Both run in turns, in processor seconds. The
errors are mean absolute grey levels against an antialiased reference: the whole file decoded, and
resized with Pillow's bilinear filter.

Cache: the whole cache of a dataset, with hashes, the checks of images and masks, duplicates and
fingerprint, in processor seconds for 1,000 pairs. The baseline is a plain script that opens,
converts and resizes image and mask.

Start: `podium run` in two logical slots, from the call of the program to the first step of the
first trial. The rows give this time: the time of commit minus the seconds of training.

`--smallest` measures one size of each, once, and starts no sweep.
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

NAMES = (
    "isic-2017", "wound", "cvc-clinicdb", "kvasir-seg", "breast-benign", "breast-malignant",
)  # fmt: skip
SIDES = (32, 64, 96, 128, 224, 384, 512)
CACHE_SIDES = (96, 224)
ROOT = Path(__file__).resolve().parents[2]


def plain(path: Path, side: int) -> np.ndarray:
    """Decodes and resizes as most scripts do."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((side, side)))


def reference(path: Path, side: int) -> np.ndarray:
    """Decodes the whole file and resizes with antialiasing."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(small).astype(int)


def measure_decoding(dataset: FileDataset, side: int, repeats: int) -> dict[str, Any]:
    """Decodes each image by both ways in turns; returns one row."""
    dataset.examine()  # not measured as decoding
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
        "dataset": dataset.name,
        "side": side,
        "images": len(dataset.samples),
        "ms plain": 1e3 * total["plain"] / len(dataset.samples),
        "ms ours": 1e3 * total["ours"] / len(dataset.samples),
        "times faster": total["plain"] / total["ours"],
        "grey levels off, plain": statistics.mean(errors["plain"]),
        "ours": statistics.mean(errors["ours"]),
        "ours, worst image": max(errors["ours"]),
    }


def cache_plainly(dataset: FileDataset, side: int) -> None:
    """Opens, converts and resizes the pairs of a dataset as most scripts do."""
    for sample in dataset.samples:
        plain(dataset.image_path(sample), side)
        mask = np.zeros((side, side), bool)
        for path in sample.masks:
            with Image.open(path) as image:
                mask |= np.asarray(image.convert("L").resize((side, side))) > 127


def measure_cache(name: str, root: Path, side: int, repeats: int) -> dict[str, Any]:
    """Builds the cache of a dataset and opens it again; also runs the plain script."""
    seconds: dict[str, list[float]] = {"plain": [], "ours": [], "open": []}
    for _ in range(repeats):
        dataset = opened(name, root)
        began = time.process_time()
        cache_plainly(dataset, side)
        seconds["plain"].append(time.process_time() - began)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            load_arrays(dataset, side, Path(folder))
            built = time.process_time()
            load_arrays(opened(name, root), side, Path(folder))
            seconds["open"].append(time.process_time() - built)
            seconds["ours"].append(built - began)
    best = {key: min(values) for key, values in seconds.items()}
    each = 1000 / len(dataset.samples)
    return {
        "dataset": name,
        "side": side,
        "s for 1,000 pairs, plain": each * best["plain"],
        "ours": each * best["ours"],
        "times plain": best["ours"] / best["plain"],
        "ms to open": 1e3 * best["open"],
    }


def opened(name: str, root: Path) -> FileDataset:
    """Returns a dataset in files."""
    dataset = open_dataset(Component(name=name), root)
    if not isinstance(dataset, FileDataset):
        raise TypeError(dataset)
    return dataset


def measure_run(folder: Path, engine: str) -> dict[str, Any]:
    """Runs a sweep of eight tiny trials and returns the seconds until training began."""
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
        "s per trial after that": float(gaps.iloc[2:].clip(lower=0).median()),
        "s in total": (ended - called).total_seconds(),
    }


def main() -> None:
    """Measures and prints three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest={"repeats": 1})
    machine = describe("pillow", "numpy", "torch", "ray")
    print(in_one_line(machine))
    small, root, repeats = arguments.smallest, arguments.data, arguments.repeats
    decoding = [
        measure_decoding(opened(name, root), side, repeats)
        for name in NAMES
        for side in (SIDES[:1] if small else SIDES)
    ]
    print_table(decoding)
    cache = [
        measure_cache(name, root, side, repeats)
        for name in NAMES
        for side in (CACHE_SIDES[-1:] if small else CACHE_SIDES)
    ]
    print_table(cache)
    with tempfile.TemporaryDirectory() as scratch:
        engines = () if small else ("inline", "ray")
        runs = [measure_run(Path(scratch), engine) for engine in engines]
    if runs:
        print_table(runs)
    figures = {"machine": machine, "decoding": decoding, "cache": cache, "runs": runs}
    save(arguments.json, figures)


if __name__ == "__main__":
    main()
