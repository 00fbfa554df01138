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


def one_draw(
    means_DML: np.ndarray, noise: float, random: np.random.Generator, rules: dict[str, RaceRules]
) -> dict[str, Any]:
    """Returns the stability of one full grid, and the result of each way."""
    shape = (*means_DML.shape, REPEATS)
    split = SPLIT_NOISE * random.standard_normal((*shape[:2], 1, REPEATS))
    full = means_DML[..., None] + split + noise * random.standard_normal(shape)
    mine = podium(full)
    ways: dict[str, tuple[bool, float]] = {}
    certainties: dict[str, float | None] = {}
    there, never = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
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
    lines = [f"| {' | '.join(('noise', 'margins', 'draws', *ways))} |"]
    lines += [f"|{' --- |' * (len(ways) + 3)}"]
    for noise, scale in sorted({(one["noise"], one["margins"]) for one in draws}):
        here = [one for one in draws if (one["noise"], one["margins"]) == (noise, scale)]
        sure = [one for one in here if one["stability"] >= stable]
        for kind, some in (("all", here), ("stable", sure)):
            if some:
                cells = [_cell([one["ways"][way] for one in some]) for way in ways]
                head = (f"{noise:g}", f"x {scale:g}", f"{len(some):,} {kind}")
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
        for noise, scale in product(options.noise, options.margins):
            found = one_draw(truth(scale), noise, random, rules)
            line = {"noise": noise, "margins": scale, "seed": options.seed} | found
            with options.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    lines = options.keep.read_text(encoding="utf-8").splitlines()
    print(summarise([json.loads(line) for line in lines], options.stable))


if __name__ == "__main__":
    main()
