"""Learning curves: their means, their panels, and the packed curves of single trials."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report import curves as module
from orchestrator.report.curves import (
    HEIGHT,
    LEVELS,
    MAX_PANELS,
    NO_DICE,
    WIDTH,
    CurvePanel,
    curve_data,
    curve_panels,
    draw_panel,
    pack,
)
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


DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def unpack(text, last, step):
    """Does what the page's script does."""
    codes = [
        DIGITS.index(high) * 64 + DIGITS.index(low)
        for high, low in zip(text[::2], text[1::2], strict=True)
    ]
    epochs = [1 + step * index for index in range(len(codes) - 1)] + [last]
    return {
        epoch: code / LEVELS for epoch, code in zip(epochs, codes, strict=True) if code != NO_DICE
    }


def test_by_hand():
    text = pack(np.array([1, 2, 4]), np.array([0.0, 1.0, np.nan]), step=1)
    assert text == "AA" + "/+" + "//" + "//"
    assert unpack(text, 4, 1) == {1: 0.0, 2: 1.0}


@given(
    dice=st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=60),
    step=st.integers(1, 7),
)
def test_every_kept_epoch_comes_back(dice, step):
    epochs = np.arange(1, len(dice) + 1)
    found = unpack(pack(epochs, np.array(dice), step), len(dice), step)
    kept = {*range(1, len(dice), step), len(dice)}
    assert set(found) == {epoch for epoch in kept if np.isfinite(dice[epoch - 1])}
    for epoch, value in found.items():
        assert value == pytest.approx(dice[epoch - 1], abs=0.5 / LEVELS)


def test_every_trial_of_the_sweep_is_there():
    data = make_data(2, 2, 3, 2, num_epochs=9, predictions=False)
    sweep = arranged(data)
    found = curve_data(sweep)
    assert found["step"] == 1
    assert len(found["trials"]) == 2 * 2 * 3 * 2
    dataset, model, loss, repeat, diverged, last, text = found["trials"][-1]
    key = {
        "dataset": sweep.grid.datasets[dataset],
        "model": sweep.grid.models[model],
        "loss": sweep.grid.losses[loss],
        "repeat": repeat,
    }
    rows = data.epochs[(data.epochs[list(key)] == list(key.values())).all(axis=1)]
    assert (diverged, last) == (0, rows["epoch"].max())
    expected = dict(zip(rows["epoch"], rows["val_dice"], strict=True))
    assert unpack(text, last, 1) == pytest.approx(expected, abs=1e-3)


def test_a_huge_sweep_keeps_fewer_epochs(monkeypatch):
    monkeypatch.setattr(module, "MAX_POINTS", 40)
    data = make_data(1, 1, 2, 3, num_epochs=24, predictions=False)
    found = curve_data(arranged(data))
    assert found["step"] == -(-len(data.epochs) // 40) > 1
    assert sum(len(trial[-1]) / 2 for trial in found["trials"]) <= 40 + 6


def test_without_curves_there_is_nothing():
    data = make_data(1, 1, 2, 1, num_epochs=2, predictions=False)
    assert curve_data(arranged(dataclasses.replace(data, epochs=data.epochs.iloc[:0]))) == {}
    assert curve_data(arranged(Tables(trials=data.trials))) == {}
