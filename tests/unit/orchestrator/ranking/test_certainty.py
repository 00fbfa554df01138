"""The bootstrap: probabilities computed by hand, then properties, then refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ranking import bootstrap
from orchestrator.ranking.certainty import certainties, certainty
from orchestrator.ranking.pairs import effect_size, interval
from tests.unit.orchestrator.ranking.frames import scored
from workers.contract import UserError

LOSSES = ("a", "b", "c", "d")


def cells(values: np.ndarray, losses: tuple[str, ...] = LOSSES) -> pd.DataFrame:
    """Makes a table of (datasets, models, losses, repeats); NaN is a hole."""
    rows = [
        (f"d{d}", f"m{m}", losses[loss], r, values[d, m, loss, r])
        for d, m, loss, r in np.ndindex(values.shape)
        if not np.isnan(values[d, m, loss, r])
    ]
    return pd.DataFrame(rows, columns=["dataset", "model", "loss", "repeat", "dice"])


def test_two_wins_of_three_datasets():
    # a wins two datasets of three, b the third: a leads when at least two draws of three are of
    # its datasets: 3 (2/3)^2 (1/3) + (2/3)^3 = 20/27.
    values = np.array([[0.9, 0.8], [0.9, 0.8], [0.8, 0.9]])[:, None, :, None]
    found = certainty(scored(cells(values)), resample=["dataset"], num_samples=20_000)
    a, b = found.losses
    assert (a.loss, a.points, a.place) == ("a", 8, 1)
    assert a.p_first == pytest.approx(20 / 27, abs=0.01)
    assert b.p_first == pytest.approx(7 / 27, abs=0.01)
    assert (a.p_podium, b.p_podium) == (1, 1)
    assert (a.points_interval.low, a.points_interval.high) == (6, 9)
    assert (a.rank_interval.low, a.rank_interval.high) == (1, 2)
    assert found.resampled == ("dataset",)


def test_joint_winners_share_a_sample():
    # One win each: 1/4 of the samples has a alone, 1/4 b alone, 1/2 both.
    values = np.array([[0.9, 0.8], [0.8, 0.9]])[:, None, :, None]
    found = certainty(scored(cells(values)), resample=["dataset"], num_samples=20_000)
    assert [loss.p_first for loss in found.losses] == pytest.approx([0.5, 0.5], abs=0.02)
    pair = found.pairs[0]
    assert pair.difference == 0
    assert pair.p_better == pytest.approx(0.5, abs=0.02)
    assert pair.p_equivalent == pytest.approx(0.5, abs=0.02)  # the samples with both


def test_drawn_repeats_are_shared_by_models_and_losses():
    # Differences a - b of three repeats: 0.3, -0.1, -0.1. Their mean is above 0 unless the first
    # is never drawn: 1 - (2/3)^3. A second model with the same splits is no further evidence.
    a, b = np.array([0.8, 0.4, 0.4]), np.array([0.5, 0.5, 0.5])
    for num_models in (1, 2):
        values = np.broadcast_to(np.stack([a, b]), (1, num_models, 2, 3))
        found = certainty(scored(cells(values)), resample=["repeat"], num_samples=20_000)
        pair = found.pairs[0]
        assert pair.p_better == pytest.approx(1 - (2 / 3) ** 3, abs=0.01)
        assert pair.difference == pytest.approx(0.1 / 3)


def test_drawn_datasets_draw_repeats_independently():
    # Two datasets, each as above: the sum is above 0 unless neither drew a first repeat.
    a, b = np.array([0.8, 0.4, 0.4]), np.array([0.5, 0.5, 0.5])
    values = np.broadcast_to(np.stack([a, b]), (2, 1, 2, 3))
    # One draw of a first repeat in six: 0.3 - 0.5 = -0.2; two or more: above 0.
    p = 1 - (2 / 3) ** 6 - 6 * (1 / 3) * (2 / 3) ** 5
    found = certainty(scored(cells(values)), resample=["repeat"], num_samples=20_000)
    assert found.pairs[0].p_better == pytest.approx(p, abs=0.01)


def test_effect_size_by_hand():
    assert effect_size([0.1, 0.3]) == pytest.approx(0.2 / np.sqrt(0.02))
    assert effect_size([0.1, float("nan"), 0.3]) == effect_size([0.1, 0.3])
    assert effect_size([0.1]) is None
    assert effect_size([0.1, 0.1]) is None


def test_interval_ends_are_sample_values():
    found = interval(np.arange(1, 101, dtype=float), 0.9)
    assert (found.low, found.high) == (5, 95)


def noise(seed: int, shape: tuple[int, ...] = (3, 4, 4, 3)) -> np.ndarray:
    return 0.7 + 0.01 * np.random.default_rng(seed).standard_normal(shape)


def test_certainty_of_a_clear_winner_and_of_equal_losses():
    values = noise(0)
    values[:, :, 1] += 0.1
    for found in certainties(scored(cells(values)), num_samples=500).values():
        assert found.losses[0].loss == "b"
        assert found.losses[0].p_first == 1
        assert all(pair.p_better_by_margin == 1 for pair in found.pairs if pair.first == "b")
    values[:, :, 2] = values[:, :, 1]
    tied = certainty(scored(cells(values)), num_samples=500)
    assert [tied.losses[0].p_first, tied.losses[1].p_first] == [0.5, 0.5]
    equal = next(pair for pair in tied.pairs if {pair.first, pair.second} == {"b", "c"})
    assert (equal.p_better, equal.p_equivalent, equal.effect_size) == (0.5, 1, None)


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 1000), st.randoms(use_true_random=False), st.booleans())
def test_probabilities_sum_up_in_any_order_of_rows(seed, random, holes):
    values = noise(seed)
    if holes:
        values[0, 1, 2] = np.nan
        values[1, 0, 0, 1] = np.nan
    table = cells(values)
    order = random.sample(range(len(table)), len(table))
    for axis, found in certainties(scored(table), num_samples=100).items():
        assert sum(loss.p_first for loss in found.losses) == pytest.approx(1)
        assert sum(loss.p_podium for loss in found.losses) == pytest.approx(3)
        for pair in found.pairs:
            shares = pair.p_equivalent + pair.p_better_by_margin + pair.p_worse_by_margin
            assert shares == pytest.approx(1)
        assert certainty(scored(table.iloc[order]), axis=axis, num_samples=100) == found


def test_certainty_follows_renamed_losses():
    # Named in reverse, a sample draws the same datasets: only the names change.
    values = noise(3)
    before = certainty(scored(cells(values)), num_samples=300)
    after = certainty(scored(cells(values, losses=("d", "c", "b", "a"))), num_samples=300)
    new = dict(zip("abcd", "dcba", strict=True))
    assert {new[x.loss]: (x.p_first, x.points_interval) for x in before.losses} == {
        x.loss: (x.p_first, x.points_interval) for x in after.losses
    }


def test_certainty_depends_on_the_seed():
    table = cells(noise(5))
    once = certainty(scored(table), num_samples=300, seed=7)
    assert certainty(scored(table), num_samples=300, seed=7) == once
    assert certainty(scored(table), num_samples=300, seed=8) != once


def test_certainty_is_equal_with_any_chunk_size(monkeypatch):
    values = noise(6)
    values[2, 3, 1, 0] = np.nan
    once = certainty(scored(cells(values)), num_samples=300)
    monkeypatch.setattr(bootstrap, "CHUNK_BYTES", 8 * 48 * 7)
    assert certainty(scored(cells(values)), num_samples=300) == once


def test_missing_trials_remove_no_other_cell():
    # a's only trial on the hard model is repeat 0; samples without repeat 0 must not drop that
    # cell from a's mean, or a would seem to win.
    values = np.full((1, 2, 2, 3), np.nan)
    values[0, 0] = [[0.9, 0.9, 0.9], [0.91, 0.91, 0.91]]
    values[0, 1, 0, 0] = 0.2
    values[0, 1, 1] = [0.21, 0.21, 0.21]
    found = certainty(scored(cells(values)), resample=["repeat"], num_samples=200)
    assert [(loss.loss, loss.p_first) for loss in found.losses] == [("b", 1), ("a", 0)]
    assert found.pairs[0].difference == pytest.approx(0.01)


def test_pairs_compare_common_cells_only():
    values = noise(1, (2, 3, 3, 2))
    values[0, 0, 0] = np.nan
    found = certainty(scored(cells(values)), num_samples=200)
    numbers = {frozenset((p.first, p.second)): p.num_combinations for p in found.pairs}
    assert numbers[frozenset("ab")] == 5
    assert numbers[frozenset("bc")] == 6
    apart = cells(noise(1, (2, 1, 2, 2)))
    apart = apart[(apart["dataset"] == "d0") == (apart["loss"] == "a")]
    assert certainty(scored(apart), num_samples=100).pairs == ()


def test_diverged_losses_have_no_points_in_any_sample():
    table = cells(noise(2, (2, 2, 3, 2)))
    table["status"] = np.where(table["loss"] == "b", "diverged", "completed")
    found = certainty(scored(table), num_samples=200)
    lost = found.of("b")
    assert lost is not None
    assert (lost.points_interval.high, lost.p_first, lost.p_podium) == (0, 0, 0)
    assert found.of("nothing") is None


def test_a_table_without_models_or_repeats():
    table = pd.DataFrame(
        [("v", "a", 0.9), ("v", "b", 0.8), ("w", "a", 0.7), ("w", "b", 0.6)],
        columns=["dataset", "loss", "dice"],
    )
    found = certainties(scored(table), num_samples=100)
    assert found["dataset"].resampled == ("dataset",)
    assert found["dataset"].losses[0].p_first == 1
    assert "no podium by model" in str(found["model"].refusal)
    assert "no podium by dataset and model" in str(found["both"].refusal)


@pytest.mark.parametrize(
    ("shape", "drawn", "note"),
    [
        ((1, 3, 3, 2), ("model", "repeat"), "With one dataset"),
        ((3, 1, 3, 2), ("dataset", "repeat"), "With one model"),
        ((3, 3, 3, 1), ("dataset", "model"), "With one repeat"),
    ],
)
def test_axis_with_one_entry_is_not_drawn_but_noted(shape, drawn, note):
    found = certainty(scored(cells(noise(0, shape))), num_samples=100)
    assert found.resampled == drawn
    assert found.refusal is None
    assert note in found.notes[0]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 3, 1, 2), "only one loss"), ((1, 1, 3, 1), "none of the axes to draw from")],
)
def test_too_little_data_gives_a_refusal(shape, message):
    found = certainty(scored(cells(noise(0, shape))), num_samples=100)
    assert message in str(found.refusal)
    assert (found.losses, found.pairs, found.num_samples) == ((), (), 0)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["refusal"]


def test_diverged_trials_alone_give_a_refusal():
    table = cells(noise(0)).assign(status="diverged")
    assert "no trial finished" in str(certainty(scored(table), num_samples=100).refusal)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 5}, "--samples 5: draw from 100 to 100,000"),
        ({"level": 1.0}, "--level 1: give a fraction"),
        ({"margin": -0.1}, r"--margin -0.1: give 0 or a positive"),
        ({"seed": -1}, "--seed -1"),
        ({"resample": ["fold"]}, "--resample fold: name one or several of dataset, model, repeat"),
        ({"resample": []}, "--resample : name one"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        certainty(scored(cells(noise(0))), **options)


def test_turning_a_pair_round_twice_restores_it():
    from orchestrator.ranking.pairs import turn_round

    pair = certainty(scored(cells(noise(4))), num_samples=100).pairs[0]
    turned = turn_round(pair)
    assert turned.difference == -pair.difference
    assert turned.p_better == pytest.approx(1 - pair.p_better)
    assert replace(turn_round(turned), p_better=pair.p_better) == pair
