"""A full grid of 3,600 trials with the published margins gives back both published tables."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.ranking.rank import rank
from orchestrator.store.schema import TRIALS
from tests.published import (
    PAPER,
    grid_document,
    published_trials,
    with_diverged,
    with_missing,
    with_ties,
    with_winner,
    write_store,
)
from tests.unit.orchestrator.ranking.frames import scored


@pytest.fixture(scope="module")
def trials() -> pd.DataFrame:
    return published_trials()


def test_published_trials_are_a_full_grid_of_the_store(trials):
    assert len(trials) == 6 * 12 * 10 * 5
    assert list(trials) == list(TRIALS.column_names)
    assert trials["trial_id"].nunique() == 3600
    metrics = trials[["dice", "iou", "recall", "precision"]]
    assert metrics.min().min() > 0
    assert metrics.max().max() < 1


@pytest.mark.parametrize("axis", ["dataset", "model"])
@pytest.mark.parametrize("ties", ["split", "min", "max", "order"])
def test_both_published_tables_and_points(trials, axis, ties):
    podium = rank(scored(trials, expected=grid_document(trials)), ties=ties).podium(axis)
    assert podium is not None
    table = pd.read_csv(PAPER / f"fig2_dice_by_{axis}.csv")
    for row in table.itertuples():
        block = getattr(row, axis)
        assert round(podium.blocks[block].means[str(row.loss)], 4) == row.dice
    points = pd.read_csv(PAPER / f"fig2_score_by_{axis}.csv").set_index("loss")["score"]
    assert podium.points == points.to_dict()
    assert podium.num_ties == 0
    assert not podium.provisional


def test_the_published_overall_means(trials):
    ranking = rank(scored(trials))
    assert ranking.both is not None
    stated = {"DiceBCE": 0.7940, "IoUFocal": 0.7938, "BCE": 0.7937, "IoU": 0.7931, "Focal": 0.7685}
    means = {loss: round(value or 0, 4) for loss, value in ranking.both.means.items()}
    assert {loss: means[loss] for loss in stated} == stated
    by_iou = rank(scored(trials, metric="iou")).both
    assert by_iou is not None
    overall = sorted(by_iou.means, key=lambda loss: -(by_iou.means[loss] or 0))
    assert overall[:4] == ["IoU", "IoUFocal", "IoUDice", "DiceBCE"]


def test_the_variations(trials):
    assert len(with_missing(trials, 10)) == 3590
    diverged = with_diverged(trials, 7)
    assert (diverged["status"] == "diverged").sum() == diverged["dice"].isna().sum() == 7
    winner = rank(scored(with_winner(trials, "Focal", by=0.1))).by_dataset
    assert winner is not None
    assert winner.points["Focal"] == 18
    tied = rank(scored(with_ties(trials, "IoU", "Dice"))).by_dataset
    assert tied is not None
    assert tied.points["IoU"] == tied.points["Dice"]


def test_as_a_store(trials, tmp_path: Path):
    store = write_store(with_diverged(with_missing(trials, 5), 3), tmp_path)
    read = store.read("trials")
    assert len(read) == 3595
    assert len(store.read("failures")) == 3
    assert json.loads(read["spec"].iloc[0])["loss"]["label"] == read["loss"].iloc[0]
    podium = rank(scored(read, expected=store.grids()[-1])).by_dataset
    assert podium is not None
    assert podium.coverage.to_json() == {"present": 3595, "expected": 3600}
