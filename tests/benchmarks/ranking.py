"""`podium rank` with its bootstrap on a million trials, compared with pandas on the same file.

    python tests/benchmarks/ranking.py --rows 1000000 --samples 2000 --json ranking.json

Each line is a separate process and includes its start and the reading of the file. Pandas computes
only the two podiums. Its bootstrap, a group-by for each sample, is timed on a few samples and
scaled up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.machine import parse

NUM_DATASETS, NUM_MODELS, NUM_LOSSES = 20, 50, 20
LIMIT_SECONDS, LIMIT_BYTES = 10.0, 2 * 2**30
PANDAS_SAMPLES = 3

PANDAS = """
import sys, time
from tests.benchmarks.machine import parse
import numpy as np, pandas as pd
table = pd.read_parquet(sys.argv[1])
def podiums(table):
    for axis, other in (("dataset", "model"), ("model", "dataset")):
        cells = table.groupby([axis, other, "loss"])["dice"].mean()
        means = cells.groupby([axis, "loss"]).mean().unstack()
        ranks = means.rank(axis=1, ascending=False)
        yield (4 - ranks).clip(lower=0).sum()
for points in podiums(table):
    print(points.nlargest(3).to_dict())
random, began = np.random.default_rng(0), time.perf_counter()
for _ in range(int(sys.argv[2])):
    drawn = random.integers(0, table["dataset"].nunique(), table["dataset"].nunique())
    names = np.sort(table["dataset"].unique())
    parts = [table[table["dataset"] == names[d]].assign(dataset=k) for k, d in enumerate(drawn)]
    list(podiums(pd.concat(parts)))
if int(sys.argv[2]):
    print((time.perf_counter() - began) / int(sys.argv[2]))
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One process, from its start to its end."""

    what: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def make_table(num_rows: int, folder: Path, *, holes: bool) -> Path:
    """Writes a full grid of about `num_rows` rows; with `holes`, every 1,000th row is missing."""
    num_repeats = max(1, num_rows // (NUM_DATASETS * NUM_MODELS * NUM_LOSSES))
    shape = (NUM_DATASETS, NUM_MODELS, NUM_LOSSES, num_repeats)
    random = np.random.default_rng(0)
    dice = (
        0.75
        + 0.05 * random.standard_normal((NUM_DATASETS, 1, 1, 1))
        + 0.04 * random.standard_normal((1, NUM_MODELS, 1, 1))
        + 0.002 * random.standard_normal((1, 1, NUM_LOSSES, 1))
        + 0.010 * random.standard_normal((NUM_DATASETS, NUM_MODELS, 1, num_repeats))
        + 0.010 * random.standard_normal(shape)
    ).clip(0, 1)
    index = np.indices(shape).reshape(4, -1)
    table = pd.DataFrame({"repeat": index[3], "dice": dice.ravel()})
    for axis, name in enumerate(("dataset", "model", "loss")):
        labels = np.array([f"{name}-{number:02}" for number in range(shape[axis])])
        table[name] = labels[index[axis]]
    if holes:
        table = table.drop(index=table.index[::1000])
    path = folder / ("holes.parquet" if holes else "full.parquet")
    table.to_parquet(path, index=False)
    return path


def measure(what: str, command: list[str], folder: Path) -> Run:
    """Runs a command and returns its times, memory and output."""
    out = folder / "output.txt"
    began = time.perf_counter()
    with out.open("wb") as file:
        process = os.posix_spawn(
            command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1)]
        )
        _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    text = out.read_text(encoding="utf-8")
    if status:
        sys.exit(f"{what} failed with status {status}:\n{text}")
    return Run(
        what=what,
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
        output=text,
    )


def benchmark(num_rows: int, num_samples: int) -> dict[str, object]:
    """Measures and prints; returns the figures."""
    podium = str(Path(sys.executable).parent / "podium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = make_table(num_rows, folder, holes=False)
        holes = make_table(num_rows, folder, holes=True)
        samples = ["--samples", str(num_samples)]
        runs = [
            measure("podium rank", [podium, "rank", str(full), *samples], folder),
            measure("podium rank, missing trials", [podium, "rank", str(holes), *samples], folder),
            measure(
                "podium rank, no bootstrap", [podium, "rank", str(full), "--samples", "0"], folder
            ),
            measure("pandas, no bootstrap", [sys.executable, "-c", PANDAS, str(full), "0"], folder),
        ]
        few = [sys.executable, "-c", PANDAS, str(full), str(PANDAS_SAMPLES)]
        a_sample = float(measure("pandas", few, folder).output.splitlines()[-1])
    print(f"{num_rows:,} rows, {num_samples:,} samples, {os.cpu_count()} CPUs")
    print(f"{'':28} {'wall':>8} {'CPU':>8} {'peak':>9}")
    for run in runs:
        peak = run.peak_bytes / 2**20
        print(f"{run.what:28} {run.wall_seconds:6.1f} s {run.cpu_seconds:6.1f} s {peak:5.0f} MiB")
    print(f"{'pandas, bootstrap (scaled)':28} {a_sample * num_samples:6.0f} s")
    return {
        "num_rows": num_rows,
        "num_samples": num_samples,
        "num_cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "runs": [
            {key: value for key, value in asdict(run).items() if key != "output"} for run in runs
        ],
        "pandas_bootstrap_seconds": a_sample * num_samples,
        "within_limits": all(
            run.wall_seconds < LIMIT_SECONDS and run.peak_bytes < LIMIT_BYTES for run in runs[:3]
        ),
    }


def main() -> None:
    """Runs the benchmark; exit code 1 if it exceeds a limit of time or memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parse(parser, smallest={"rows": 20_000, "samples": 100})
    figures = benchmark(arguments.rows, arguments.samples)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if figures["within_limits"] or arguments.smallest else 1)


if __name__ == "__main__":
    main()
