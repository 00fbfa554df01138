"""`podium plan` of a grid of a million trials without results: processor time and memory.

    python tests/benchmarks/plan.py --trials 1000000 --json plan.json

Each line is a separate process and includes its start.
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

import yaml

from tests.benchmarks.machine import parse

NUM_DATASETS, NUM_MODELS, NUM_LOSSES = 20, 50, 20
LIMIT_CPU_SECONDS, LIMIT_BYTES = 30.0, 600 * 10**6


@dataclass(frozen=True, kw_only=True)
class Run:
    """One process, from its start to its end."""

    what: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def write_config(folder: Path, num_trials: int) -> tuple[Path, int]:
    """Writes a grid of about `num_trials` trials; returns its file and the exact number."""
    repeats = max(1, num_trials // (NUM_DATASETS * NUM_MODELS * NUM_LOSSES))
    document = {
        "datasets": [
            {"name": "synthetic-skin", "alias": f"skin-{n}", "parameters": {"seed": n}}
            for n in range(NUM_DATASETS)
        ],
        "models": [
            {"name": "unet", "alias": f"unet-{n}", "parameters": {"width": n}}
            for n in range(1, NUM_MODELS + 1)
        ],
        "losses": [
            {"name": "focal", "alias": f"focal-{n}", "parameters": {"gamma": n / 4}}
            for n in range(NUM_LOSSES)
        ],
        "repeats": repeats,
        "data": {"image_size": 32, "cache": str(folder / "cache")},
        "results": str(folder / "results"),
    }
    path = folder / "million.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path, repeats * NUM_DATASETS * NUM_MODELS * NUM_LOSSES


def measure(what: str, command: list[str], folder: Path) -> Run:
    """Runs a command and returns its times and memory."""
    out = folder / "output.txt"
    began = time.perf_counter()
    with out.open("wb") as file:
        process = os.posix_spawn(
            command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, file.fileno(), 1)]
        )
        _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit(f"{what} failed with status {status}:\n{out.read_text(encoding='utf-8')[-2000:]}")
    return Run(
        what=what,
        wall_seconds=wall,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )


def benchmark(num_trials: int) -> dict[str, object]:
    """Measures and prints; returns the figures."""
    podium = str(Path(sys.executable).parent / "podium")
    with tempfile.TemporaryDirectory() as name:
        config, number = write_config(Path(name), num_trials)
        runs = [
            measure("podium plan", [podium, "plan", str(config)], Path(name)),
            measure("podium plan --json", [podium, "plan", str(config), "--json"], Path(name)),
        ]
    print(f"{number:,} trials, {os.cpu_count()} CPUs")
    print(f"{'':20} {'wall':>8} {'CPU':>8} {'peak':>8}")
    for run in runs:
        peak = run.peak_bytes / 1e6
        print(f"{run.what:20} {run.wall_seconds:6.1f} s {run.cpu_seconds:6.1f} s {peak:5.0f} MB")
    return {
        "num_trials": number,
        "num_cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "runs": [asdict(run) for run in runs],
        "within_limits": all(
            run.cpu_seconds < LIMIT_CPU_SECONDS and run.peak_bytes < LIMIT_BYTES for run in runs
        ),
    }


def main() -> None:
    """Runs the benchmark; exit code 1 if it exceeds a limit of time or memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parse(parser, smallest={"trials": 20_000})
    figures = benchmark(arguments.trials)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if figures["within_limits"] or arguments.smallest else 1)


if __name__ == "__main__":
    main()
