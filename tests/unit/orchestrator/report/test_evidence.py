"""How sure: what the page takes from the bootstrap and the tests."""

from __future__ import annotations

import pytest

from orchestrator.report.answer import answer
from orchestrator.report.data import ReportData, Sampling, arrange
from orchestrator.report.evidence import evidence
from tests.published import grid_document, published_trials, with_winner

FEW = Sampling(num_samples=200)


@pytest.fixture(scope="module")
def published():
    trials = published_trials(num_repeats=2)
    return arrange(ReportData(trials=trials, grid=grid_document(trials, 2), sampling=FEW))


def test_a_pair_turned_round_is_the_other_side_of_the_same(published):
    found = evidence(published)
    assert list(found.certainties) == ["dataset", "model", "both"]
    one, other = found.pair("IoUFocal", "Focal"), found.pair("Focal", "IoUFocal")
    assert one is not None
    assert other is not None
    assert one.p_better + other.p_better == pytest.approx(1)
    assert one.difference == -other.difference > 0.02
    assert one.p_better > 0.99
    assert other.p_better_by_margin == 0 < one.p_better_by_margin
    assert one.effect_size is not None
    assert other.effect_size == pytest.approx(-one.effect_size)
    assert found.pair("IoUFocal", "nobody") is None


def test_an_unsure_lead_says_so(published):
    said = answer(published, evidence(published).certainties)
    assert "under resampling another loss would lead with" in said.sentence
    assert said.unsure is None


def test_a_planted_winner_is_sure():
    trials = with_winner(published_trials(num_repeats=2), "Dice", by=0.2)
    sweep = arrange(ReportData(trials=trials, sampling=FEW))
    sentence = answer(sweep, evidence(sweep).certainties).sentence
    assert sentence.startswith("Dice leads both by dataset (18 points")
    assert sentence.endswith(
        ", and under resampling it would lead again with >99 % probability by dataset and >99 % "
        "probability by model."
    )


def test_what_could_not_be_drawn_is_no_part_of_the_claim():
    trials = published_trials(num_repeats=1)
    one = trials[trials["dataset"] == "Wound"]
    sweep = arrange(ReportData(trials=one, sampling=FEW))
    sentence = answer(sweep, evidence(sweep).certainties).sentence
    assert "under resampling of models alone another loss would lead with" in sentence


def test_what_cannot_be_said_is_refused_not_guessed():
    trials = published_trials(num_repeats=1)
    one = trials[(trials["dataset"] == "Wound") & (trials["model"] == "FCN")]
    sweep = arrange(ReportData(trials=one, sampling=FEW))
    found = evidence(sweep)
    said = answer(sweep, found.certainties)
    assert said.unsure
    assert "probability" not in said.sentence
    assert found.significance.friedman is None
    assert found.significance.refusals
