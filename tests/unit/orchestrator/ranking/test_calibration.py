"""The small form of tests/benchmarks/calibration.py: bounds that the replaced methods fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.ranking.choices import Estimand
from tests.benchmarks.calibration import (
    ALL,
    REFUSED,
    Mixture,
    Shape,
    chances,
    images,
    intervals,
    null_of_points,
    old,
)
from tests.benchmarks.calibration_measures import tables
from tests.simulated import WORLDS, draw_images

SHAPE: Shape = (3, 4, 10, 3)
COVERAGE = 0.93
REJECTED = 0.1
SAID = 0.08
"""Bounds for 95 %, 5 % and a difference of 0: 100 sweeps have standard errors near 2 %."""


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("about", "shape", "world"),
    [
        ("other", SHAPE, "large"),
        ("other", (2, 12, 3, 1), "model"),
        ("other_datasets", (4, 1, 5, 2), "split"),
        ("other_networks", (1, 4, 5, 3), "published"),
        ("these", (3, 2, 4, 3), "split"),
    ],
)
def test_intervals_cover_the_truth_of_their_estimand(
    about: Estimand, shape: Shape, world: str, random: np.random.Generator
) -> None:
    (row,) = intervals(about, shape, WORLDS[world], 0.0, 100, random)
    assert row["refused"] == 0
    assert row["coverage"] >= COVERAGE
    assert row["best_in_group"] >= COVERAGE
    assert row.get("all_equal_rejected", 0) <= REJECTED


def test_a_better_loss_is_found(random: np.random.Generator) -> None:
    (row,) = intervals("other", (6, 12, 3, 5), WORLDS["published"], 0.006, 50, random)
    assert row["best_found"] > 0.8


@pytest.mark.parametrize(("about", "shape"), REFUSED)
def test_estimands_beyond_the_sweep_are_refused(
    about: Estimand, shape: Shape, random: np.random.Generator
) -> None:
    assert intervals(about, shape, WORLDS["published"], 0.0, 1, random) == [{"refused": 1}]


@pytest.mark.parametrize("design", [(1, 1, 2, 1, 420), (2, 1, 3, 3, 420)])
def test_intervals_cover_the_population_of_images(
    design: tuple[int, ...], random: np.random.Generator
) -> None:
    (row,) = images({"shape": design}, 100, random)
    assert row["coverage"] >= COVERAGE


def test_choice_of_training_images_has_its_size(random: np.random.Generator) -> None:
    drawn = draw_images(
        np.zeros(400), (1, 1, 400, 1), random, pool=400, tested=0.5, training_sd=0.05, choice=2.0
    )
    # A training 0.05, the choice 0.1, and the mean of 200 images 0.0055.
    assert drawn.scores_DLRN[0].mean(axis=(1, 2)).std() == pytest.approx(0.112, rel=0.1)


def test_points_of_equal_losses_are_significant_in_5_per_cent(random: np.random.Generator) -> None:
    (row,) = null_of_points(SHAPE, WORLDS["large"], 0.0, 100, 60, random)
    assert max(row.values()) <= REJECTED


def test_probabilities_come_true(random: np.random.Generator) -> None:
    rows = chances(SHAPE, ALL, 100, 100, random)
    assert len(rows) == 17  # four probabilities and an interval by podium, and two of the means
    for row in rows:
        assert off(row) <= SAID, row["probability"]


def off(row: dict[str, Any]) -> float:
    """Returns by how much a probability is too high; an interval may cover more than it says."""
    wide = row["probability"].startswith(("points_interval", "set"))
    return float(row["said"] - row["true"] if wide else abs(row["said"] - row["true"]))


def test_replaced_methods_fail_the_same_bounds(random: np.random.Generator) -> None:
    (row,) = old((6, 1, 5, 3), Mixture(worlds=("published",)), 30, random, num_draws=60)
    assert row["coverage"] < COVERAGE
    (row,) = old(SHAPE, ALL, 30, random, num_draws=60)
    assert row["all_equal_rejected"] > REJECTED
    assert off(row | {"probability": "p_first"}) > SAID


def test_page_has_the_tables_of_the_kept_designs() -> None:
    docs = Path(__file__).parents[4] / "docs"
    lines = (docs / "calibration.jsonl").read_text("utf-8").splitlines()
    page = (docs / "calibration.md").read_text("utf-8")
    assert page.endswith(tables([json.loads(line) for line in lines]) + "\n")
