"""Every loss on random masks, and the time of a step compared with BCE.

    python tests/benchmarks/losses.py --masks 10000

A value or gradient that is NaN or infinite ends the program with an error that names the batch.
Maps of the truth are computed before the measured step, as in a trial.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from tests.benchmarks.machine import describe, in_one_line, parse, print_table
from workers.catalogue.losses import LOSSES
from workers.losses import build_loss
from workers.losses.checks import fuzz, loss_of, seconds_per_step


def main(arguments: Sequence[str] | None = None) -> None:
    """Tries and measures every loss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=10_000, help="random masks per loss")
    parser.add_argument("--side", type=int, default=224, help="side of the measured images, pixels")
    parser.add_argument(
        "--runs", type=int, default=5, help="measured steps, of which the best counts"
    )
    options = parse(parser, arguments=arguments, smallest={"masks": 16, "side": 32, "runs": 1})
    torch.set_num_threads(1)
    size = (options.side, options.side)
    bce = seconds_per_step(build_loss("bce"), size, options.runs)
    rows = []
    for name, entry in LOSSES.items():
        fuzz(entry, options.masks)
        seconds = seconds_per_step(loss_of(entry), size, options.runs)
        rows.append({"loss": name, "ms per step": 1000 * seconds, "times bce": seconds / bce})
    print_table(rows)
    print(f"No NaN in {options.masks:,} random masks per loss. 4 x {size[0]} x {size[1]} pixels.")
    print(in_one_line(describe("torch")))


if __name__ == "__main__":
    main()
