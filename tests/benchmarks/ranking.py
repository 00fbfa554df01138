"""`podium rank` with its certainty on a million trials, compared with pandas on the same file.

    python tests/benchmarks/ranking.py --rows 1000000 --draws 2000 --json ranking.json

Each line is a separate process and includes its start and the reading of the file. Pandas computes
only the two podiums. The published grid has 3,600 trials.
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

LARGE, PUBLISHED = (20, 50, 20), (6, 12, 10)
"""Datasets, models and losses."""
PUBLISHED_ROWS = 3600
LIMIT_SECONDS, PUBLISHED_LIMIT_SECONDS, LIMIT_BYTES = 10.0, 2.0, 2 * 2**30

PANDAS = """
import sys
import pandas as pd
table = pd.read_parquet(sys.argv[1])
for axis, other in (("dataset", "model"), ("model", "dataset")):
    cells = table.groupby([axis, other, "loss"])["dice"].mean()
    means = cells.groupby([axis, "loss"]).mean().unstack()
    print((4 - means.rank(axis=1, ascending=False)).clip(lower=0).sum().nlargest(3).to_dict())
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One process, from its start to its end."""

    what: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def make_table(num_rows: int, sizes: tuple[int, int, int], path: Path) -> pd.DataFrame:
    """Writes a full grid of about `num_rows` rows, and returns it."""
    num_datasets, num_models, num_losses = sizes
    num_repeats = max(1, num_rows // (num_datasets * num_models * num_losses))
    shape = (*sizes, num_repeats)
    random = np.random.default_rng(0)
    dice = (
        0.75
        + 0.05 * random.standard_normal((num_datasets, 1, 1, 1))
        + 0.04 * random.standard_normal((1, num_models, 1, 1))
        + 0.002 * random.standard_normal((1, 1, num_losses, 1))
        + 0.010 * random.standard_normal((num_datasets, num_models, 1, num_repeats))
        + 0.010 * random.standard_normal(shape)
    ).clip(0, 1)
    index = np.indices(shape).reshape(4, -1)
    table = pd.DataFrame({"repeat": index[3], "dice": dice.ravel()})
    for axis, name in enumerate(("dataset", "model", "loss")):
        labels = np.array([f"{name}-{number:02}" for number in range(shape[axis])])
        table[name] = labels[index[axis]]
    table.to_parquet(path, index=False)
    return table


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


def benchmark(num_rows: int, num_draws: int) -> dict[str, object]:
    """Measures and prints; returns the figures."""
    podium = str(Path(sys.executable).parent / "podium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full, missing, diverged, published = (
            folder / f"{what}.parquet" for what in ("full", "missing", "diverged", "published")
        )
        table = make_table(num_rows, LARGE, full)
        table.drop(index=table.index[::1000]).to_parquet(missing, index=False)
        status = np.where(np.arange(len(table)) % 100, "completed", "diverged")
        table.assign(status=status).to_parquet(diverged, index=False)
        make_table(PUBLISHED_ROWS, PUBLISHED, published)
        draws = ["--draws", str(num_draws)]
        runs = [
            measure("podium rank", [podium, "rank", str(full), *draws], folder),
            measure("podium rank, missing trials", [podium, "rank", str(missing), *draws], folder),
            measure("podium rank, 1 % diverged", [podium, "rank", str(diverged), *draws], folder),
            measure("podium rank, no draws", [podium, "rank", str(full), "--draws", "0"], folder),
            measure("pandas, podiums alone", [sys.executable, "-c", PANDAS, str(full)], folder),
            measure("podium rank, published grid", [podium, "rank", str(published)], folder),
        ]
    print(f"{num_rows:,} rows, {num_draws:,} draws, {os.cpu_count()} CPUs")
    print(f"{'':28} {'wall':>8} {'CPU':>8} {'peak':>9}")
    for run in runs:
        peak = run.peak_bytes / 2**20
        print(f"{run.what:28} {run.wall_seconds:6.1f} s {run.cpu_seconds:6.1f} s {peak:5.0f} MiB")
    return {
        "num_rows": num_rows,
        "num_draws": num_draws,
        "num_cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "runs": [
            {key: value for key, value in asdict(run).items() if key != "output"} for run in runs
        ],
        "within_limits": runs[-1].wall_seconds < PUBLISHED_LIMIT_SECONDS
        and all(
            run.wall_seconds < LIMIT_SECONDS and run.peak_bytes < LIMIT_BYTES for run in runs[:4]
        ),
    }


def main() -> None:
    """Runs the benchmark; exit code 1 if it exceeds a limit of time or memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parse(parser, smallest={"rows": 20_000, "draws": 100})
    figures = benchmark(arguments.rows, arguments.draws)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if figures["within_limits"] or arguments.smallest else 1)


if __name__ == "__main__":
    main()
