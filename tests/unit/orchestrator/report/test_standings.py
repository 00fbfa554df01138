"""The steps of the podium, the table of points, and tuned losses beside their defaults."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestrator.ranking.rank import rank
from orchestrator.report.data import Sampling
from orchestrator.report.page import render_page
from orchestrator.report.sections import compute_sections
from orchestrator.report.standings import podium_steps, shown_metrics, standings
from orchestrator.wording import decimal_text, points_text
from tests.published import published_trials
from tests.unit.orchestrator.ranking.frames import scored
from tests.unit.orchestrator.report.factory import Tables, arranged, make_data

GOLDEN = Path(__file__).parent / "golden" / "points.txt"


def steps(*rows):
    table = pd.DataFrame(rows, columns=["dataset", "loss", "dice"])
    podium = rank(scored(table)).by_dataset
    assert podium is not None
    return [(step.place, step.losses, step.points) for step in podium_steps(podium)]


def test_three_steps():
    assert steps(("w", "a", 0.3), ("w", "b", 0.2), ("w", "c", 0.1), ("w", "d", 0.05)) == [
        (1, ("a",), 3),
        (2, ("b",), 2),
        (3, ("c",), 1),
    ]


def test_a_shared_step_leaves_the_next_one_empty():
    tied = [("v", "a", 0.2), ("v", "b", 0.1), ("w", "a", 0.1), ("w", "b", 0.2)]
    assert steps(*tied) == [(1, ("a", "b"), 5), (2, (), None), (3, (), None)]


def test_losses_without_points_or_mean_are_on_no_step():
    assert steps(("w", "a", 1)) == [(1, ("a",), 3), (2, (), None), (3, (), None)]
    assert steps(("w", "a", 0), ("w", "b", 0)) == [(1, (), None), (2, (), None), (3, (), None)]


def test_means_of_every_metric_follow_the_ranking_rule():
    data = make_data(2, 2, 3, 2, predictions=False)
    sweep = arranged(data)
    means = data.trials.groupby("loss")[["dice", "iou"]].mean()
    for standing in standings(sweep):
        assert standing.metrics["dice"] == pytest.approx(means.loc[standing.loss, "dice"])
        assert standing.metrics["iou"] == pytest.approx(means.loc[standing.loss, "iou"])
    assert shown_metrics(sweep) == ("dice", "iou", "recall", "precision")


def test_a_metric_missing_in_some_trials_is_not_shown():
    data = make_data(1, 1, 2, 1, predictions=False)
    data.trials.loc[0, "recall"] = None
    assert "recall" not in shown_metrics(arranged(data))
    table = pd.DataFrame([("w", "a", 0.5)], columns=["dataset", "loss", "dice"])
    (standing,) = standings(arranged(Tables(trials=table)))
    assert standing.metrics == {"dice": 0.5}


def test_golden_points():
    sweep = arranged(make_data(6, 2, 4, 2, predictions=False))
    lines = [f"{'loss':<10}{'by dataset':>16}{'by model':>16}{'dice':>10}"]
    for standing in standings(sweep):
        cells = [
            f"{row.place}{'=' if row.joint else ''}: {points_text(row.points)}"
            for row in standing.rows.values()
        ]
        title = sweep.title("loss", standing.loss)
        dice = decimal_text(standing.metrics["dice"])
        lines.append(f"{title:<10}{cells[0]:>16}{cells[1]:>16}{dice:>10}")
    assert "\n".join(lines) + "\n" == GOLDEN.read_text()


FEW = Sampling(num_draws=100)


def sweep_of(renamed):
    trials = published_trials(num_repeats=2).drop(columns="spec")  # it has the labels too
    trials["loss"] = trials["loss"].replace(renamed)
    return arranged(Tables(trials=trials, sampling=FEW))


def test_a_tuned_loss_is_compared_with_its_default():
    sections = compute_sections(sweep_of({"IoUFocal": "Focal (tuned)", "BCE": "nobody (tuned)"}))
    (pair,) = sections.tuned
    assert (pair.default, pair.tuned) == ("Focal", "Focal (tuned)")
    assert pair.default_mean == pytest.approx(0.7685, abs=1e-4)
    assert pair.tuned_mean == pytest.approx(0.7938, abs=1e-4)
    assert pair.compared is not None
    assert pair.compared.difference == pytest.approx(0.0253, abs=2e-4)
    assert pair.compared.interval is not None
    assert pair.compared.interval.low > 0.005
    page = render_page(sections, {})
    assert "Tuned and default" in page
    assert page.index(">+0.025") < page.index('id="heat"')


def test_a_grid_without_tuned_losses_has_no_such_section():
    sections = compute_sections(sweep_of({}))
    assert sections.tuned == ()
    assert "Tuned and default" not in render_page(sections, {})
