"""Learning curves: means of the losses, their panels on the page, and the packed single trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.report.data import RankedSweep, column

MAX_PANELS = 12
"""Largest number of panels, so that the page stays readable."""

MAX_BANDS = 2
"""With more losses than this, no bands are drawn, because they would hide the lines."""

WIDTH, HEIGHT = 340, 210
"""Size of a panel on the page, in SVG units."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 8, 24

MAX_POINTS = 1_000_000
"""Points on the page, about 2 MB; a larger sweep has every second epoch, every third, and so on."""

LEVELS = 4094
"""A Dice is written as one of 0 … 4094, two base64 digits: steps of 0.00025, a tenth of a pixel."""

NO_DICE = 4095
"""The code of an epoch without a finite Dice."""

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PAIRS = np.array([a + b for a in _DIGITS for b in _DIGITS], dtype="S2")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One loss on one dataset.

    Attributes:
        mean: Mean validation Dice over models and repeats, (E,), epoch 1 first.
        low: Mean minus one standard deviation, (E,), not under 0.
        high: Mean plus one standard deviation, (E,), not over 1.
    """

    loss: str
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    num_trials: int


@dataclass(frozen=True, kw_only=True)
class CurvePanel:
    """All losses on one dataset, or on one model if no dataset is known."""

    axis: str
    label: str
    curves: tuple[Curve, ...]

    @property
    def num_epochs(self) -> int:
        """Length of the longest training."""
        return max(len(curve.mean) for curve in self.curves)

    @property
    def num_trials(self) -> int:
        """Trials behind all curves."""
        return sum(curve.num_trials for curve in self.curves)

    def dice_range(self) -> tuple[float, float]:
        """Returns round limits that hold every mean: multiples of 0.05 (0.01 when narrow)."""
        lowest = min(float(curve.mean.min()) for curve in self.curves)
        highest = max(float(curve.mean.max()) for curve in self.curves)
        step = 0.05 if highest - lowest > 0.05 else 0.01
        low = max(np.floor(lowest / step + 1e-9) * step, 0.0)
        high = min(np.ceil(highest / step - 1e-9) * step, 1.0)
        if high <= low:
            low, high = max(low - step, 0.0), min(high + step, 1.0)
        return round(float(low), 2), round(float(high), 2)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One mark on an axis: its position in the drawing and its text."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class DrawnCurve:
    """One line as SVG path data; `band` is empty if it would hide the lines or has no width."""

    loss: str
    line: str
    band: str
    last: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class DrawnCurvePanel:
    """One panel of learning curves in a drawing of `WIDTH` by `HEIGHT`."""

    axis: str
    label: str
    num_trials: int
    curves: tuple[DrawnCurve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = HEIGHT - _BOTTOM


def curve_panels(sweep: RankedSweep) -> list[CurvePanel]:
    """Returns one panel per dataset that has curves, at most `MAX_PANELS`.

    A trial that has stopped keeps its best value, which belongs to the weights that were tested.
    A diverged trial falls to 0, because it counts as 0.
    """
    epochs = sweep.epochs
    if epochs.empty or "val_dice" not in epochs:
        return []
    axis = sweep.main_podium.axis
    stopped = dict(
        zip(column(sweep.trials, "trial_id"), column(sweep.trials, "status"), strict=True)
    )
    panels: list[CurvePanel] = []
    for label in sweep.main_podium.blocks:
        rows = epochs[epochs[axis] == label]
        if len(panels) < MAX_PANELS and not rows.empty:
            length = int(rows["epoch"].max())
            curves = tuple(
                _curve(loss, rows[rows["loss"] == loss], length, stopped)
                for loss in sweep.losses
                if (rows["loss"] == loss).any()
            )
            panels.append(CurvePanel(axis=axis, label=label, curves=curves))
    return panels


def _curve(loss: str, rows: pd.DataFrame, num_epochs: int, status: dict[object, object]) -> Curve:
    trials = [
        _history(trial["epoch"], trial["val_dice"], num_epochs, status.get(trial_id) == "diverged")
        for trial_id, trial in rows.groupby("trial_id", sort=True)
    ]
    values = np.stack(trials)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    return Curve(
        loss=loss,
        mean=mean,
        low=np.clip(mean - spread, 0, 1),
        high=np.clip(mean + spread, 0, 1),
        num_trials=len(trials),
    )


def _history(
    epochs: pd.Series[int], dice: pd.Series[float], num_epochs: int, diverged: bool
) -> np.ndarray:
    """Returns one trial's validation Dice, (num_epochs,), held after its last epoch."""
    values = np.full(num_epochs, np.nan)
    values[epochs.to_numpy(dtype=int) - 1] = dice.to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    held = 0.0 if diverged or not len(finite) else float(finite.max())
    last = int(epochs.max())
    values[last:] = held
    return np.asarray(np.nan_to_num(values, nan=held))


def draw_panel(panel: CurvePanel) -> DrawnCurvePanel:
    """Lays out one panel of learning curves."""
    low, high = panel.dice_range()
    last = max(panel.num_epochs, 2)

    def place(epoch: float, value: float) -> tuple[float, float]:
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * (epoch - 1) / (last - 1)
        share = (min(max(value, low), high) - low) / (high - low)
        return round(x, 1), round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 1)

    with_bands = len(panel.curves) <= MAX_BANDS
    curves = []
    for curve in panel.curves:
        line = [place(index + 1, value) for index, value in enumerate(curve.mean.tolist())]
        upper = [place(index + 1, value) for index, value in enumerate(curve.high.tolist())]
        lower = [place(index + 1, value) for index, value in enumerate(curve.low.tolist())]
        band = (
            _path([*upper, *reversed(lower)]) + "Z" if with_bands and curve.num_trials > 1 else ""
        )
        curves.append(DrawnCurve(loss=curve.loss, line=_path(line), band=band, last=line[-1]))
    return DrawnCurvePanel(
        axis=panel.axis,
        label=panel.label,
        num_trials=panel.num_trials,
        curves=tuple(curves),
        x_ticks=tuple(Tick(at=place(x, low)[0], text=f"{x:g}") for x in _epoch_ticks(last)),
        y_ticks=tuple(Tick(at=place(1, y)[1], text=f"{y:.2f}") for y in _dice_ticks(low, high)),
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _epoch_ticks(last: int) -> list[int]:
    step = _round_step(last / 4)
    return [1, *range(step, last + 1, step)] if step > 1 else list(range(1, last + 1))


def _dice_ticks(low: float, high: float) -> list[float]:
    step = _round_step((high - low) * 100 / 5)
    first = math.ceil(round(low * 100) / step) * step
    return [tick / 100 for tick in range(first, round(high * 100) + 1, step)]


def _round_step(wanted: float) -> int:
    """Returns the least of 1, 2, 5, 10, 20, … that is at least `wanted`."""
    scale = 1
    while True:
        for digit in (1, 2, 5):
            if digit * scale >= wanted:
                return digit * scale
        scale *= 10


def curve_data(sweep: RankedSweep) -> dict[str, Any]:
    """Returns the curves as the page's script reads them; empty without any.

    `trials` has one list per trial, without keys, because there may be thousands: positions of
    dataset, model and loss in the grid (null if the sweep lacks that axis), repeat, 1 if it
    diverged, number of epochs, and the packed validation Dice at epochs 1, 1 + step,
    1 + 2 step, … and the last one.
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
    """Returns the curve of one trial as text, two characters per kept epoch.

    Args:
        epochs: Numbers of the epochs from 1, in any order, shape (E,).
        dice: Validation Dice, shape (E,).
        step: Distance of the kept epochs; the last epoch is always kept.
    """
    last = int(epochs.max())
    codes = np.full(last, NO_DICE)
    finite = np.isfinite(dice)
    codes[epochs[finite] - 1] = np.rint(np.clip(dice[finite], 0, 1) * LEVELS).astype(int)
    kept = codes[[*range(0, last - 1, step), last - 1]]
    return bytes(_PAIRS[kept].tobytes()).decode("ascii")


def _runs(ids: np.ndarray) -> tuple[list[str], list[int], list[int]]:
    """Returns the trial ids of a sorted table, where their rows start and how many there are."""
    starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(ids)]]))
    return [str(ids[start]) for start in starts], starts.tolist(), lengths.tolist()


def _trials(sweep: RankedSweep, packed: dict[str, tuple[int, str]]) -> list[Any]:
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
