"""Simulated sweeps with known truth: additive effects of losses, and worlds that break the model.

    y[d,m,l,r] = level + common[d,m,r] + lambda[l] + a[d,l] + b[m,l] + c[d,m,l]
                 + s[d,l,r] + e[d,m,l,r]

Names of arrays end in their axes: D datasets, M models, L losses, R repeats, N test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.images import ImageScores
from orchestrator.ranking.metrics import metric_of
from orchestrator.ranking.scores import Scores, mean_over

LEVEL = 0.8
CEILING = (0.6, 0.98)
"""Levels of the datasets in a world with a ceiling."""
OFTEN, SELDOM, OFTEN_SHARE = 0.15, 0.002, 0.2
"""Rates at which a pair of model and loss diverges, and how many pairs have the higher rate."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One kind of truth.

    Attributes:
        sds: Standard deviations of a, b, c, s and e.
        tails: `normal`; `heavy`: Student's t with 3 degrees of freedom for all effects; `skewed`:
            the noise e falls far below its mean more often than above (log-normal).
        wild: Factor on all effects of the first loss.
        families: Losses with an even and with an odd number form two families, whose members share
            80 % of the variance of a and b.
        sources: Datasets come in pairs of one source, which share 80 % of the variance of a.
        unequal: Noise of the datasets differs by factors from 1/3 to 3, as with test sets of 30 to
            3,000 images.
        ceiling: Effects are additive on the logit scale; the levels of the datasets go from 0.6 to
            0.98, and the noise shrinks towards 1.
        diverging: Rate of trials that count 0.
        loss_diverging: The same for the first loss only.
        often: A fifth of the pairs of model and loss diverges in 15 %, the others in 0.2 %.
        missing: Fraction of the trials without a result.
        missing_cells: Fraction of the combinations without any trial.
    """

    sds: tuple[float, float, float, float, float]
    tails: Literal["normal", "heavy", "skewed"] = "normal"
    wild: float = 1.0
    families: bool = False
    sources: bool = False
    unequal: bool = False
    ceiling: bool = False
    diverging: float = 0.0
    loss_diverging: float = 0.0
    often: bool = False
    missing: float = 0.0
    missing_cells: float = 0.0


PUBLISHED_SDS = (0.0016, 0.0027, 0.003, 0.0, 0.009)
"""Components of the published tables; losses there differ by a few thousandths."""

LISTED = {
    "noise": World(sds=(0, 0, 0, 0, 0.017)),
    "small": World(sds=(0.0005, 0.0008, 0.001, 0, 0.009)),
    "published": World(sds=PUBLISHED_SDS),
    "large": World(sds=(0.008, 0.006, 0.006, 0, 0.009)),
    "dataset": World(sds=(0.008, 0, 0, 0, 0.009)),
    "model": World(sds=(0, 0.008, 0, 0, 0.009)),
    "split": World(sds=(0, 0, 0, 0.005, 0.005)),
    "heavy": World(sds=PUBLISHED_SDS, tails="heavy"),
    "wild": World(sds=PUBLISHED_SDS, wild=4.0),
    "diverging": World(sds=PUBLISHED_SDS, diverging=0.01),
    "missing": World(sds=PUBLISHED_SDS, missing=0.05, missing_cells=0.05),
    "missing trials": World(sds=PUBLISHED_SDS, missing=0.1),
}
"""The worlds for which the method was made."""

OTHERS = {
    "ceiling": World(sds=PUBLISHED_SDS, ceiling=True),
    "unequal": World(sds=PUBLISHED_SDS, unequal=True),
    "sources": World(sds=(0.008, 0.006, 0.006, 0, 0.009), sources=True),
    "families": World(sds=(0.008, 0.006, 0.006, 0, 0.009), families=True),
    "skewed": World(sds=PUBLISHED_SDS, tails="skewed"),
    "often": World(sds=PUBLISHED_SDS, often=True),
    "one loss diverging": World(sds=PUBLISHED_SDS, loss_diverging=0.1),
}
"""Worlds that the method does not assume."""

WORLDS = LISTED | OTHERS


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """One simulated sweep and what is true of it.

    Attributes:
        world: Its truth.
        cells_DML: What more repeats of each combination converge to, without divergence.
        a_DL: Loss x dataset; b_ML: loss x model.
        noise_DML: Factor on the noise of each combination.
        rate_ML: Rate at which trials diverge.
        values_DMLR: The metric; NaN without a trial, 0 where it diverged.
        finished_DMLR: Where there is a trial that did not diverge.
    """

    world: World
    cells_DML: np.ndarray
    a_DL: np.ndarray
    b_ML: np.ndarray
    noise_DML: np.ndarray
    rate_ML: np.ndarray
    values_DMLR: np.ndarray
    finished_DMLR: np.ndarray

    @property
    def means_DML(self) -> np.ndarray:
        """Mean of the repeats of each combination."""
        return mean_over(self.values_DMLR, 3)

    @property
    def fixed_L(self) -> np.ndarray:
        """Mean of each loss that more repeats of this grid converge to."""
        return np.asarray((self.cells_DML * (1 - self.rate_ML)).mean(axis=(0, 1)))

    def again_DML(self, random: np.random.Generator) -> np.ndarray:
        """Returns the means of the cells in new repeats of this grid."""
        values, _ = _trials(self, self.values_DMLR.shape[3], random)
        return np.asarray(values.mean(axis=3))

    @property
    def losses(self) -> tuple[str, ...]:
        """Labels, in the order of the axis."""
        return _labels("losses", self.values_DMLR.shape[2])

    def scores(self) -> Scores:
        """Returns the sweep as Podium ranks it."""
        return scores_of_values(self.values_DMLR, self.finished_DMLR)


def scores_of_values(values_DMLR: np.ndarray, finished_DMLR: np.ndarray | None = None) -> Scores:
    """Returns values as Podium ranks them; without `finished_DMLR`, no trial diverged."""
    sizes = values_DMLR.shape
    datasets, models = _labels("datasets", sizes[0]), _labels("models", sizes[1])
    losses = _labels("losses", sizes[2])
    return Scores(
        measure=metric_of("dice"),
        datasets=datasets,
        models=models,
        losses=losses,
        listed=losses,
        expected=ExpectedTrials(
            datasets=datasets, models=models, losses=losses, num_repeats=sizes[3]
        ),
        values_DMLR=values_DMLR,
        finished_DMLR=~np.isnan(values_DMLR) if finished_DMLR is None else finished_DMLR,
        spared_DMLR=np.zeros(sizes, dtype=bool),
    )


def draw_sweep(
    world: World, lambda_L: np.ndarray, shape: Sequence[int], random: np.random.Generator
) -> Sweep:
    """Draws datasets, models and their interactions with the losses, and the trials.

    Args:
        world: The truth.
        lambda_L: Effect of each loss over all datasets and networks.
        shape: Datasets, models, losses, repeats.
        random: Source of all draws.
    """
    num_datasets, num_models, _, num_repeats = shape
    sweep = _grid(world, lambda_L, num_datasets, num_models, random)
    values, diverged = _trials(sweep, num_repeats, random)
    gone = random.random(values.shape) < world.missing
    gone |= (random.random(values.shape[:3]) < world.missing_cells)[..., None]
    return replace(
        sweep, values_DMLR=np.where(gone, np.nan, values), finished_DMLR=~gone & ~diverged
    )


def true_means(world: World, lambda_L: np.ndarray) -> np.ndarray:
    """Returns the mean of each loss over all datasets and networks, (L,)."""
    kept = np.full(len(lambda_L), 1 - world.diverging)
    kept[0] -= world.loss_diverging
    if world.often:
        kept[:] = 1 - OFTEN_SHARE * OFTEN - (1 - OFTEN_SHARE) * SELDOM
    if not world.ceiling:
        return np.asarray((LEVEL + lambda_L) * kept)
    level_N: np.ndarray = np.linspace(*CEILING, 201)
    spread = np.sqrt(np.square(world.sds[:3]).sum())
    effect_N1 = spread * norm.ppf((np.arange(200) + 0.5) / 200)[:, None]
    return np.array([_to_dice(level_N, effect_N1 + own).mean() for own in lambda_L])


def _to_dice(level: np.ndarray, effect: np.ndarray) -> np.ndarray:
    """Returns Dice at a level; an effect has its size in Dice at the level 0.8."""
    return np.asarray(expit(logit(level) + effect / (LEVEL * (1 - LEVEL))))


def _grid(
    world: World,
    lambda_L: np.ndarray,
    num_datasets: int,
    num_models: int,
    random: np.random.Generator,
) -> Sweep:
    """Draws a sweep without trials."""
    num_losses = len(lambda_L)
    spread_L = np.where(np.arange(num_losses) == 0, world.wild, 1.0)

    def effect(sd: float, *sizes: int) -> np.ndarray:
        drawn = _standard(world.tails == "heavy", random, *sizes, num_losses)
        return np.asarray(sd * spread_L * drawn)

    a_DL, b_ML = effect(world.sds[0], num_datasets), effect(world.sds[1], num_models)
    if world.families:
        family_L = np.arange(num_losses) % 2
        for own in (a_DL, b_ML):
            own[:] = np.sqrt(0.2) * own + np.sqrt(0.8) * own[:, family_L]
    if world.sources:
        a_DL = np.sqrt(0.2) * a_DL + np.sqrt(0.8) * a_DL[np.arange(num_datasets) // 2 * 2]
    effects = lambda_L + a_DL[:, None] + b_ML + effect(world.sds[2], num_datasets, num_models)
    noise_D = np.ones(num_datasets)
    if world.unequal:
        noise_D = 3.0 ** random.uniform(-1, 1, num_datasets)
    noise = np.broadcast_to(noise_D[:, None, None] * spread_L, effects.shape)
    cells = LEVEL + effects
    if world.ceiling:
        cells = _to_dice(random.uniform(*CEILING, num_datasets)[:, None, None], effects)
        noise = cells * (1 - cells) / (LEVEL * (1 - LEVEL))
    rate = np.full((num_models, num_losses), world.diverging)
    rate[:, 0] += world.loss_diverging
    if world.often:
        rate = np.where(random.random(rate.shape) < OFTEN_SHARE, OFTEN, SELDOM)
    empty = np.zeros((num_datasets, num_models, num_losses, 0))
    return Sweep(
        world=world,
        cells_DML=cells,
        a_DL=a_DL,
        b_ML=b_ML,
        noise_DML=noise,
        rate_ML=rate,
        values_DMLR=empty,
        finished_DMLR=empty.astype(bool),
    )


def _trials(
    sweep: Sweep, num_repeats: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values (D, M, L, R) of new trials, and which of them diverged."""
    num_datasets, num_models, num_losses = sweep.cells_DML.shape
    world, heavy = sweep.world, sweep.world.tails == "heavy"
    split = _standard(heavy, random, num_datasets, 1, num_losses, num_repeats)
    training = _standard(heavy, random, num_datasets, num_models, num_losses, num_repeats)
    if world.tails == "skewed":
        sigma = 0.8
        drawn = np.exp(sigma * training)
        spread = np.sqrt((np.exp(sigma**2) - 1) * np.exp(sigma**2))
        training = (np.exp(sigma**2 / 2) - drawn) / spread
    common = 0.01 * random.standard_normal((num_datasets, num_models, 1, num_repeats))
    noise = sweep.noise_DML[..., None] * (world.sds[3] * split + world.sds[4] * training)
    diverged = random.random(training.shape) < sweep.rate_ML[..., None]
    return np.where(diverged, 0.0, sweep.cells_DML[..., None] + common + noise), diverged


def _standard(heavy: bool, random: np.random.Generator, *sizes: int) -> np.ndarray:
    """Returns draws with standard deviation 1."""
    if heavy:
        return np.asarray(random.standard_t(3, sizes) / np.sqrt(3))
    return random.standard_normal(sizes)


def draw_images(
    lambda_L: np.ndarray,
    shape: Sequence[int],
    random: np.random.Generator,
    *,
    pool: int = 420,
    tested: float = 0.1,
    training_sd: float = 0.005,
    choice: float = 0.0,
    per_unit: int = 1,
) -> ImageScores:
    """Draws the scores of test images; each repeat tests another part of the pool.

    The truth is the mean over the population of images and over trainings, for these datasets and
    networks: the effect of each loss.

    Args:
        lambda_L: Effect of each loss.
        shape: Datasets, models, losses, repeats.
        random: Source of all draws.
        pool: Images of each dataset.
        tested: Fraction of the pool in each test set.
        training_sd: Noise of one training.
        choice: Standard deviation that the choice of the training images adds to a training, as a
            multiple of `training_sd`. Repeats from one pool share most of it.
        per_unit: Images of one patient; they share half of the variance.
    """
    num_datasets, num_models, num_losses, num_repeats = shape
    num_tested = round(pool * tested)
    scores, units = [], []
    for _ in range(num_datasets):
        unit_N = np.arange(pool) // per_unit
        own = random.standard_normal((num_losses, pool))
        if per_unit > 1:
            of_unit = random.standard_normal((num_losses, unit_N[-1] + 1))[:, unit_N]
            own = np.sqrt(0.5) * (own + of_unit)
        image_LN = lambda_L[:, None] + 0.06 * own
        influence_LN = random.standard_normal((num_losses, pool))
        values = np.full((num_losses, num_repeats, pool), np.nan)
        for repeat in range(num_repeats):
            order = random.permutation(pool)
            test = order[:num_tested] if per_unit == 1 else _whole_units(order, unit_N, num_tested)
            train = np.setdiff1d(order, test)
            trained_L = training_sd * random.standard_normal(num_losses) / np.sqrt(num_models)
            chosen_L = influence_LN[:, train].sum(axis=1) / np.sqrt(len(train))
            rest = 0.05 * random.standard_normal((num_losses, len(test))) / np.sqrt(num_models)
            values[:, repeat, test] = (
                LEVEL
                + image_LN[:, test]
                + (trained_L + choice * training_sd * chosen_L)[:, None]
                + rest
            )
        seen = ~np.isnan(values[0]).all(axis=0)
        scores.append(values[..., seen])
        units.append(unit_N[seen])
    return ImageScores(
        metric="dice",
        datasets=_labels("datasets", num_datasets),
        losses=_labels("losses", num_losses),
        scores_DLRN=tuple(scores),
        units_DN=tuple(units),
        tested_per_trained_D=np.full(num_datasets, tested / (1 - tested)),
    )


def _labels(axis: str, size: int) -> tuple[str, ...]:
    return tuple(f"{axis}-{number:02}" for number in range(size))


def _whole_units(order: np.ndarray, unit_N: np.ndarray, num_tested: int) -> np.ndarray:
    """Returns the images of the first units in this order, at least `num_tested`."""
    units: Sequence[int] = list(dict.fromkeys(unit_N[order].tolist()))
    sizes = np.cumsum(np.bincount(unit_N)[units])
    return np.flatnonzero(np.isin(unit_N, units[: int(np.searchsorted(sizes, num_tested)) + 1]))
