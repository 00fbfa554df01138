"""The statistics of a report, and the critical-difference diagram."""

from __future__ import annotations

import pytest
from orchestrator.ranking.significance import CriticalDifference

from orchestrator.report.answer import answer
from orchestrator.report.data import Sampling
from orchestrator.report.statistics import DIAGRAM_WIDTH, compute_statistics, draw_critical
from tests.published import grid_document, published_trials, with_winner
from tests.unit.orchestrator.report.factory import Tables, arranged

FEW = Sampling(num_samples=200)


@pytest.fixture(scope="module")
def published():
    trials = published_trials(num_repeats=2)
    return arranged(Tables(trials=trials, grid=grid_document(trials, 2), sampling=FEW))


def test_a_turned_pair_has_the_opposite_numbers(published):
    found = compute_statistics(published)
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


def test_an_uncertain_lead_is_stated(published):
    said = answer(published, compute_statistics(published).certainties)
    assert "under resampling another loss would lead with" in said.sentence
    assert said.unsure is None


def test_a_planted_winner_is_sure():
    trials = with_winner(published_trials(num_repeats=2), "Dice", by=0.2)
    sweep = arranged(Tables(trials=trials, sampling=FEW))
    sentence = answer(sweep, compute_statistics(sweep).certainties).sentence
    assert sentence.startswith("Dice leads both by dataset (18 points")
    assert sentence.endswith(
        ", and under resampling it would lead again with >99 % probability by dataset and >99 % "
        "probability by model."
    )


def test_only_resampled_axes_are_claimed():
    trials = published_trials(num_repeats=1)
    one = trials[trials["dataset"] == "Wound"]
    sweep = arranged(Tables(trials=one, sampling=FEW))
    sentence = answer(sweep, compute_statistics(sweep).certainties).sentence
    assert "under resampling of models alone another loss would lead with" in sentence


def test_one_loss_has_no_statistics():
    trials = published_trials(num_repeats=1)
    one = trials[(trials["dataset"] == "Wound") & (trials["model"] == "FCN")]
    sweep = arranged(Tables(trials=one, sampling=FEW))
    found = compute_statistics(sweep)
    said = answer(sweep, found.certainties)
    assert said.unsure
    assert "probability" not in said.sentence
    assert found.significance.friedman is None
    assert found.significance.refusals


FOUND = CriticalDifference(
    difference=0.8,
    mean_ranks={"a": 1.5, "b": 2.0, "c": 3.5, "d": 3.0},
    groups=(("a", "b"), ("d", "c")),
    alpha=0.05,
    num_blocks=12,
)


def test_positions_by_hand():
    drawn = draw_critical(FOUND, {"a": "Alpha"})
    assert [(label.full, label.rank, label.anchor) for label in drawn.labels] == [
        ("Alpha", 1.5, "end"), ("b", 2.0, "end"), ("d", 3.0, "start"), ("c", 3.5, "start"),
    ]  # fmt: skip
    unit = (drawn.right - drawn.left) / 3
    assert [tick.text for tick in drawn.ticks] == ["1", "2", "3", "4"]
    assert drawn.ticks[1].x == pytest.approx(drawn.left + unit, abs=0.1)
    assert drawn.ruler[1] - drawn.ruler[0] == pytest.approx(0.8 * unit, abs=0.1)
    first, second = drawn.bars
    assert first.x1 + 4 == pytest.approx(drawn.left + 0.5 * unit, abs=0.1)
    assert second.x2 - 4 == pytest.approx(drawn.left + 2.5 * unit, abs=0.1)
    assert second.y > first.y > drawn.axis_y
    # The outermost of each side are highest, so that no line crosses a name.
    left, right = drawn.labels[:2], drawn.labels[2:]
    assert left[0].y < left[1].y
    assert right[1].y < right[0].y
    assert all(label.y < drawn.height for label in drawn.labels)


def test_long_names_and_wide_differences_stay_inside():
    found = CriticalDifference(
        difference=9.0, mean_ranks={"x" * 60: 1.0, "y": 2.0}, groups=(), alpha=0.05, num_blocks=3
    )
    drawn = draw_critical(found, {})
    assert len(drawn.labels[0].text) == 22
    assert drawn.labels[0].full == "x" * 60
    assert drawn.ruler[1] <= DIAGRAM_WIDTH
