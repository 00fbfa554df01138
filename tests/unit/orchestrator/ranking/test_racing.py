"""The race: numbers by hand, then properties of any race, on grids like the published grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.racing import (
    Race,
    RaceRules,
    judge,
    podiums,
    race,
)
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import paired_estimates
from tests.published import published_dice, published_trials
from tests.unit.orchestrator.ranking.frames import scored

FEW = RaceRules(num_draws=100)


def run(values: np.ndarray, rules: RaceRules = FEW, lost: np.ndarray | None = None) -> Race:
    finished = ~np.isnan(values)
    never = np.zeros(values.shape, dtype=bool)
    return race(values, finished, never if lost is None else lost, rules)


def grid(*, gap: float, noise: float, seed: int = 0, shape=(2, 3, 5, 5)) -> np.ndarray:
    """Losses a `gap` apart, the first the best, with a large effect of each split."""
    random = np.random.default_rng(seed)
    split = 0.05 * random.standard_normal((*shape[:2], 1, shape[3]))
    noises = noise * random.standard_normal(shape)
    return np.asarray(0.8 - gap * np.arange(shape[2])[:, None] + split + noises)


def test_the_podium_by_hand():
    # By dataset the means are .7 .7 .55 .35; model 1 has d > a > b > c, model 2 has b > a > c > d.
    cells = np.array([[[0.6, 0.5, 0.4, 0.7], [0.8, 0.9, 0.7, 0.0]]])
    assert podiums(cells[None])[0].tolist() == [
        0,
        1,
        3,
    ]  # 3 + 2 + 2, 2 + 1 + 3, 0 + 3 + 0, 1 + 0 + 1


def test_a_spared_loss_is_judged_by_the_splits_it_shares():
    """Its splits were easy ones; the plain mean would put it first."""
    values = np.array(
        [[[[0.9, 0.9, 0.3, 0.3], [0.8, 0.8, 0.2, 0.2], [0.85, 0.85, np.nan, np.nan]]]]
    )
    filled = paired_estimates(values, ~np.isnan(values))
    assert filled[0, 0, 2].tolist() == pytest.approx([0.85, 0.85, 0.25, 0.25])
    assert filled[0, 0, 0].tolist() == pytest.approx([0.9, 0.9, 0.3, 0.3])


def test_without_noise_two_repeats_are_enough():
    found = run(grid(gap=0.01, noise=0))
    assert (found.state, found.round) == ("certain", 1)
    assert found.asked_DMLR.mean() == 2 / 5
    assert found.judgement is not None
    assert found.judgement.podium == (0, 1, 2)
    assert found.judgement.certainty == 1


def test_complete_grid_is_certain_with_any_noise():
    values = grid(gap=0, noise=0.1)
    found = judge(values, np.ones(values.shape, dtype=bool), 50, seed=0)
    assert found.certainty == 1
    assert not found.reach_DL.any()


def test_race_decides_nothing_before_the_first_repeats():
    values = grid(gap=0.01, noise=0.01)
    values[1, 2, 4, 1] = np.nan
    found = run(values)
    assert (found.state, found.round, found.judgement) == ("running", 1, None)
    lost = np.zeros(values.shape, dtype=bool)
    lost[1, 2, 4, 1] = True  # given up: nobody waits for it
    assert run(values, lost=lost).judgement is not None


def test_round_adds_an_eighth_to_the_close_losses():
    """The last loss is far behind everywhere and gets no further repeat."""
    values = grid(gap=0, noise=0.02, shape=(4, 6, 8, 6))
    values[:, :, 7] -= 0.5
    values[..., 2:] = np.nan
    found = run(values, RaceRules(num_draws=200, level=1))
    assert (found.state, found.round) == ("running", 2)
    added = found.asked_DMLR[..., 2]
    assert added.sum() == 4 * 6 * 8 / 8
    assert not added[:, :, 7].any()
    assert not found.asked_DMLR[..., 3:].any()


def test_the_budget_is_kept():
    for budget in (0.4, 0.43, 0.5, 0.77):
        found = run(grid(gap=0, noise=0.05), RaceRules(level=1, budget=budget))
        assert found.state == "spent"
        assert found.asked_DMLR.sum() == int(budget * found.asked_DMLR.size + 1e-9)


def test_race_with_full_budget_ends_complete_or_certain():
    found = run(grid(gap=0, noise=0.05), RaceRules(num_draws=50, level=1.0))
    assert found.state in ("complete", "certain")


def test_diverged_loss_is_last_and_adds_no_noise():
    values = grid(gap=0.02, noise=0.001)
    finished = np.ones(values.shape, dtype=bool)
    values[:, :, 0], finished[:, :, 0] = 0, False
    found = race(values, finished, np.zeros(values.shape, dtype=bool), FEW)
    assert found.judgement is not None
    assert found.judgement.podium == (1, 2, 3)
    assert found.state == "certain"


def test_one_split_gives_no_certainty():
    values = grid(gap=0.1, noise=0.01)[..., :2]
    values[..., 1] = np.nan
    found = judge(values, ~np.isnan(values), 50, seed=0)
    assert found.certainty is None


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10**6), gap=st.sampled_from([0.0, 0.005, 0.02]))
def test_interrupted_race_makes_the_same_decisions(seed, gap):
    """What is decided follows from the rounds before, not from what else is there, or when."""
    full = grid(gap=gap, noise=0.01, seed=seed, shape=(2, 3, 5, 4))
    whole = run(full)
    random = np.random.default_rng(seed)
    values = np.full(full.shape, np.nan)
    for _ in range(200):
        found = run(values)
        if found.over:
            break
        waiting = np.argwhere(found.asked_DMLR & np.isnan(values))
        for place in random.permutation(waiting)[: random.integers(1, len(waiting) + 1)]:
            values[tuple(place)] = full[tuple(place)]
    assert found.state == whole.state
    assert (found.asked_DMLR == whole.asked_DMLR).all()
    assert found.judgement is not None
    assert whole.judgement is not None
    assert found.judgement.podium == whole.judgement.podium
    assert found.judgement.certainty == whole.judgement.certainty
    # Repeats are taken in order, so that losses share splits.
    assert (np.diff(found.asked_DMLR.astype(int), axis=3) <= 0).all()


def test_race_finds_the_published_podium():
    """One of the draws of tests/benchmarks/race.py, which has thousands."""
    full = published_dice()
    found = run(full, RaceRules(num_draws=200))
    assert found.judgement is not None
    assert set(found.judgement.podium) == set(podiums(full.mean(axis=3)[None])[0].tolist())
    assert found.asked_DMLR.mean() < 0.9


def test_spared_trials_are_estimated_and_not_missing():
    trials = published_trials(num_repeats=3)
    complete = rank(scored(trials))
    gone = (trials["loss"] == "Focal") & (trials["repeat"] == 2)
    spared = frozenset(
        (str(row["dataset"]), str(row["model"]), str(row["loss"]), int(row["repeat"]))
        for row in trials[gone].to_dict("records")
    )
    expected = ExpectedTrials(num_repeats=3, spared=spared, race="Raced: 72 trials were spared.")
    ranking = rank(scored(trials[~gone], expected=expected))
    assert ranking.notes[0] == "Raced: 72 trials were spared."
    assert ranking.by_dataset is not None
    assert complete.by_dataset is not None
    assert not ranking.by_dataset.provisional
    assert ranking.by_dataset.coverage.present == ranking.by_dataset.coverage.expected == 2088
    assert dict(ranking.by_dataset.points) == dict(complete.by_dataset.points)
    assert rank(
        scored(trials[~gone], expected=ExpectedTrials(num_repeats=3))
    ).by_dataset.provisional  # type: ignore[union-attr]
    assert scored(trials[~gone], expected=expected).spared_DMLR.sum() == 72
    assert not scored(trials[~gone]).spared_DMLR.any()
