"""Measurements on a GPU within a time limit, one line per measurement.

    python tests/benchmarks/gpu.py --json docs/gpu/DEVICE.json --budget 300    # on a GPU
    python tests/benchmarks/gpu.py --smallest                                  # on any CPU

Every measurement runs in a separate process, forked from a server that has imported torch but never
used the device. So an error of the device, a hang or exhausted memory ends only one measurement.
Lines are written at once to a file `.jsonl` beside the JSON file. A measurement that does not fit
in the budget is a line too. No setting of the card is changed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.gpu_phases import SWITCHES, Settings, run_phase
from tests.benchmarks.machine import parse, print_table
from workers.catalogue.models import MODELS

Line = dict[str, Any]


def run_alone(
    phase: str, name: str, settings: Settings, lines: Path, seconds: float
) -> Line | None:
    """Runs one measurement in a separate process.

    Returns:
        The line with the reason if there is no result; None if the process wrote its lines.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.benchmarks.gpu_phases"])
    process = context.Process(target=run_phase, args=(phase, name, settings, str(lines)))
    process.start()
    process.join(seconds)
    what = f"{phase} {name}".strip()
    if process.is_alive():
        process.kill()
        process.join()
        return {"kind": "error", "what": what, "error": f"took more than {seconds:.0f} s"}
    if process.exitcode:
        return {"kind": "error", "what": what, "error": f"exit code {process.exitcode}"}
    return None


def measure(
    work: Sequence[tuple[str, str, float]],
    settings: Settings,
    lines: Path,
    budget_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[Line]:
    """Runs all measurements that fit in the budget, in their order.

    Args:
        work: Phase, name and limit in seconds of each measurement.
        settings: Sizes and device.
        lines: The file to which each line is added at once.
        budget_seconds: Wall time for all measurements.
        clock: Monotonic seconds.

    Returns:
        Every line, including errors and measurements that did not fit.
    """
    end = clock() + budget_seconds
    lines.parent.mkdir(parents=True, exist_ok=True)
    lines.write_text("", encoding="utf-8")
    for phase, name, limit in work:
        left = end - clock()
        problem: Line | None = {"kind": "left out", "what": f"{phase} {name}".strip()}
        if left > min(5.0, limit):
            problem = run_alone(phase, name, settings, lines, min(limit, left))
        if problem:
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(problem) + "\n")
        print(f"{phase} {name}: {'done' if problem is None else problem}", flush=True)
    return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]


def summary(lines: Sequence[Line], models: Sequence[str]) -> list[Line]:
    """Returns a row per model: bits, host waits, and speed relative to the first setting."""
    rows = []
    for name in models:
        bits = next((x for x in lines if x["kind"] == "bits" and x["model"] == name), {})
        steps = {
            x["switches"]: x["step_ms"]
            for x in lines
            if x["kind"] == "speed" and x["model"] == name
        }
        exact = steps.get("exact")
        rows.append(
            {
                "model": name,
                "same bits": bits.get("same_bits"),
                "resumed": bits.get("same_bits_resumed"),
                "host waits": len(bits.get("host_waits", ())),
                "exact, ms": exact,
                **{
                    key: exact / steps[key] if exact and key in steps else None
                    for key in SWITCHES
                    if key != "exact"
                },
            }
        )
    return rows


def main() -> None:
    """Measures, prints the table and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=[name for name in MODELS if name != "smp"])
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds per speed")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds for all measurements")
    parser.add_argument("--json", type=Path, help="default: a temporary folder")
    small = {"models": ["unet"], "side": 32, "batch_size": 2, "seconds": 0.01}
    arguments = parse(parser, smallest=small)
    if not arguments.smallest and not torch.cuda.is_available():
        parser.error("no GPU here; --smallest rehearses the benchmark on the CPU")
    settings = Settings(
        side=arguments.side,
        batch_size=arguments.batch_size,
        seconds=arguments.seconds,
        width=4 if arguments.smallest else None,
        use_gpu=torch.cuda.is_available() and not arguments.smallest,
    )
    target = arguments.json or Path(tempfile.mkdtemp()) / "gpu.json"
    work = [("machine", "", 40.0)]
    work += [("bits", name, 40.0) for name in arguments.models]
    work += [("speed", name, 60.0) for name in arguments.models]
    work += [("cap", arguments.models[0], 45.0), ("together", arguments.models[0], 90.0)]
    lines = measure(work, settings, target.with_suffix(".jsonl"), arguments.budget)
    machine = next((x for x in lines if x["kind"] == "machine"), {})
    target.write_text(
        json.dumps({"machine": machine, "lines": lines}, indent=1) + "\n", encoding="utf-8"
    )
    print(f"{machine.get('device')}, {arguments.side} px, batch {arguments.batch_size}: {target}")
    print_table(summary(lines, arguments.models))
    errors = [line for line in lines if line["kind"] == "error"]
    for line in errors:
        print(f"error: {line['what']}: {line['error']}")
    raise SystemExit(1 if errors else 0)


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The search for a GPU must not start CUDA before the server forks.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    main()
