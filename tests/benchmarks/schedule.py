"""The order of trials and the predicted time left, simulated on the published grid.

    python tests/benchmarks/schedule.py --figure docs/images/eta.png --json schedule.json

Expected seconds are those of `podium plan configs/paper.yaml` on the CPU, from the shipped table of
measured steps. The true seconds of each trial are drawn: the table has a random factor for each
cell (log-normal, --error), and a trial stops early (40 epochs plus a gamma-distributed number, 90
on average, at most 200). The lower bound is the larger of two times: all seconds divided by the
slots, and the longest trial. Tune's default order is the order of the grid. The time left is
predicted whenever a trial ends.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.config import load_config
from orchestrator.plan.cost import makespan_seconds
from orchestrator.plan.grid import build_grid
from orchestrator.plan.planner import Plan, plan
from orchestrator.progress import SweepStarted, Tally, TrialFinished, TrialStarted
from orchestrator.progress.base import Forecast
from tests.benchmarks.machine import describe, in_one_line, parse, print_table, save

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "paper.yaml"
SLOTS, DRAWN_SLOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256), (1, 8, 64, 128, 256)
EARLY = 0.05
Points = list[tuple[float, float]]


def draw_seconds(planned: Plan, error: float, seed: int) -> dict[str, float]:
    """Returns the true seconds of each trial."""
    draw = random.Random(seed)
    factors: dict[tuple[str, str], float] = {}
    seconds = {}
    for trial in planned.trials:
        block = (trial.spec.dataset.label, trial.spec.model.label)
        if block not in factors:
            factors[block] = math.exp(draw.gauss(0, error))
        most = trial.spec.training.max_epochs
        epochs = min(most, trial.spec.training.patience + draw.gammavariate(3, 30))
        seconds[trial.trial_id] = trial.expected_seconds * factors[block] * epochs / most
    return seconds


def predict(
    order: Sequence[str], actual: Mapping[str, float], slots: int, forecast: Forecast | None
) -> Points:
    """Returns the error of the prediction at the end of each trial.

    Each point has the elapsed fraction of the wall time, and the predicted wall time of the whole
    sweep divided by the true wall time, minus 1.
    """
    now = 0.0
    tally = Tally(clock=lambda: now, forecast=forecast)
    tally.on(SweepStarted(len(order), len(order), 0))
    waiting, running = iter(order), list[tuple[float, str]]()
    predicted = []
    for trial in [next(waiting) for _ in range(min(slots, len(order)))]:
        tally.on(TrialStarted(trial, trial))
        heapq.heappush(running, (actual[trial], trial))
    while running:
        now, ended = heapq.heappop(running)
        tally.on(TrialFinished(ended, "completed", None, 0))
        following = next(waiting, None)
        if following is not None:
            tally.on(TrialStarted(following, following))
            heapq.heappush(running, (now + actual[following], following))
        predicted.append((now, now + (tally.eta_seconds or 0.0)))
    return [(at / now, value / now - 1) for at, value in predicted]


def measure(
    planned: Plan, actual: Mapping[str, float], slots: int
) -> tuple[dict[str, Any], Points]:
    """Returns one row of the table, and the curve of the forecast."""
    longest_first = [trial.trial_id for trial in planned.pending]
    plain = [trial.trial_id for trial in planned.trials]
    bound = max(sum(actual.values()) / slots, max(actual.values()))
    ours, tune = (
        makespan_seconds([actual[key] for key in order], slots) for order in (longest_first, plain)
    )
    expected = {trial.trial_id: trial.expected_seconds for trial in planned.pending}
    curve = predict(longest_first, actual, slots, Forecast(expected))
    counted = predict(longest_first, actual, slots, None)
    early = int(EARLY * len(curve))
    row = {
        "slots": slots,
        "bound, days": bound / 86_400,
        "longest first over bound, %": 100 * (ours / bound - 1),
        "Tune's order over bound, %": 100 * (tune / bound - 1),
        "error of time left at 5 %, %": 100 * curve[early][1],
        "largest error after, %": 100 * max(abs(error) for _, error in curve[early:]),
        "error by count at 5 %, %": 100 * counted[early][1],
    }
    return row, curve


def draw_figure(curves: Mapping[int, Points], path: Path) -> None:
    """Draws the error of the predicted wall time over the fraction of ended trials."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), dpi=100, layout="constrained")
    axes.axhspan(-10, 10, color="0.92")
    for slots, curve in curves.items():
        shares = [100 * (i + 1) / len(curve) for i in range(len(curve))]
        label = f"{slots} slot" + "s" * (slots > 1)
        axes.plot(shares, [100 * error for _, error in curve], linewidth=1.2, label=label)
    axes.axvline(100 * EARLY, color="0.4", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="trials that ended, %", ylabel="error of predicted wall time, %",
        ylim=(-25, 25), xlim=(0, 100),
    )  # fmt: skip
    axes.legend(frameon=False, ncols=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Simulates and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--error", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slots", type=int, nargs="+", default=SLOTS)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parse(parser, smallest={"slots": [64, 128]})
    grid = build_grid(load_config(CONFIG, ["resources={cpus: 2, gpus: 0}"]))
    planned = plan(grid, {})
    actual = draw_seconds(planned, arguments.error, arguments.seed)
    print(f"{len(actual)} trials; {in_one_line(describe())}")
    measured = {slots: measure(planned, actual, slots) for slots in arguments.slots}
    rows = [row for row, _ in measured.values()]
    print_table(rows)
    if arguments.figure:
        shown = {slots: measured[slots][1] for slots in DRAWN_SLOTS if slots in measured}
        draw_figure(shown, arguments.figure)
    save(arguments.json, {"machine": describe(), "error": arguments.error, "slots": rows})


if __name__ == "__main__":
    main()
