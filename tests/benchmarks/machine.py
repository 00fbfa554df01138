"""Common to all benchmarks: the command line, and the description of the machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any


def parse(
    parser: argparse.ArgumentParser,
    *,
    arguments: Sequence[str] | None = None,
    smallest: Mapping[str, Any],
) -> argparse.Namespace:
    """Parses the command line; with `--smallest` the defaults are as small as possible.

    Args:
        parser: With all other options.
        arguments: The command line; by default the arguments of the process.
        smallest: Defaults that measure nothing but show within seconds that the command works.
    """
    parser.add_argument(
        "--smallest", action="store_true", help="measure nothing; show that the command works"
    )
    if parser.parse_known_args(arguments)[0].smallest:
        parser.set_defaults(**smallest)
    return parser.parse_args(arguments)


def describe(*packages: str) -> dict[str, str | int]:
    """Returns processor, cores, Python and the versions of the packages that were measured."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def in_one_line(machine: dict[str, str | int]) -> str:
    """Returns the description of a machine as text."""
    return ", ".join(f"{key} {value}" for key, value in machine.items())


def print_table(rows: list[dict[str, Any]]) -> None:
    """Prints rows of the same keys, numbers to four digits."""
    texts = [[_text(value) for value in row.values()] for row in rows]
    heads = list(rows[0])
    widths = [max(len(row[i]) for row in [heads, *texts]) for i in range(len(heads))]
    for row in [heads, *texts]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def save(path: Path | None, figures: dict[str, Any]) -> None:
    """Writes the figures as JSON if a path is given."""
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
