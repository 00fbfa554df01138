"""Certainty of a table: the estimands, then properties, then what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.ranking.certainty import certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.images import ImageScores
from orchestrator.ranking.pairs import Interval
from orchestrator.ranking.sentences import headline
from tests.unit.orchestrator.ranking.frames import scored
from workers.contract import UserError

LOSSES = ("a", "b", "c", "d")


def cells(values_DMLR: np.ndarray, losses: tuple[str, ...] = LOSSES) -> pd.DataFrame:
    """Makes a table of (datasets, models, losses, repeats); NaN is a missing trial."""
    rows = [
        (f"d{d}", f"m{m}", losses[loss], r, values_DMLR[d, m, loss, r])
        for d, m, loss, r in np.ndindex(values_DMLR.shape)
        if not np.isnan(values_DMLR[d, m, loss, r])
    ]
    return pd.DataFrame(rows, columns=["dataset", "model", "loss", "repeat", "dice"])


def noise(seed: int = 0, shape: tuple[int, ...] = (3, 4, 4, 3)) -> np.ndarray:
    return 0.7 + 0.01 * np.random.default_rng(seed).standard_normal(shape)


def drawn(table: pd.DataFrame, **options: Any) -> Any:
    """Returns the certainty with few draws; `Any`, because a test knows what is not None."""
    return certainty(scored(table), **{"num_draws": 100, **options})


def plain(values_DMLR: np.ndarray, **options: Any) -> Any:
    """Returns the certainty without draws."""
    return drawn(cells(values_DMLR), **{"num_draws": 0, **options})


def test_clear_winner_is_alone_in_its_group():
    values = noise()
    values[:, :, 1] += 0.1
    values[:, :, 3] -= 0.1
    found = drawn(cells(values), num_draws=400)
    assert (found.group, found.worse[-1]) == (("b",), "d")
    assert found.p_all_equal < 1e-3
    assert found.best_set == ("b",)
    assert found.p_best["b"] == pytest.approx(1, abs=0.01)
    assert sum(found.p_best.values()) == pytest.approx(1)
    for axis, points in (("dataset", 9), ("model", 12), ("both", 21)):
        podium = found.podiums[axis]
        leader = podium.losses[0]
        assert (leader.loss, leader.points, leader.place) == ("b", points, 1)
        assert leader.p_first > 0.98
        assert leader.p_first_again == 1
        assert podium.null is not None
        assert podium.null.leader_points == points
        assert found.draws[axis].shape == (400, 4)
    assert len(found.pairs) == 6
    assert {pair.first for pair in found.pairs[:3]} == {"b"}


def test_identical_losses_have_equal_chances():
    values = noise()
    values[:, :, 2] = values[:, :, 1]
    found = drawn(cells(values), num_draws=2000)
    equal = next(pair for pair in found.pairs if {pair.first, pair.second} == {"b", "c"})
    assert (equal.difference, equal.p_tukey, equal.effect_size) == (0, 1, None)
    chances = [found.podiums["both"].of(loss).p_podium for loss in ("b", "c")]
    assert chances[0] == pytest.approx(chances[1], abs=0.04)


def test_chances_sum_to_the_places_of_a_podium():
    values = noise(1)
    values[0, 1, 2] = np.nan
    values[1, 0, 0, 1] = np.nan
    found = drawn(cells(values))
    for podium in found.podiums.values():
        assert sum(loss.p_first for loss in podium.losses) == pytest.approx(1)
        assert sum(loss.p_podium for loss in podium.losses) == pytest.approx(3)
        assert sum(loss.p_first_again for loss in podium.losses) == pytest.approx(1)


def test_order_of_rows_changes_nothing_and_seed_draws_anew():
    table = cells(noise(2))
    shuffled = table.sample(frac=1, random_state=0)
    found = drawn(table)
    assert drawn(shuffled) == found
    assert drawn(table, seed=1).podiums != found.podiums


def test_lower_is_better_turns_every_sign():
    values = noise(3)
    high = plain(values)
    table = cells(0.0 - values + 1).rename(columns={"dice": "hd95"})
    low: Any = certainty(scored(table, metric="hd95"), num_draws=0)
    assert low.group == high.group
    for ours, theirs in zip(low.pairs, high.pairs, strict=True):
        assert (ours.first, ours.p_tukey) == (theirs.first, pytest.approx(theirs.p_tukey))
        assert ours.difference == pytest.approx(-theirs.difference)
        assert ours.interval.low == pytest.approx(-theirs.interval.high)


def test_equivalence_is_the_interval_of_two_one_sided_tests():
    values = noise(4)
    pair = plain(values, level=0.9).pairs[0]  # 1 - 2 alpha
    assert isinstance(pair.interval, Interval)
    edge = max(-pair.interval.low, pair.interval.high)
    assert plain(values, margin=edge + 1e-9).pairs[0].equivalent
    assert not plain(values, margin=edge - 1e-9).pairs[0].equivalent


@pytest.mark.parametrize(
    ("shape", "estimand", "axes_with_null"),
    [
        ((3, 4, 4, 1), "other", {"dataset", "model", "both"}),
        ((3, 1, 4, 1), "other_datasets", {"dataset"}),
        ((1, 4, 4, 2), "other_networks", {"model"}),
        ((1, 1, 4, 2), "these", set()),
    ],
)
def test_estimand_is_the_widest_that_the_table_allows(shape, estimand, axes_with_null):
    found = drawn(cells(noise(0, shape)))
    assert (found.estimand, found.refusal) == (estimand, None)
    assert {axis for axis, podium in found.podiums.items() if podium.null} == axes_with_null
    assert bool(found.p_best) == (estimand != "these")
    repeated = shape[3] > 1
    assert all((x.p_first_again is not None) == repeated for x in found.podiums["both"].losses)


def test_narrower_estimand_on_request():
    values = noise(5)
    shared = plain(values, about="other_datasets")
    alone = drawn(cells(values.mean(axis=(1, 3))[:, None, :, None]), num_draws=0)
    assert [x.interval for x in shared.pairs] == [x.interval for x in alone.pairs]
    found = drawn(cells(values), about="other_datasets")
    assert found.podiums["dataset"].refusal is None
    assert found.podiums["model"].refusal == (
        "With other datasets, these networks only the podium by dataset has chances "
        "(possible: --about other)."
    )
    assert found.podiums["model"].losses[0].p_first is None
    here = drawn(cells(values), about="these")
    assert (here.p_best, here.draws) == ({}, {})
    assert str(here.podiums["model"].refusal).endswith("these networks (possible: --about other).")
    alone = drawn(cells(noise(5, (1, 1, 4, 2))), about="these")
    assert str(alone.podiums["model"].refusal).endswith("about these datasets, these networks.")
    assert here.podiums["dataset"].losses[0].p_first is None


@pytest.mark.parametrize(
    ("shape", "about", "words"),
    [
        ((1, 4, 4, 2), "other", "two datasets or more. Possible: other networks, this dataset"),
        ((3, 1, 4, 1), "other", "two models or more. Possible: other datasets, these networks"),
        ((1, 1, 4, 1), "other", "two datasets and two models or more."),
        ((3, 4, 4, 2), "other_networks", "one dataset. Possible: other datasets and networks"),
        ((3, 4, 4, 1), "these", "two repeats or more. Possible: other datasets and networks"),
        ((1, 4, 4, 1), None, "two repeats or more"),
        ((3, 4, 4, 1), "images", "no scores of single test images"),
        ((3, 3, 1, 2), None, "there is only one loss"),
    ],
)
def test_estimand_that_the_table_does_not_allow_is_refused(shape, about, words):
    found = plain(noise(0, shape), about=about)
    assert words in str(found.refusal)
    assert (found.pairs, found.podiums, found.num_draws) == ((), {}, 0)
    if about:
        assert ESTIMANDS[about] in str(found.refusal) or shape[2] == 1
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["refusal"]


def test_losses_with_the_same_difference_everywhere_are_refused():
    values = np.zeros((3, 3, 4, 2)) + np.array([0.1, 0.2, 0.3, 0.4])[:, None]
    assert "No interval and no test is possible" in str(plain(values).refusal)


def test_missing_combinations_are_estimated_and_noted():
    values = noise(6, (4, 5, 4, 2))
    whole = plain(values)
    values[1, 2, 0] = values[2, 2, 3] = np.nan
    found = plain(values)
    assert "2 combinations of 80 without a trial" in found.notes[0]
    for pair in found.pairs:
        same = next(x for x in whole.pairs if {x.first, x.second} == {pair.first, pair.second})
        assert abs(pair.difference) == pytest.approx(abs(same.difference), abs=0.004)
        assert pair.num_combinations == 20 - ("a" in (pair.first, pair.second)) - (
            "d" in (pair.first, pair.second)
        )


def test_missing_hard_combinations_are_refused():
    values = noise(7, (4, 5, 4, 2)) + np.linspace(0, 0.2, 5)[:, None, None]
    values[:3, 0, 1] = np.nan  # loss b fails on the hardest model, not on every dataset
    assert "the combinations that b lacks are the hard ones" in str(plain(values).refusal)
    values[3, 0, 1] = np.nan
    assert "b has no trial of model m0" in str(plain(values).refusal)
    one = noise(7, (1, 4, 4, 3))
    one[0, :, 2, 1] = np.nan
    assert "c has no trial of repeat 1" in str(plain(one, about="other_networks").refusal)


def test_large_group_is_a_number_and_a_small_one_is_named():
    def answer(group: int, worse: int) -> str:
        found = replace(plain(noise()), group=tuple("abcdefghijkl"[:group]), worse=("z",) * worse)
        return headline(found)

    assert answer(12, 5).endswith(
        ", 12 of 17 losses cannot be told apart from the best; the other 5 losses are worse."
    )
    assert answer(2, 5).endswith(
        ", a and b cannot be told apart from the best; the other 5 losses are worse."
    )


def test_many_missing_combinations_are_refused():
    values = noise(8, (5, 5, 4, 1))
    values[np.random.default_rng(0).random(values.shape) < 0.4] = np.nan
    assert "at most 20 % may" in str(plain(values).refusal)


def test_diverged_trials_are_also_ranked_as_missing():
    values = noise(9, (4, 5, 4, 3))
    values[:, :, 1] += 0.03
    table = cells(values)
    table["status"] = "completed"
    table.loc[(table["loss"] == "b") & (table.index % 29 == 0), "status"] = "diverged"
    found = drawn(table, num_draws=400)
    number = int((table["status"] == "diverged").sum())
    assert dict(found.num_diverged) == {"b": number}
    assert found.if_missing is not None
    assert found.if_missing.group == ("b",)
    assert found.if_missing.podiums["both"].losses[0].loss == "b"
    assert (found.if_missing.num_draws, found.if_missing.if_missing) == (0, None)
    # A trial in 29 that counts 0 hides a lead of 0.03.
    pairs = {frozenset((pair.first, pair.second)): pair for pair in found.pairs}
    as_missing = found.if_missing.pairs[0]
    assert as_missing.p_tukey < 0.001
    assert pairs[frozenset((as_missing.first, as_missing.second))].p_tukey > 0.5
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["if_missing"]["group"] == ["b"]


def test_loss_whose_trials_all_diverged_is_last():
    table = cells(noise(2))
    table["status"] = np.where(table["loss"] == "b", "diverged", "completed")
    found = drawn(table)
    assert found.podiums["both"].of("b").p_podium == pytest.approx(0, abs=0.02)
    assert "b" not in found.group
    assert [pair.second for pair in found.if_missing.pairs].count("b") == 0
    everything = drawn(table.assign(status="diverged"))
    assert "no trial finished" in str(everything.refusal)


def test_cell_without_a_finished_trial_costs_what_others_do():
    table = cells(100 * noise(5)).rename(columns={"dice": "hd95"})
    lost = (table["dataset"] == "d0") & (table["model"] == "m1")
    lost |= (table["loss"] == "a") & (table["repeat"] == 0)
    table["status"] = np.where(lost, "diverged", "completed")

    def chances(level: float) -> Any:
        moved = table.assign(hd95=(table["hd95"] + level).where(~lost))
        found = certainty(scored(moved, metric="hd95"), num_draws=400)
        return found.p_best, found.podiums["both"].losses

    assert chances(0) == chances(1000)  # distances that are all larger by 1000


def test_other_images_use_the_scores_of_images():
    values = noise(3, (1, 1, 2, 2))
    image_scores = np.array([[[0.5, 0.7, 0.6]] * 2, [[0.6, 0.6, 0.9]] * 2])
    images = ImageScores(
        metric="dice",
        datasets=("d0",),
        losses=("a", "b"),
        scores_DLRN=(image_scores,),
        units_DN=(np.arange(3),),
        tested_per_trained_D=np.array([0.25]),
    )
    pair = plain(values, about="images", images=images).pairs[0]
    assert (pair.first, pair.difference) == ("b", pytest.approx(0.1))
    # Differences 0.1, -0.1, 0.3 of three images: variance 0.04 / 3, t with 2 degrees of freedom.
    assert pair.interval.high - 0.1 == pytest.approx(4.302653 * np.sqrt(0.04 / 3), rel=1e-5)
    assert pair.corrected is not None
    one = replace(images, scores_DLRN=(image_scores[:, :1],))
    found = plain(values, about="images", images=one)
    assert found.pairs[0].corrected is None
    assert "One repeat does not show the noise of training." in found.notes
    for other, words in (
        (replace(images, metric="iou"), "the scores of single images are of iou, not of dice"),
        (replace(images, datasets=("d7",)), "no trial is of dataset d7"),
    ):
        assert words in str(plain(values, about="images", images=other).refusal)


def test_table_without_models():
    table = pd.DataFrame(
        [("v", "a", 0.9), ("v", "b", 0.8), ("w", "a", 0.7), ("w", "b", 0.5)],
        columns=["dataset", "loss", "dice"],
    )
    found = drawn(table)
    assert list(found.podiums) == ["dataset"]
    assert found.podiums["dataset"].of("nothing") is None
    # Differences 0.1 and 0.2: t with one degree of freedom.
    assert found.pairs[0].interval.high == pytest.approx(0.15 + 12.7062 * 0.05, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_draws": 5}, "--draws 5: draw from 100 to 100,000 sweeps, or 0 for none"),
        ({"level": 1.0}, "--level 1: give a fraction"),
        ({"alpha": 0.0}, "--alpha 0: give a fraction"),
        ({"margin": -0.1}, r"--margin -0.1: give 0 or a positive"),
        ({"seed": -1}, "--seed -1"),
        ({"about": "fold"}, "--about fold: no such estimand; known: other, other-datasets"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        certainty(scored(cells(noise())), **options)
