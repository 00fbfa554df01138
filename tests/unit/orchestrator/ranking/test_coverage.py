"""Podiums of diverged, missing and unequal trials."""

from __future__ import annotations

import pytest

from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.podium import podium_rows
from orchestrator.ranking.rank import rank
from tests.unit.orchestrator.ranking.frames import TRIALS, frame, scored
from workers.contract import UserError


def test_unequal_repeats_weigh_models_equally_and_are_noted():
    table = frame("""
        dataset model loss repeat dice
        wound   unet  iou  0      0.9
        wound   unet  iou  1      0.9
        wound   unet  iou  2      0.9
        wound   fcn   iou  0      0.1
    """)
    ranking = rank(scored(table))
    assert ranking.by_dataset is not None
    assert ranking.by_dataset.means["iou"] == pytest.approx(0.5)  # the mean over rows is 0.7
    assert "from 1 to 3 repeats" in ranking.notes[0]
    assert (ranking.by_dataset.coverage.present, ranking.by_dataset.coverage.expected) == (4, 6)
    assert ranking.by_dataset.provisional


def test_diverged_trial_counts_as_zero_and_is_noted():
    table = frame("dataset loss dice status\nw iou 0.5 completed\nw bce nan diverged")
    ranking = rank(scored(table))
    assert ranking.by_dataset is not None
    assert ranking.by_dataset.blocks["w"].means == {"iou": 0.5, "bce": 0.0}
    assert ranking.by_dataset.points == {"iou": 3, "bce": 0}
    assert ranking.notes == ("1 diverged trial counted as 0.",)


def test_coverage_against_a_grid():
    grid = {
        "datasets": ["wound", "isic"],
        "models": [{"name": "unet", "label": "unet"}, {"name": "fcn"}],
        "losses": ["bce", "iou", "dice"],
        "repeats": 2,
    }
    podium = rank(scored(frame(TRIALS), expected=grid)).by_dataset
    assert podium is not None
    assert podium.provisional
    assert podium.coverage.to_json() == {"present": 8, "expected": 24}
    assert podium.blocks["isic"].coverage.to_json() == {"present": 0, "expected": 12}
    assert podium.blocks["isic"].points == {}
    assert podium.points == {"iou": 3, "bce": 2, "dice": 0}
    assert podium.means["dice"] is None
    assert podium_rows(podium)[-1].loss == "dice"


def test_coverage_of_a_number_of_repeats_and_a_small_grid():
    by_number = rank(scored(frame(TRIALS), expected=ExpectedTrials(num_repeats=5))).by_dataset
    assert by_number is not None
    assert by_number.coverage.expected == 20
    small = ExpectedTrials(datasets=("wound",), models=("unet",), losses=("iou",), num_repeats=2)
    assert scored(frame(TRIALS), expected=small).expected.num_expected() == 8


@pytest.mark.parametrize(
    ("document", "message"),
    [({"repeats": 0}, r"repeats: 0 is not"), ({"datasets": "wound"}, r"datasets: 'wound' is not")],
)
def test_a_wrong_grid_document(document, message):
    with pytest.raises(UserError, match=message):
        ExpectedTrials.from_document(document)


def test_repeats_may_be_a_list():
    assert ExpectedTrials.from_document({"repeats": [0, 1, 2]}).num_repeats == 3


def test_diverged_counts_as_worst_and_missing_does_not():
    whole = """
        dataset model loss repeat dice status
        w       unet  iou  0      0.9  completed
        w       unet  iou  1      0.9  completed
        w       unet  bce  0      0.8  completed
        w       unet  bce  1      0.8  completed
    """
    diverged = whole.replace("iou  1      0.9  completed", "iou  1      nan  diverged")
    hole = "\n".join(line for line in whole.splitlines() if "iou  1" not in line)
    lost, missing = rank(scored(frame(diverged))).by_dataset, rank(scored(frame(hole))).by_dataset
    assert lost is not None
    assert missing is not None
    assert lost.blocks["w"].means == {"bce": 0.8, "iou": 0.45}
    assert not lost.provisional
    assert missing.blocks["w"].means == {"iou": 0.9, "bce": 0.8}
    assert missing.provisional
    assert missing.coverage.to_json() == {"present": 3, "expected": 4}


def test_podium_is_empty_if_all_trials_diverged():
    table = frame("dataset loss dice status\nw iou nan diverged\nw bce nan diverged")
    podium = rank(scored(table)).by_dataset
    assert podium is not None
    assert podium.points == {"bce": 0, "iou": 0}
    assert podium.blocks["w"].diverged == ("bce", "iou")
    assert set(podium.leaders.values()) == {()}
    assert [row.num_first for row in podium_rows(podium)] == [0, 0]


def test_diverged_trial_of_a_negative_metric_is_lowest():
    table = frame(
        "dataset loss dice status\nw a -0.5 completed\nw b -0.7 completed\nw c nan diverged"
    )
    podium = rank(scored(table.rename(columns={"dice": "score"}), metric="score")).by_dataset
    assert podium is not None
    assert podium.blocks["w"].means == {"a": -0.5, "b": -0.7, "c": -0.7}
    assert podium.points == {"a": 3, "b": 2, "c": 0}


def test_provisional_below_a_given_fraction():
    table = frame(TRIALS).iloc[1:]  # 7 of 8 trials
    for share, provisional in ((1.0, True), (0.9, True), (0.875, False), (0.0, False)):
        podium = rank(scored(table), provisional_below=share).by_dataset
        assert podium is not None
        assert podium.provisional is provisional
    with pytest.raises(UserError, match="--provisional-below 2: give a fraction"):
        rank(scored(table), provisional_below=2)


UNEVEN = """
    dataset model loss dice
    w       easy  a    0.90
    w       hard  a    0.50
    w       easy  b    0.88
    w       easy  c    0.80
    w       hard  c    0.60
"""


def test_common_cells_ignore_a_missing_hard_cell():
    available, common = rank(scored(frame(UNEVEN))), rank(scored(frame(UNEVEN)), compare="common")
    assert available.by_dataset is not None
    assert common.by_dataset is not None
    assert list(available.by_dataset.points) == ["b", "a", "c"]  # 0.88 against 0.70 and 0.70
    assert list(common.by_dataset.points) == ["a", "b", "c"]  # 0.90, 0.88, 0.80 on easy
    assert "1 of 2 cells (dataset x model) lack a loss" in available.notes[0]
    assert "the lead goes to a by dataset" in available.notes[0]
    assert "only on cells that all of them have" in common.notes[0]


def test_losses_without_a_common_cell_get_no_points():
    table = frame("dataset model loss dice\nw x a 0.9\nw y b 0.8")
    podium = rank(scored(table), compare="common").by_dataset
    assert podium is not None
    assert podium.points == {"a": 0, "b": 0}
