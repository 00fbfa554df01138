"""Simulates races: how often they find the podium of the full grid, with how many trials.

    python tests/benchmarks/race.py --draws 1000 --seed 0 --keep race.jsonl
    python tests/benchmarks/race.py --draws 0 --keep race.jsonl

The second command summarises the kept draws, after any number of runs with other seeds.

Each draw is a full grid of 6 x 12 x 10 x 5 trials: the published margins (differences between
losses, times `--margins`), a split common to all losses, and the noise of a single training. The
overall podium (three losses by points of datasets and models together) of the full grid is compared
with the podium of the race, of fixed fewer repeats, and of successive halving of the losses (10
with 1 repeat, the best 5 with 3, the best 3 with 5). A draw is stable when at least `--stable` of
400 other full grids, drawn around its own means with its own noise, have the same three losses.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from orchestrator.ranking.racing import RaceRules, podiums, race
from tests.benchmarks.machine import parse
from tests.published import margins

REPEATS = 5
SPLIT_NOISE = 0.02


def truth(scale: float) -> np.ndarray:
    """Returns mean Dice (datasets, models, losses) with the published margins, scaled."""
    by_dataset, by_model = margins("dataset"), margins("model")
    means = by_dataset[:, None] + by_model[None] - by_dataset.mean(axis=0)
    centre = means.mean(axis=2, keepdims=True)
    return np.asarray(centre + scale * (means - centre))


def podium(values_DMLR: np.ndarray) -> frozenset[int]:
    """Returns the podium of these trials; every loss has the same repeats."""
    return frozenset(podiums(values_DMLR.mean(axis=3)[None])[0].tolist())


def stability(full_DMLR: np.ndarray, random: np.random.Generator, num: int = 400) -> float:
    """Returns the fraction of similar full grids with the same podium."""
    means_DML = full_DMLR.mean(axis=3)
    rest = full_DMLR - means_DML[..., None]
    rest = rest - rest.mean(axis=2, keepdims=True)
    num_losses = full_DMLR.shape[2]
    freedom = full_DMLR[:, :, 0, 0].size * (num_losses - 1) * (REPEATS - 1)
    spread = np.sqrt((rest**2).sum() / freedom / REPEATS)
    others = means_DML + spread * random.standard_normal((num, *means_DML.shape))
    mine = np.sort(podiums(means_DML[None]), axis=1)
    return float((np.sort(podiums(others), axis=1) == mine).all(axis=1).mean())


def halving(full_DMLR: np.ndarray) -> tuple[frozenset[int], float]:
    """Returns the podium of successive halving, and its fraction of trials."""
    kept, spent = np.arange(full_DMLR.shape[2]), 0
    before = 0
    for size, repeats in ((5, 1), (3, 3), (3, REPEATS)):
        spent += len(kept) * (repeats - before)
        before = repeats
        means = full_DMLR[:, :, kept, :repeats].mean(axis=3)
        blocks = (means.mean(axis=1), means.mean(axis=0))
        better = [(part[:, None, :] > part[:, :, None]).sum(axis=2) for part in blocks]
        points = sum(np.maximum(3 - part, 0).sum(axis=0) for part in better)
        order = np.lexsort((-means.mean(axis=(0, 1)), -points))
        kept = kept[order[:size]]
    return frozenset(int(loss) for loss in kept), spent / (full_DMLR.shape[2] * REPEATS)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What the noise of a single training is like.

    Attributes:
        shared: Fraction of its variance that all models of a dataset, loss and repeat share.
        rates: Draws the rate of divergence of each model and loss.
        shape: Draws standard noise of a shape; by default normal.
    """

    shared: float = 0.0
    rates: Callable[[np.random.Generator, tuple[int, int]], np.ndarray] | None = None
    shape: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray] | None = None


def _uneven_rates(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return np.where(random.random(shape) < 0.2, 0.15, 0.002)


def _own_spreads(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    spread = np.exp(0.8 * random.standard_normal(shape[:3]) - 0.64)
    return np.asarray(spread[..., None] * random.standard_normal(shape))


def _heavy_tails(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(random.standard_t(2.5, shape) / np.sqrt(5))


SCENARIOS = {
    "independent": Scenario(),
    "a quarter shared": Scenario(shared=0.25),
    "half shared": Scenario(shared=0.5),
    "1 % diverge": Scenario(rates=lambda _, shape: np.full(shape, 0.01)),
    "uneven divergence": Scenario(rates=_uneven_rates),
    "own spreads": Scenario(shape=_own_spreads),
    "heavy tails": Scenario(shape=_heavy_tails),
}


def one_draw(
    means_DML: np.ndarray,
    noise: float,
    scenario: Scenario,
    random: np.random.Generator,
    rules: dict[str, RaceRules],
) -> dict[str, Any]:
    """Returns the stability of one full grid, and the result of each way."""
    shape = (*means_DML.shape, REPEATS)
    split = SPLIT_NOISE * random.standard_normal((*shape[:2], 1, REPEATS))
    draw = scenario.shape or (lambda random, shape: random.standard_normal(shape))
    common = random.standard_normal((shape[0], 1, *shape[2:]))
    rest = np.sqrt(scenario.shared) * common + np.sqrt(1 - scenario.shared) * draw(random, shape)
    full = means_DML[..., None] + split + noise * rest
    there = np.ones(shape, dtype=bool)
    if scenario.rates:
        rates_ML = scenario.rates(random, (shape[1], shape[2]))
        there = random.random(shape) >= rates_ML[..., None]
        full = np.where(there, full, 0.0)
    mine = podium(full)
    ways: dict[str, tuple[bool, float]] = {}
    certainties: dict[str, float | None] = {}
    never = np.zeros(shape, dtype=bool)
    run = None
    for name, rule in rules.items():
        if run is None or run.asked_DMLR.mean() > rule.budget:  # otherwise the race is the same
            run = race(full, there, never, rule)
        assert run.judgement is not None
        agrees = frozenset(run.judgement.podium) == mine
        ways[name] = (agrees, float(run.asked_DMLR.mean()))
        certainties[name] = run.judgement.certainty
    for repeats in (1, 2, 3):
        ways[f"{repeats} repeats"] = (podium(full[..., :repeats]) == mine, repeats / REPEATS)
    halved, spent = halving(full)
    ways["halving"] = (halved == mine, spent)
    return {"stability": stability(full, random), "ways": ways, "certainty": certainties}


def summarise(draws: list[dict[str, Any]], stable: float) -> str:
    """Returns agreement and fraction of trials of each way, for all draws and stable draws."""
    ways = list(draws[0]["ways"])
    heads = ("scenario", "noise", "margins", "draws", "said")
    lines = [f"| {' | '.join((*heads, *ways))} |", f"|{' --- |' * (len(ways) + len(heads))}"]
    keys = ("scenario", "noise", "margins")
    for values in dict.fromkeys(tuple(one[key] for key in keys) for one in draws):
        here = [one for one in draws if tuple(one[key] for key in keys) == values]
        scenario, noise, scale = values
        sure = [one for one in here if one["stability"] >= stable]
        for kind, some in (("all", here), ("stable", sure)):
            if some:
                cells = [_cell([one["ways"][way] for one in some]) for way in ways]
                said = np.mean([one["certainty"]["race"] for one in some])
                size = f"{len(some):,} {kind}"
                head = (scenario, f"{noise:g}", f"x {scale:g}", size, f"{said:.3f}")
                lines.append(f"| {' | '.join((*head, *cells))} |")
    return "\n".join(lines)


def _cell(pairs: list[tuple[bool, float]]) -> str:
    agreement, spent = np.array(pairs, dtype=float).mean(axis=0)
    return f"{agreement:.0%} ({spent:.0%})"


def main() -> None:
    """Draws, appends the draws to the file, and prints the table of the whole file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100, help="draws for each noise and margins")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.005, 0.01, 0.02])
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, default=["independent"])
    parser.add_argument("--margins", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--level", type=float, default=0.95)
    parser.add_argument("--stable", type=float, default=0.9)
    parser.add_argument("--samples", type=int, default=300, help="draws for each decision")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, required=True, help="file to which draws are added")
    options = parse(parser, smallest={"draws": 1, "noise": [0.01], "margins": [4.0], "samples": 20})
    rules = {
        "race": RaceRules(level=options.level, num_draws=options.samples),
        "race, half the budget": RaceRules(
            level=options.level, budget=0.5, num_draws=options.samples
        ),
    }
    random = np.random.default_rng(options.seed)
    for _ in range(options.draws):
        for name, noise, scale in product(options.scenario, options.noise, options.margins):
            found = one_draw(truth(scale), noise, SCENARIOS[name], random, rules)
            line = {"scenario": name, "noise": noise, "margins": scale, "seed": options.seed}
            line |= found
            with options.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    lines = options.keep.read_text(encoding="utf-8").splitlines()
    print(summarise([json.loads(line) for line in lines], options.stable))


if __name__ == "__main__":
    main()
