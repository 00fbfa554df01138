"""The statistics of a report: a turned pair, what is drawn, and what the answer says of it."""

from __future__ import annotations

import pytest

from orchestrator.report.answer import answer
from orchestrator.report.data import Sampling
from orchestrator.report.statistics import compute_statistics
from tests.published import grid_document, published_trials, with_winner
from tests.unit.orchestrator.report.factory import Tables, arranged

FEW = Sampling(num_draws=200)


@pytest.fixture(scope="module")
def published():
    trials = published_trials(num_repeats=2)
    return arranged(Tables(trials=trials, grid=grid_document(trials, 2), sampling=FEW))


def test_a_turned_pair_has_the_opposite_numbers(published):
    found = compute_statistics(published)
    one, other = found.pair("IoUFocal", "Focal"), found.pair("Focal", "IoUFocal")
    assert one is not None
    assert other is not None
    assert one.interval is not None is not other.interval
    assert one.simultaneous is not None is not other.simultaneous
    assert one.effect_size is not None is not other.effect_size
    assert one.difference == -other.difference > 0.02
    assert (one.interval.low, one.interval.high) == (-other.interval.high, -other.interval.low)
    assert one.simultaneous.low == -other.simultaneous.high < one.interval.low
    assert one.effect_size == -other.effect_size
    assert one.p_tukey == other.p_tukey
    assert found.pair("IoUFocal", "nobody") is None


def test_a_tie_group_is_the_answer(published):
    found = compute_statistics(published)
    said = answer(published, found.certainty)
    assert said.sentence == (
        "For other datasets and networks, 9 of 10 losses cannot be told apart from the best; Focal "
        "is worse."
    )
    assert said.lead == (
        "IoUFocal and BCE share the lead by dataset with 8 points each; IoUFocal leads by model "
        "with 16 points, ahead of DiceBCE with 11."
    )
    assert said.unsure is None
    assert [drawn.axis for drawn in found.drawn] == ["dataset", "model", "both"]
    assert found.compared[0] == "DiceBCE"
    assert found.compared[-1] == "Focal"


def test_a_planted_winner_is_the_best_loss():
    trials = with_winner(published_trials(num_repeats=2), "Dice", by=0.2)
    sweep = arranged(Tables(trials=trials, sampling=FEW))
    found = compute_statistics(sweep)
    said = answer(sweep, found.certainty)
    assert said.sentence == (
        "For other datasets and networks, Dice is the best loss; each of the other 9 losses is "
        "worse."
    )
    assert found.methods[-1].name == "test, then rank"
    assert found.methods[-1].places["Dice"] == 1
    assert sorted(found.methods[-1].places.values())[1] >= 2


def test_one_dataset_is_named_as_this_dataset():
    trials = published_trials(num_repeats=2)
    sweep = arranged(Tables(trials=trials[trials["dataset"] == "Wound"], sampling=FEW))
    sentence = answer(sweep, compute_statistics(sweep).certainty).sentence
    assert sentence.startswith("For other networks, this dataset, ")


def test_too_little_data_are_refused_and_the_lead_is_said():
    trials = published_trials(num_repeats=1)
    one = trials[(trials["dataset"] == "Wound") & (trials["model"] == "FCN")]
    sweep = arranged(Tables(trials=one, sampling=FEW))
    found = compute_statistics(sweep)
    said = answer(sweep, found.certainty)
    assert said.lead is None
    assert "leads both by dataset (3 points" in said.sentence
    assert said.unsure == found.certainty.refusal
    assert (found.drawn, found.compared) == ((), ())
