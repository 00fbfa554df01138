"""Kills every process of a real cluster at many instants and counts the losses.

    python -m tests.chaos.long --rounds 40 --seed 1 --json chaos.json

Each round is a sweep of six trials on a cluster of a head and two nodes, one kill -9, the same
command again, and a comparison with an undisturbed run, bit for bit.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.clusters import Cluster, StartedCluster, UtilityCluster, kill_family
from tests.chaos.rounds import CHANGES, INSTANTS, TARGETS, Result, Round, environment, kinds
from tests.integration.sweeps import run, write_config


def play(
    rounds: int, seed: int, targets: Sequence[str], instants: Sequence[str], *, utility: bool
) -> Iterator[Result]:
    """Plays rounds of the requested kinds in turn."""
    chosen = [kind for kind in kinds() if kind[0] in targets and kind[1] in instants]
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        (folder / "undisturbed").mkdir()
        run(write_config(folder / "undisturbed", **CHANGES))
        cluster: Cluster = (UtilityCluster if utility else StartedCluster)(environment(folder))
        try:
            for number in range(rounds):
                target, instant = chosen[number % len(chosen)]
                this = Round(cluster, folder, target, instant, seed + number)
                yield this.play(folder / "undisturbed" / "results")
        finally:
            kill_children()
            cluster.close()


def kill_children() -> None:
    """Ends processes of an interrupted round."""
    for child in psutil.Process().children():
        kill_family(child.pid)


def summarise(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Returns one row per kind, and their sum."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.target, result.instant), []).append(result)
    rows = [(target, instant, group) for (target, instant), group in sorted(groups.items())]
    return [
        {
            "killed": target,
            "during": instant,
            "rounds": len(group),
            "lost": sum(result.lost for result in group),
            "duplicated": sum(result.duplicated for result in group),
            "retrained": sum(result.retrained for result in group),
            "problems": sum(len(result.problems) for result in group),
        }
        for target, instant, group in [*rows, ("all", "", list(results))]
    ]


def main() -> None:
    """Plays rounds and prints the rows; the exit code is 1 if a round failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the first round; printed with each round"
    )
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--instants", nargs="+", choices=list(INSTANTS), default=list(INSTANTS))
    parser.add_argument(
        "--utility", action="store_true", help="use ray.cluster_utils instead of ray start"
    )
    parser.add_argument(
        "--json", type=Path, help="add the rounds to this file, and print its summary"
    )
    arguments = parser.parse_args()
    results = []
    for result in play(
        arguments.rounds, arguments.seed, arguments.targets, arguments.instants,
        utility=arguments.utility,
    ):  # fmt: skip
        results.append(result)
        verdict = "ok" if result.good else "; ".join(result.problems) or "NOT GOOD"
        print(
            f"seed {result.seed:4} {result.target:7}{result.instant:11}{result.seconds:5.0f} s  "
            f"{result.at}: {verdict}",
            flush=True,
        )
        if arguments.json:
            with arguments.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
    good = all(result.good for result in results)
    if arguments.json:
        lines = arguments.json.read_text(encoding="utf-8").splitlines()
        results = [Result(**json.loads(line)) for line in lines]
    print_table(summarise(results))
    raise SystemExit(0 if good else 1)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows as Markdown."""
    print("| " + " | ".join(rows[0]) + " |")
    print("| " + " | ".join("---" for _ in rows[0]) + " |")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


if __name__ == "__main__":
    main()
