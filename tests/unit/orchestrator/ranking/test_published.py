"""A full grid of 3,600 trials with the published margins gives back both published tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.ranking.places import points_of
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


def published_means(axis: str) -> pd.DataFrame:
    """Returns the published means, a row per block and a column per loss."""
    table = pd.read_csv(PAPER / f"fig2_dice_by_{axis}.csv")
    return table.pivot_table(index=axis, columns="loss", values="dice")


def variances(losses: list[str]) -> tuple[list[float], float]:
    """Returns the variance of one loss over the blocks of each axis / blocks, and their freedom."""
    found, squares = [], 0.0
    for axis in ("dataset", "model"):
        means = published_means(axis)[losses].to_numpy()
        rest = means - means.mean(axis=1, keepdims=True)
        rest = rest - rest.mean(axis=0)
        freedom = (len(means) - 1) * (len(losses) - 1)
        found.append(float((rest**2).sum()) / freedom / len(means))
        squares += found[-1] ** 2 / freedom
    return found, sum(found) ** 2 / squares


def test_published_tables_read_again():
    """The five sentences of docs/ranking.md."""
    overall = (published_means("dataset").mean() + published_means("model").mean()) / 2
    losses = sorted(overall.index, key=lambda loss: -overall[loss])
    own, freedom = variances(losses)
    enough = stats.studentized_range.ppf(0.95, 10, freedom) * np.sqrt(sum(own))
    assert enough == pytest.approx(0.011, abs=0.0005)
    assert overall.max() - overall["Focal"] == pytest.approx(0.025, abs=0.0005)
    nine = [loss for loss in losses if loss != "Focal"]
    own, freedom = variances(nine)
    f = overall[nine].var() / sum(own)
    assert stats.f.sf(f, 8, freedom) == pytest.approx(0.87, abs=0.005)
    largest = float(overall[nine].max() - overall[nine].min())
    widest = largest + stats.studentized_range.ppf(0.95, 9, freedom) * np.sqrt(sum(own))
    assert largest == pytest.approx(0.003, abs=0.0005)
    assert widest == pytest.approx(0.009, abs=0.0005)
    random = np.random.default_rng(0)
    for number, points, least in ((6, 8, 0.71), (12, 16, 0.24)):
        drawn = random.normal(size=(4000, number, 9))  # nine equal losses; the scale is irrelevant
        leader = points_of(drawn, ties="split", listed=range(9)).sum(axis=1).max(axis=1)
        assert (leader >= points).mean() == pytest.approx(least, abs=0.025)
