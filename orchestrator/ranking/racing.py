"""The race: which trials can still change the podium of the full grid, and when none can.

The podium is that of the full grid with all its repeats, by the points by dataset and by model
together. The missing trials are drawn many times, given the finished ones. The certainty is the
fraction of draws with the commonest podium; it is 1 once every trial is finished.

Arrays end in their axes: D datasets, M models, L losses, R repeats, B draws, K blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from orchestrator.ranking.divergence import draw_rates
from orchestrator.ranking.scores import mean_over
from orchestrator.ranking.unseen import draw_unseen

ROUND_SHARE = 8
"""A round adds one repeat to one of this many combinations of dataset, model and loss."""
NUM_DRAWS = 1000
STEPS = 3

State = Literal["running", "certain", "spent", "complete"]


@dataclass(frozen=True, kw_only=True)
class RaceRules:
    """When a race ends.

    Attributes:
        level: It ends once the podium is this certain.
        budget: It ends once this fraction of the full grid is requested.
        first_repeats: Repeats that every combination gets before the first decision.
        num_draws: Draws for each decision.
    """

    level: float = 0.95
    budget: float = 1.0
    first_repeats: int = 2
    num_draws: int = NUM_DRAWS


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """The podium of the full grid as estimated from the trials of the rounds so far.

    Attributes:
        podium: Positions of the losses on it, the best first.
        certainty: Fraction of draws with the same losses on it; None if the noise is unknown.
        reach_DL: Fraction of draws in which the podium changes if the mean of this loss on this
            dataset is fixed at its current estimate; likewise `reach_ML` by model.
    """

    podium: tuple[int, ...]
    certainty: float | None
    reach_DL: np.ndarray
    reach_ML: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Race:
    """The state of a race, computed from the finished trials.

    Attributes:
        state: `running`: trials of the round are missing. `certain` and `spent` (the budget): the
            race has ended. `complete`: the race requested the whole grid.
        round: The current round, or the last one of an ended race, from 1.
        asked_DMLR: Trials that the rounds so far requested.
        judgement: After the last complete round; None during the first.
    """

    state: State
    round: int
    asked_DMLR: np.ndarray
    judgement: Judgement | None

    @property
    def over(self) -> bool:
        """Whether the race has ended, so that it requests no further trial."""
        return self.state != "running"


def race(
    values_DMLR: np.ndarray,
    finished_DMLR: np.ndarray,
    lost_DMLR: np.ndarray,
    rules: RaceRules,
) -> Race:
    """Recomputes a race from the finished trials; each round is decided from earlier rounds only.

    The same trials give the same decisions, no matter how often the race was interrupted. A trial
    that finished before its round changes no earlier decision.

    Args:
        values_DMLR: The metric, 0 if diverged; NaN without a finished trial.
        finished_DMLR: Trials that finished and did not diverge.
        lost_DMLR: Trials that failed and are not retried; the race does not wait for them.
        rules: When the race ends.
    """
    num_repeats = values_DMLR.shape[3]
    asked = np.broadcast_to(
        np.arange(num_repeats) < min(rules.first_repeats, num_repeats), values_DMLR.shape
    ).copy()
    number, judged = 1, None
    while True:
        if (asked & np.isnan(values_DMLR) & ~lost_DMLR).any():
            return Race(state="running", round=number, asked_DMLR=asked, judgement=judged)
        seen = np.where(asked, values_DMLR, np.nan)
        finished = finished_DMLR & asked
        judged = _judged(seen.tobytes(), finished.tobytes(), seen.shape, rules, number)
        state = _end(asked, judged, rules)
        if state is not None:
            return Race(state=state, round=number, asked_DMLR=asked, judgement=judged)
        room = int(rules.budget * asked.size + 1e-9) - int(asked.sum())
        asked = _next_round(asked, judged, room)
        number += 1


@lru_cache(maxsize=64)
def _judged(
    values: bytes, finished: bytes, shape: tuple[int, ...], rules: RaceRules, seed: int
) -> Judgement:
    """Judges a round once, although a running sweep plans it many times."""
    return judge(
        np.frombuffer(values).reshape(shape),
        np.frombuffer(finished, dtype=bool).reshape(shape),
        rules.num_draws,
        seed=seed,
        first_repeats=rules.first_repeats,
    )


def _end(asked_DMLR: np.ndarray, judged: Judgement, rules: RaceRules) -> State | None:
    if asked_DMLR.all():
        return "complete"
    if judged.certainty is not None and judged.certainty >= rules.level:
        return "certain"
    if int(rules.budget * asked_DMLR.size + 1e-9) <= asked_DMLR.sum():
        return "spent"
    return None


def _next_round(asked_DMLR: np.ndarray, judged: Judgement, room: int) -> np.ndarray:
    """Adds one repeat to the combinations that are most likely to change the podium.

    The worth of a repeat is the fraction of the variance of its two block means that it removes,
    each times the reach of that block. Repeats are taken in order, so that losses share splits.
    """
    number_DML = asked_DMLR.sum(axis=3)
    open_DML = number_DML < asked_DMLR.shape[3]
    taken_DML = np.where(open_DML, 1.0 / (number_DML * (number_DML + 1.0)), 0.0)
    num_datasets, num_models, _ = number_DML.shape
    worth_DML = taken_DML * (
        judged.reach_DL[:, None, :] / num_models + judged.reach_ML[None] / num_datasets
    )
    if not worth_DML.any():  # no single mean changes the podium: the least known first
        worth_DML = taken_DML
    size = min(room, -(-worth_DML.size // ROUND_SHARE))
    order = np.argsort(-worth_DML, axis=None, kind="stable")[:size]
    chosen = order[worth_DML.flat[order] > 0]
    asked = asked_DMLR.copy()
    dataset, model, loss = np.unravel_index(chosen, worth_DML.shape)
    asked[dataset, model, loss, number_DML[dataset, model, loss]] = True
    return asked


def judge(
    values_DMLR: np.ndarray,
    finished_DMLR: np.ndarray,
    num_draws: int,
    *,
    seed: int,
    first_repeats: int = 2,
) -> Judgement:
    """Estimates the podium of the full grid: the commonest set of losses among the draws.

    The trials without a result are drawn given those with one (`orchestrator.ranking.unseen`), and
    each diverges with the rate of its model and loss over all datasets. A trial that diverged
    counts as 0. The drawn grids are ranked as the grid is.

    Args:
        values_DMLR: The metric, 0 if diverged; NaN without a result.
        finished_DMLR: Trials with a result that did not diverge.
        num_draws: Draws.
        seed: The same seed gives the same draws.
        first_repeats: Repeats that every combination was given before the first decision.
    """
    num_models, num_losses = values_DMLR.shape[1:3]
    unseen_DMLR = np.isnan(values_DMLR)
    if not unseen_DMLR.any():
        return Judgement(
            podium=_estimated(values_DMLR),
            certainty=1.0,
            reach_DL=np.zeros((len(values_DMLR), num_losses)),
            reach_ML=np.zeros((num_models, num_losses)),
        )
    random = np.random.default_rng(seed)
    trained = np.where(finished_DMLR, values_DMLR, np.nan)
    diverged_DMLR = ~unseen_DMLR & ~finished_DMLR
    rates_BML = draw_rates(
        diverged_DMLR.sum(axis=(0, 3)).ravel(), (~unseen_DMLR).sum(axis=(0, 3)).ravel(),
        num_draws, random,
    ).reshape(-1, num_models, num_losses)  # fmt: skip
    cells_BDML = np.empty((num_draws, *values_DMLR.shape[:3]))
    for dataset, trained_MLR in enumerate(trained):
        drawn_BMLR = draw_unseen(trained_MLR, num_draws, random, first_repeats=first_repeats)
        if drawn_BMLR is None:
            return Judgement(
                podium=_estimated(values_DMLR),
                certainty=None,
                reach_DL=np.ones((len(values_DMLR), num_losses)),
                reach_ML=np.ones((num_models, num_losses)),
            )
        lost_BMLR = random.random(drawn_BMLR.shape) < rates_BML[..., None]
        lost_BMLR = np.where(unseen_DMLR[dataset], lost_BMLR, diverged_DMLR[dataset])
        cells_BDML[:, dataset] = np.where(lost_BMLR, 0.0, drawn_BMLR).mean(axis=3)
    points_BL, means_BL = _totals(cells_BDML)
    places_BS = np.sort(_order(points_BL, means_BL), axis=1)
    sets, number = np.unique(places_BS, axis=0, return_counts=True)
    centre_DML = cells_BDML.mean(axis=0)
    chosen = sets[number.argmax()]
    expected_L = points_BL.mean(axis=0)
    reach = [
        _reach(cells_BDML.mean(axis=axis), centre_DML.mean(axis=axis - 1), points_BL, means_BL)
        for axis in (2, 1)
    ]
    return Judgement(
        podium=tuple(chosen[np.argsort(-expected_L[chosen], kind="stable")].tolist()),
        certainty=float(number.max() / num_draws),
        reach_DL=reach[0],
        reach_ML=reach[1],
    )


def _estimated(values_DMLR: np.ndarray) -> tuple[int, ...]:
    """Returns the podium of the trials so far, the best first."""
    cells_DML = np.nan_to_num(mean_over(values_DMLR, 3))
    return tuple(podiums(cells_DML[None])[0].tolist())


def podiums(cells_BDML: np.ndarray) -> np.ndarray:
    """Returns the positions of the losses on the overall podium of each draw, the best first."""
    return _order(*_totals(cells_BDML))


def _points(means: np.ndarray) -> np.ndarray:
    """Returns 3, 2, 1 points along the last axis; a loss whose trials all diverged gets none.

    Equal means, which draws do not have, all get the points of the best place.
    """
    steps = min(STEPS, means.shape[-1])
    highest = -np.sort(-means, axis=-1)[..., :steps]
    points = np.zeros(means.shape, dtype=np.int8)
    for step in range(steps):
        points += means >= highest[..., step : step + 1]
    points += np.int8(STEPS - steps)
    return np.where(means > 0, points, np.int8(0))


def _totals(cells_BDML: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the points of both axes together, and the means that separate equal points."""
    by_dataset, by_model = cells_BDML.mean(axis=2), cells_BDML.mean(axis=1)
    points_BL = _points(by_dataset).sum(axis=1) + _points(by_model).sum(axis=1)
    return points_BL, by_dataset.mean(axis=1)


def _order(points_BL: np.ndarray, means_BL: np.ndarray) -> np.ndarray:
    """Returns the losses on the podium, at most L - 1 of L, so that one loss is not on it."""
    size = max(1, min(STEPS, points_BL.shape[1] - 1))
    return np.lexsort((-means_BL, -points_BL), axis=1)[:, :size]


def _reach(
    drawn_BKL: np.ndarray, centre_KL: np.ndarray, points_BL: np.ndarray, means_BL: np.ndarray
) -> np.ndarray:
    """Returns (K, L): the fraction of draws in which fixing one block mean changes the podium."""
    before = np.sort(_order(points_BL, means_BL), axis=1)
    reach = np.zeros(centre_KL.shape)
    num_losses = centre_KL.shape[1]
    own = np.arange(num_losses)
    for block, centre_L in enumerate(centre_KL):
        drawn_BL = drawn_BKL[:, block]
        if np.ptp(_points(drawn_BL), axis=0).max() == 0:
            continue
        held_BLL = np.repeat(drawn_BL[:, None], num_losses, axis=1)
        held_BLL[:, own, own] = centre_L
        changed_BLL = _points(held_BLL) - _points(drawn_BL)[:, None]
        for loss in np.flatnonzero(changed_BLL.any(axis=(0, 2))):
            after = _order(points_BL + changed_BLL[:, loss], means_BL)
            reach[block, loss] = (np.sort(after, axis=1) != before).any(axis=1).mean()
    return reach
