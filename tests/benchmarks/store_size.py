"""Time and memory of a store with many trials, compared with pandas on the same files.

    python tests/benchmarks/store_size.py --trials 100000 --json store_size.json

The parts are written directly, with the content that commits write: a row of `trials`, the epochs
and the test images of each trial. Every step runs in a separate process, which reports its peak
memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from orchestrator.config import load_config
from orchestrator.plan.grid import Grid, build_grid
from orchestrator.store import TABLES, Store
from orchestrator.store.codec import encode_part
from orchestrator.store.files import part_path
from orchestrator.store.rows import detail_rows, trial_row
from orchestrator.sweep import open_results
from tests.benchmarks.machine import parse
from tests.unit.orchestrator.store.trials import make_result
from workers.contract import EpochRecord, ImageCounts, TrialResult, TrialSpec
from workers.identity import trial_id
from workers.metrics.scores import score_images

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LOSSES, MODELS, DATASETS = 10, 20, 10
NUM_WRITERS = 2


def make_grid(folder: Path, num_trials: int) -> Grid:
    """Returns a grid of 10 datasets, 20 models, 10 losses and the necessary repeats."""
    config = {
        "name": "size",
        "datasets": [
            {"name": "synthetic-skin", "alias": f"skin-{n}", "parameters": {"num_images": n + 20}}
            for n in range(DATASETS)
        ],
        "models": [
            {"name": "unet", "alias": f"unet-{n}", "parameters": {"width": n + 4}}
            for n in range(MODELS)
        ],
        "losses": [
            {"name": "focal", "alias": f"focal-{n}", "parameters": {"gamma": n / 10}}
            for n in range(LOSSES)
        ],
        "repeats": max(1, num_trials // (DATASETS * MODELS * LOSSES)),
        "results": str(folder / "results"),
    }
    path = folder / "size.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return build_grid(load_config(path))


def result_of(number: int, num_epochs: int, num_images: int) -> TrialResult:
    """Returns numbers that differ from trial to trial."""
    epochs = tuple(
        EpochRecord(epoch=n + 1, train_loss=1 / (n + number % 97 + 1), val_dice=n / num_epochs,
                    val_iou=n / num_epochs / 2, seconds=1.5)
        for n in range(num_epochs)
    )  # fmt: skip
    images = tuple(
        ImageCounts(image=f"image-{n:05}.png", tp=number * 7 % 4001, fp=number * n % 997, fn=n,
                    tn=50_000)
        for n in range(num_images)
    )  # fmt: skip
    result = make_result(number % 100, num_images=num_images)
    counts = np.array([(item.tp, item.fp, item.fn, item.tn) for item in images])
    return replace(
        result, num_epochs=num_epochs, epochs=epochs, images=images, predictions=(),
        best_epoch=num_epochs, best_val_dice=epochs[-1].val_dice, metrics=score_images(counts),
    )  # fmt: skip


def write_some(
    root: Path, trials: Sequence[TrialSpec], first: int, num_epochs: int, num_images: int
) -> None:
    """Writes the parts of some trials, without the syncs of a commit."""
    for number, spec in enumerate(trials, first):
        result = result_of(number, num_epochs, num_images)
        rows = detail_rows(spec, result)
        rows["trials"] = [trial_row(spec, result, attempt=1, committed_at=NOW)]
        for name, found in rows.items():
            if found:
                path = root / part_path(TABLES[name], trial_id(spec))
                path.write_bytes(encode_part(TABLES[name], found))


def write(root: Path, grid: Grid, num_epochs: int, num_images: int) -> None:
    """Writes all parts and their grid."""
    for name in ("trials", "epochs", "images"):
        (root / name).mkdir(parents=True)
    bounds = [len(grid.trials) * n // NUM_WRITERS for n in range(NUM_WRITERS + 1)]
    jobs = [
        multiprocessing.Process(
            target=write_some, args=(root, grid.trials[a:b], a, num_epochs, num_images)
        )
        for a, b in pairwise(bounds)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    Store(root).save_grid(grid.document(NOW))


def plan_all(root: Path) -> int:
    """Plans as `podium status` and a resumed run do before a trial starts."""
    return len(open_results(str(root)).plan.pending)


def verify_all(root: Path) -> int:
    """Checks every file."""
    return len(Store(root).verify(datetime.now(UTC)).problems)


STEPS: dict[str, Callable[[Path], object]] = {
    "committed": lambda root: len(Store(root).committed()),
    "pandas trials": lambda root: len(pd.read_parquet(root / "trials")),
    "plan": plan_all,
    "verify": verify_all,
    "compact": lambda root: str(Store(root).compact(datetime.now(UTC)).tables[2].num_rows),
    "pandas images": lambda root: len(pd.read_parquet(root / "images")),
}


def step(name: str, root: Path) -> None:
    """Runs one step in this process and prints its times and memory."""
    began, cpu_before = time.perf_counter(), time.process_time()
    answer = STEPS[name](root)
    seconds = time.perf_counter() - began
    cpu_seconds = time.process_time() - cpu_before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu_seconds, 2)}
    print(json.dumps({**found, "peak_mib": round(peak), "answer": answer}))


def measure(name: str, root: Path, state: str) -> dict[str, Any]:
    """Runs one step in a separate process."""
    command = [sys.executable, __file__, "--step", name, "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines() or [json.dumps({"error": done.stderr[-500:]})]
    found: dict[str, Any] = {"step": name, "files": state, **json.loads(lines[-1])}
    print(found, flush=True)
    return found


def main() -> None:
    """Runs all steps on parts and on compacted files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--step")
    parser.add_argument("--only", default=",".join(STEPS))
    options = parse(parser, smallest={"trials": 2000, "epochs": 1, "images": 1})
    if options.step:
        step(options.step, options.root)
        return
    wanted = options.only.split(",")
    with tempfile.TemporaryDirectory(prefix="podium-size-") as scratch:
        root = options.root or Path(scratch) / "results"
        if not root.exists():
            began = time.perf_counter()
            write(root, make_grid(Path(scratch), options.trials), options.epochs, options.images)
            print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
        parts = [
            n for n in ("committed", "plan", "verify", "pandas trials", "compact") if n in wanted
        ]
        found = [measure(name, root, "parts") for name in parts]
        found += [measure(name, root, "compacted") for name in STEPS if name in wanted]
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(any("error" in one for one in found))


if __name__ == "__main__":
    main()
