"""Learning curves: means over trials of different length, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.curves import MAX_PANELS, CurvePanel, curve_panels
from orchestrator.report.drawing import HEIGHT, WIDTH, draw_panel
from tests.unit.orchestrator.report.factory import Tables, arranged, make_data


def panel_of(histories, *, status=None) -> CurvePanel:
    """One dataset, one loss, one trial a history of validation Dice."""
    status = status or ["completed"] * len(histories)
    keys = {"dataset": "w", "model": "u", "loss": "a"}
    trials = pd.DataFrame(
        [
            {"trial_id": f"t{i}", **keys, "repeat": i, "dice": 0.5, "status": state}
            for i, state in enumerate(status)
        ]
    )
    epochs = pd.DataFrame(
        [
            {"trial_id": f"t{i}", **keys, "repeat": i, "epoch": e + 1, "val_dice": value}
            for i, history in enumerate(histories)
            for e, value in enumerate(history)
        ]
    )
    (panel,) = curve_panels(arranged(Tables(trials=trials, epochs=epochs)))
    return panel


def test_a_stopped_trial_keeps_its_best_value():
    panel = panel_of([[0.2, 0.6, 0.4], [0.4, 0.4, 0.4, 0.8]])
    (curve,) = panel.curves
    assert curve.mean == pytest.approx([0.3, 0.5, 0.4, (0.6 + 0.8) / 2])
    assert curve.low == pytest.approx([0.2, 0.4, 0.4, 0.6])
    assert curve.high == pytest.approx([0.4, 0.6, 0.4, 0.8])
    assert (panel.num_epochs, panel.num_trials) == (4, 2)


def test_a_diverged_trial_falls_to_zero():
    panel = panel_of([[0.5, 0.5, 0.5], [0.5]], status=["completed", "diverged"])
    assert panel.curves[0].mean == pytest.approx([0.5, 0.25, 0.25])


def test_a_value_that_is_missing_is_not_drawn_as_nan():
    panel = panel_of([[0.5, float("nan"), 0.7]])
    assert np.isfinite(panel.curves[0].mean).all()


def test_limits_hold_the_means_and_are_round():
    assert panel_of([[0.123, 0.871]]).dice_range() == (0.1, 0.9)
    assert panel_of([[0.871, 0.882]]).dice_range() == (0.87, 0.89)
    low, high = panel_of([[0.5]]).dice_range()
    assert low < 0.5 < high
    assert panel_of([[0.0, 0.0]]).dice_range() == (0.0, 0.01)


def test_a_panel_a_dataset_and_not_too_many():
    panels = curve_panels(arranged(make_data(14, 1, 2, 1, num_epochs=3, predictions=False)))
    assert len(panels) == MAX_PANELS
    assert [curve.loss for curve in panels[0].curves] == ["bce", "iou"]


def test_no_epochs_no_panels():
    data = make_data(1, 1, 1, 1, predictions=False)
    assert curve_panels(arranged(Tables(trials=data.trials))) == []


@pytest.mark.parametrize("history", [[0.5], [0.1, 0.9], list(np.linspace(0, 1, 200))])
def test_drawings_stay_inside_and_ticks_are_few(history):
    drawn = draw_panel(panel_of([history]))
    numbers = drawn.curves[0].line.replace("M", "").replace("L", " ").split()
    xs, ys = [float(n) for n in numbers[0::2]], [float(n) for n in numbers[1::2]]
    assert 0 <= min(xs) <= max(xs) <= WIDTH
    assert 0 <= min(ys) <= max(ys) <= HEIGHT
    assert 2 <= len(drawn.y_ticks) <= 7
    assert 1 <= len(drawn.x_ticks) <= 7
    assert len({tick.text for tick in drawn.y_ticks}) == len(drawn.y_ticks)


def test_bands_only_where_they_do_not_hide_the_lines():
    few = curve_panels(arranged(make_data(1, 1, 2, 2, num_epochs=3, predictions=False)))[0]
    many = curve_panels(arranged(make_data(1, 1, 3, 2, num_epochs=3, predictions=False)))[0]
    assert all(curve.band for curve in draw_panel(few).curves)
    assert not any(curve.band for curve in draw_panel(many).curves)
