"""The packed curves: read back they are the curves, whatever their gaps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report import curves as module
from orchestrator.report.curves import LEVELS, MISSING, curve_data, pack
from tests.unit.orchestrator.report.factory import Tables, arranged, make_data

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def unpack(text, last, step):
    """Does what the page's script does."""
    codes = [
        DIGITS.index(high) * 64 + DIGITS.index(low)
        for high, low in zip(text[::2], text[1::2], strict=True)
    ]
    epochs = [1 + step * index for index in range(len(codes) - 1)] + [last]
    return {
        epoch: code / LEVELS for epoch, code in zip(epochs, codes, strict=True) if code != MISSING
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
