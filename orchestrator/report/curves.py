"""Learning curves: mean and spread of the validation Dice of each loss, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestrator.report.data import Sweep, column

MAX_PANELS = 12
"""Panels shown; a page of seventy small panels answers nothing."""

MAX_BANDS = 2
"""With more losses than this the bands would hide the lines, and are not drawn."""


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
    """All losses on one dataset (or on one model where no dataset is known)."""

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


def curve_panels(sweep: Sweep) -> list[CurvePanel]:
    """Returns one panel a dataset that has curves, at most `MAX_PANELS`.

    A trial that has stopped keeps the best value it had, which is that of the weights it was
    tested with; one that diverged falls to 0, which is what it counts as.
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
