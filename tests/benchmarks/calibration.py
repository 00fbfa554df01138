"""Simulates sweeps with known truth: does the certainty of Podium mean what it says?

    python tests/benchmarks/calibration.py --parts intervals images --keep calibration.jsonl
    python tests/benchmarks/calibration.py --parts chances null old --keep calibration.jsonl
    python tests/benchmarks/calibration.py --sweeps 0 --keep calibration.jsonl

A design that is in the file is not simulated again. The last command summarises the kept designs.
Every number comes from `certainty`, as `podium rank` prints it, except for the part `old`: the
percentile bootstrap of datasets, models and repeats, and Friedman's test over dataset x model
blocks, which `certainty` replaced. `tests/simulated.py` has the worlds. Each standard error is that
of the simulation.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import friedmanchisquare

sys.path.insert(0, str(Path(__file__).parents[2]))

from orchestrator.ranking.certainty import certainty
from orchestrator.ranking.choices import Estimand
from orchestrator.ranking.images import ImageScores
from orchestrator.ranking.scores import Scores, mean_over
from tests.benchmarks.calibration_measures import (
    Intervals,
    Row,
    Said,
    mean_and_error,
    podium_points,
    steps,
    tables,
)
from tests.benchmarks.machine import describe, in_one_line, parse
from tests.simulated import (
    WORLDS,
    Sweep,
    World,
    draw_images,
    draw_sweep,
    scores_of_values,
    true_means,
)

Shape = tuple[int, int, int, int]
"""Datasets, models, losses, repeats."""

MIXED = ("noise", "small", "published", "large", "dataset", "model", "split")
USUAL = ("published", "large")
DESIGNS: tuple[tuple[Estimand, tuple[Shape, ...], Sequence[str]], ...] = (
    ("other", ((6, 12, 10, 5),), tuple(WORLDS)),
    ("other", ((3, 4, 3, 5),), ("large", "heavy", "wild", "diverging", "missing", "families")),
    ("other", ((2, 2, 3, 5), (2, 2, 10, 5), (3, 4, 10, 5), (6, 2, 10, 5), (2, 12, 10, 5),
               (12, 2, 10, 5), (6, 12, 3, 5), (12, 12, 10, 5), (6, 12, 10, 1), (6, 12, 10, 10)),
     ("published",)),
    # With one model, the name of the estimand is true only without loss x model.
    ("other_datasets", ((2, 1, 10, 5), (3, 1, 3, 5), (6, 1, 10, 1), (12, 1, 3, 5)),
     ("dataset", "split")),
    ("other_networks", ((1, 4, 10, 2), (1, 12, 10, 10), (1, 12, 3, 5)), USUAL),
    ("these", ((1, 1, 10, 2), (1, 12, 3, 5), (3, 2, 3, 2), (6, 12, 3, 2), (6, 12, 10, 5),
               (12, 1, 10, 10)), ("published", "split", "unequal")),
    ("these", ((6, 12, 3, 5),), ("heavy", "diverging", "missing trials")),
)  # fmt: skip
REFUSED: tuple[tuple[Estimand, Shape], ...] = (
    ("other", (1, 12, 10, 5)), ("other", (6, 1, 10, 5)), ("other_datasets", (1, 12, 10, 5)),
    ("other_networks", (1, 1, 10, 5)), ("other_networks", (1, 12, 10, 1)),
    ("these", (6, 12, 10, 1)), ("images", (6, 12, 10, 5)),
)  # fmt: skip
POWER: tuple[tuple[Shape, float], ...] = (
    ((6, 12, 10, 5), 0.0042), ((6, 12, 10, 5), 0.0067), ((3, 4, 10, 5), 0.0077),
    ((3, 4, 10, 5), 0.0124), ((6, 12, 3, 5), 0.0042), ((6, 12, 3, 5), 0.0067),
)  # fmt: skip
"""One loss better by 2.5 and by 4 true standard errors of a pair in the published world."""


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Truths of one design.

    Attributes:
        worlds: Names, with equal weights.
        low: Smallest standard deviation of the effects of the losses; log-uniform up to `high`.
        high: Largest one.
        far: Fraction of the sweeps in which one loss is worse by 0.01 to 0.04.
    """

    worlds: Sequence[str] = MIXED
    low: float = 0.0002
    high: float = 0.01
    far: float = 0.0

    def describe(self) -> Row:
        """Returns the truths as they are kept."""
        worlds = "mixed" if self.worlds == MIXED else ", ".join(self.worlds)
        spread = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return {"worlds": worlds, "spread": spread, "far": self.far}

    def draw(self, num_losses: int, random: np.random.Generator) -> tuple[World, np.ndarray]:
        """Returns a world, and the effects of the losses."""
        world = WORLDS[self.worlds[int(random.integers(len(self.worlds)))]]
        spread = np.exp(random.uniform(np.log(self.low), np.log(self.high)))
        lambda_L = spread * random.standard_normal(num_losses)
        if random.random() < self.far:
            lambda_L[random.integers(num_losses)] -= random.uniform(0.01, 0.04)
        return world, lambda_L


ALL = Mixture()
ONE = Mixture(worlds=("noise", "dataset", "split"))
CHANCES: tuple[tuple[Shape, Mixture], ...] = (
    ((6, 12, 10, 5), ALL), ((3, 4, 10, 5), ALL), ((2, 2, 10, 5), ALL), ((6, 12, 3, 5), ALL),
    ((3, 4, 10, 2), ALL), ((6, 1, 10, 5), ONE), ((6, 12, 10, 5), Mixture(far=0.5)),
    *(((3, 4, 10, 5), Mixture(worlds=(name,))) for name in WORLDS if name not in MIXED),
    *(((6, 12, 10, 5), Mixture(worlds=("published",), low=spread, high=spread))
      for spread in (1e-9, 0.0007, 0.002, 0.008)),
)  # fmt: skip
OLD: tuple[tuple[Shape, Mixture], ...] = (
    *(((6, 12, 10, 5), Mixture(worlds=(name,))) for name in ("noise", "published", "large")),
    ((6, 12, 10, 5), ALL), ((3, 4, 10, 5), ALL), ((6, 1, 10, 5), ONE),
)  # fmt: skip
NULL: tuple[tuple[Shape, str, float], ...] = (
    *(((3, 4, 10, 5), name, 0.0) for name in (*MIXED, "sources", "wild", "often")),
    ((6, 12, 10, 5), "published", 0.0), ((6, 12, 10, 5), "published", 0.002),
)  # fmt: skip
IMAGES: tuple[dict[str, Any], ...] = (
    *({"shape": (1, 1, 2, repeats, pool)} for repeats in (1, 2, 5) for pool in (420, 2000)),
    *({"shape": (6, 4, 2, repeats, 420)} for repeats in (1, 2, 5)),
    {"shape": (1, 1, 10, 5, 420)},
    *({"shape": (1, 1, 2, repeats, 600), "per_unit": 20} for repeats in (1, 5)),
    *({"shape": (1, 1, 2, repeats, 1000), "choice": 1.0} for repeats in (1, 2, 5)),
)
PARTS = ("intervals", "power", "refused", "images", "chances", "null", "old")
Simulate = Callable[[int, np.random.Generator], list[Row]]
"""Takes the number of sweeps and the source of all draws."""


def drawn_scores(drawn: ImageScores) -> Scores:
    """Returns the metric of each repeat, averaged over the models."""
    means_DLR = np.stack([mean_over(scores, 2) for scores in drawn.scores_DLRN])
    return scores_of_values(means_DLR[:, None])


def truth_of(about: Estimand, sweep: Sweep, lambda_L: np.ndarray) -> np.ndarray:
    """Returns the true means (L,) that an estimand is about, up to a constant."""
    if about == "these":
        return sweep.fixed_L
    if about == "other_networks":
        return np.asarray(lambda_L + sweep.a_DL[0])
    return true_means(sweep.world, lambda_L)


def intervals(
    about: Estimand,
    shape: Shape,
    world: World,
    better: float,
    num_sweeps: int,
    random: np.random.Generator,
) -> list[Row]:
    """Simulates one design; the last loss is better by `better`, all others are equal."""
    lambda_L = np.zeros(shape[2])
    lambda_L[-1] = better
    seen = Intervals()
    for _ in range(num_sweeps):
        sweep = draw_sweep(world, lambda_L, shape, random)
        answer = certainty(sweep.scores(), about=about, num_draws=0)
        seen.add(answer, sweep.losses, truth_of(about, sweep, lambda_L))
    return [seen.row()]


def images(design: Row, num_sweeps: int, random: np.random.Generator) -> list[Row]:
    """Returns the coverage of the intervals for other images, and of the corrected ones."""
    *shape, pool = design["shape"]
    options = {key: value for key, value in design.items() if key != "shape"}
    seen = Intervals()
    lambda_L = np.zeros(shape[2])
    for _ in range(num_sweeps):
        drawn = draw_images(lambda_L, shape, random, pool=pool, **options)
        scores = drawn_scores(drawn)
        answer = certainty(scores, about="images", images=drawn, num_draws=0)
        seen.add(answer, scores.losses, lambda_L)
    kept = ("refused", "coverage", "coverage_se", "width", "corrected_coverage")
    return [{key: value for key, value in seen.row().items() if key in kept}]


def chances(
    shape: Shape,
    truths: Mixture,
    num_draws: int,
    num_sweeps: int,
    random: np.random.Generator,
) -> list[Row]:
    """Compares every printed probability with what happens, over a mixture of truths."""
    about: Estimand = "other_datasets" if shape[1] == 1 else "other"
    found: defaultdict[str, Said] = defaultdict(Said)
    for _ in range(num_sweeps):
        world, lambda_L = truths.draw(shape[2], random)
        sweep = draw_sweep(world, lambda_L, shape, random)
        answer = certainty(sweep.scores(), about=about, num_draws=num_draws)
        whole = replace(world, missing=0.0, missing_cells=0.0)
        new = [podium_points(draw_sweep(whole, lambda_L, shape, random).means_DML) for _ in "1234"]
        again = [podium_points(sweep.again_DML(random)) for _ in "1234"]
        for axis, podium in answer.podiums.items():
            _add_podium(found, axis, podium.losses, sweep.losses, new, again)
        if answer.p_best:
            best = sweep.losses[int(np.argmax(true_means(world, lambda_L)))]
            likely = sorted(answer.p_best, key=lambda loss: -answer.p_best[loss])
            found["truly best"].add(
                [answer.p_best[loss] for loss in likely], [loss == best for loss in likely]
            )
            found["set of truly best"].add([0.95], [best in answer.best_set])
    return [{"probability": what} | said.row() for what, said in sorted(found.items())]


def _add_podium(
    found: defaultdict[str, Said],
    axis: str,
    entries: Sequence[Any],
    losses: Sequence[str],
    new: Sequence[dict[str, np.ndarray]],
    again: Sequence[dict[str, np.ndarray]],
) -> None:
    if not entries:
        return
    order = [losses.index(entry.loss) for entry in entries]
    for what, num, sweeps in (
        ("p_first", 1, new), ("p_podium", 3, new), ("p_first_again", 1, again),
        ("p_podium_again", 3, again),
    ):  # fmt: skip
        said = [getattr(entry, what) for entry in entries]
        if None not in said:
            true = np.mean([steps(points[axis], num) for points in sweeps], axis=0)
            found[f"{what}, {axis}"].add(said, true[order])
    limits = np.array(
        [(entry.points_interval.low, entry.points_interval.high) for entry in entries]
    )
    inside = [
        (limits[:, 0] - 1e-9 <= points[axis][order]) & (points[axis][order] <= limits[:, 1] + 1e-9)
        for points in new
    ]
    found[f"points_interval, {axis}"].add([0.95], [float(np.mean(inside))])


def null_of_points(
    shape: Shape,
    world: World,
    spread: float,
    num_draws: int,
    num_sweeps: int,
    random: np.random.Generator,
) -> list[Row]:
    """Returns how often the leader's points are significant at 5 %, by podium."""
    small: defaultdict[str, list[bool]] = defaultdict(list)
    for _ in range(num_sweeps):
        sweep = draw_sweep(world, spread * random.standard_normal(shape[2]), shape, random)
        answer = certainty(sweep.scores(), about="other", num_draws=num_draws)
        for axis, podium in answer.podiums.items():
            if podium.null is not None:
                small[axis].append(podium.null.p <= 0.05)
    return [{axis: float(np.mean(values)) for axis, values in small.items()}]


def old_means(values_DMLR: np.ndarray, num: int, random: np.random.Generator) -> np.ndarray:
    """Returns cell means (B, D, M, L) of the replaced bootstrap: all three axes drawn."""
    num_datasets, num_models, _, num_repeats = values_DMLR.shape
    drawn = np.empty((num, *values_DMLR.shape[:3]))
    for sample in drawn:
        models = random.integers(num_models, size=num_models)
        datasets = random.integers(num_datasets, size=num_datasets)
        for row, values_MLR in zip(sample, values_DMLR[datasets], strict=True):
            repeats = random.integers(num_repeats, size=num_repeats)
            row[:] = values_MLR[models][:, :, repeats].mean(axis=2)
    return drawn


def old(
    shape: Shape,
    truths: Mixture,
    num_sweeps: int,
    random: np.random.Generator,
    num_draws: int = 200,
) -> list[Row]:
    """Returns what the replaced methods do over a mixture of truths."""
    first, second = np.triu_indices(shape[2], 1)
    covered, rejected, said = [], [], Said()
    for _ in range(num_sweeps):
        world, lambda_L = truths.draw(shape[2], random)
        sweep = draw_sweep(world, lambda_L, shape, random)
        drawn = old_means(sweep.values_DMLR, num_draws, random)
        means_BL = drawn.mean(axis=(1, 2)) - lambda_L
        low, high = np.quantile(means_BL[:, first] - means_BL[:, second], [0.025, 0.975], axis=0)
        covered.append(float(((low <= 0) & (high >= 0)).mean()))
        # Effects are additive: without those of the losses, all losses are equal.
        blocks = (sweep.means_DML - lambda_L).reshape(-1, shape[2])
        rejected.append(friedmanchisquare(*blocks.T).pvalue <= 0.05)
        p_first = np.mean([steps(podium_points(one)["both"], 1) for one in drawn], axis=0)
        new = [podium_points(draw_sweep(world, lambda_L, shape, random).means_DML) for _ in "1234"]
        true = np.mean([steps(points["both"], 1) for points in new], axis=0)
        leader = int(podium_points(sweep.means_DML)["both"].argmax())
        said.add([p_first[leader]], [true[leader]])
    coverage, error = mean_and_error(covered)
    row = {"coverage": coverage, "coverage_se": error, "all_equal_rejected": np.mean(rejected)}
    return [row | {key: value for key, value in said.row().items() if key != "gap_of_bins"}]


def designs(num_draws: int) -> Iterator[tuple[Row, Simulate]]:
    """Returns the description of each design, and the function that simulates it."""
    for about, shapes, worlds in DESIGNS:
        for shape, name in product(shapes, worlds):
            head: Row = {"part": "intervals", "about": about, "shape": text(shape), "world": name}
            yield head, partial(intervals, about, shape, WORLDS[name], 0.0)
    published = WORLDS["published"]
    for shape, better in POWER:
        head = {"part": "power", "shape": text(shape), "better": better}
        yield head, partial(intervals, "other", shape, published, better)
    for about, shape in REFUSED:
        head = {"part": "refused", "about": about, "shape": text(shape)}
        yield head, partial(intervals, about, shape, published, 0.0)
    for design in IMAGES:
        head = {"part": "images"} | design | {"shape": text(design["shape"])}
        yield head, partial(images, design)
    for shape, truths in CHANCES:
        head = {"part": "chances", "shape": text(shape)} | truths.describe()
        yield head, partial(chances, shape, truths, num_draws)
    for shape, name, spread in NULL:
        head = {"part": "null", "shape": text(shape), "world": name, "spread": spread}
        yield head, partial(null_of_points, shape, WORLDS[name], spread, num_draws)
    for shape, truths in OLD:
        head = {"part": "old", "shape": text(shape)} | truths.describe()
        yield head, partial(old, shape, truths)


def text(shape: Sequence[int]) -> str:
    """Returns a shape as `6 x 12 x 10 x 5`."""
    return " x ".join(map(str, shape))


def rounded(row: Row) -> Row:
    """Returns the row with four decimals, as plain numbers."""
    return {
        key: round(float(value), 4) if isinstance(value, float) else value
        for key, value in row.items()
    }


def main() -> None:
    """Simulates, appends each design to the file, and prints the tables of the whole file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sweeps", type=int, default=1000, help="sweeps of each design")
    parser.add_argument("--draws", type=int, default=400, help="draws of each certainty")
    parser.add_argument("--every", type=int, default=1, help="simulate only each N-th design")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, required=True, help="file to which rows are added")
    options = parse(parser, smallest={"sweeps": 2, "draws": 100, "every": 7})
    wanted = [one for one in designs(options.draws) if one[0]["part"] in options.parts]
    kept = _read(options.keep)
    for head, simulate in wanted[:: options.every] if options.sweeps else ():
        if any(head.items() <= row.items() for row in kept):
            continue
        # Each design has a stream that does not depend on the other designs of this run.
        own = zlib.crc32(json.dumps(head).encode())
        rows = simulate(options.sweeps, np.random.default_rng([options.seed, own]))
        lines = [json.dumps(rounded(head | {"sweeps": options.sweeps} | row)) for row in rows]
        with options.keep.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
    print(in_one_line(describe("numpy", "scipy")))
    print(tables(_read(options.keep)))


def _read(path: Path) -> list[Row]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
