"""Every learning curve of the sweep, packed small enough to travel inside the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from orchestrator.report.data import Sweep, column

MAX_POINTS = 1_000_000
"""Points kept, about 2 MB; a larger sweep keeps every second epoch, every third, and so on."""

LEVELS = 4094
"""A Dice is kept as one of 0 … 4094, two base64 digits: steps of 0.00025, a tenth of a pixel."""

MISSING = 4095
"""Stands for an epoch without a finite Dice."""

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PAIRS = np.array([a + b for a in _DIGITS for b in _DIGITS], dtype="S2")


def curve_data(sweep: Sweep) -> dict[str, Any]:
    """Returns the curves as the page's script reads them; empty without any.

    `trials` holds one list a trial: positions of dataset, model and loss in the grid (null where
    the sweep lacks that axis), repeat, 1 if it diverged, number of epochs, and the packed
    validation Dice at epochs 1, 1 + step, 1 + 2 step, … and the last one.
    """
    epochs = sweep.epochs
    if epochs.empty or not {"val_dice", "trial_id", "epoch"} <= set(epochs.columns):
        return {}
    step = -(-len(epochs) // MAX_POINTS)
    ids, starts, lengths = _runs(epochs["trial_id"].to_numpy())
    values = epochs["val_dice"].to_numpy(dtype=float)
    numbers = epochs["epoch"].to_numpy(dtype=int)
    packed = {
        trial_id: (
            int(numbers[start : start + length].max()),
            pack(numbers[start : start + length], values[start : start + length], step),
        )
        for trial_id, start, length in zip(ids, starts, lengths, strict=True)
    }
    return {"step": step, "levels": LEVELS, "trials": _trials(sweep, packed)}


def pack(epochs: np.ndarray, dice: np.ndarray, step: int) -> str:
    """Returns one trial's curve as text, two characters an epoch kept.

    Args:
        epochs: Numbers of the epochs from 1, in any order, shape (E,).
        dice: Validation Dice, shape (E,).
        step: Distance of the epochs kept; the last one always is.
    """
    last = int(epochs.max())
    codes = np.full(last, MISSING)
    finite = np.isfinite(dice)
    codes[epochs[finite] - 1] = np.rint(np.clip(dice[finite], 0, 1) * LEVELS).astype(int)
    kept = codes[[*range(0, last - 1, step), last - 1]]
    return bytes(_PAIRS[kept].tobytes()).decode("ascii")


def _runs(ids: np.ndarray) -> tuple[list[str], list[int], list[int]]:
    """Returns the trial ids of a sorted table, where their rows start and how many there are."""
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(ids)]]))
    return [str(ids[start]) for start in starts], starts.tolist(), lengths.tolist()


def _trials(sweep: Sweep, packed: dict[str, tuple[int, str]]) -> list[Any]:
    trials = sweep.trials
    positions = {
        axis: {label: index for index, label in enumerate(sweep.grid.blocks(axis))}
        for axis in ("dataset", "model", "loss")
    }
    columns = [column(trials, axis).tolist() for axis in positions]
    rows: list[Any] = []
    for trial_id, *labels, repeat, status in zip(
        column(trials, "trial_id"), *columns, column(trials, "repeat"), column(trials, "status"),
        strict=True,
    ):  # fmt: skip
        if str(trial_id) in packed:
            places = [
                known.get(str(label))
                for known, label in zip(positions.values(), labels, strict=True)
            ]
            number = 0 if pd.isna(repeat) else int(repeat)
            rows.append([*places, number, int(status == "diverged"), *packed[str(trial_id)]])
    return rows
