"""Costs of a sweep: time, device hours and memory of each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from orchestrator.report.data import RankedSweep, column


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Costs of the trials of one model.

    Attributes:
        title: Of the model; `All trials` for the total.
        num_trials: Trials with a time.
        median_seconds: Wall time of the training of one trial.
        median_epochs: Epochs of one trial; None if unknown.
        epoch_seconds: Median over trials of the seconds of one epoch; None if unknown.
        total_seconds: Sum over the trials.
        gpu_hours: Sum of time multiplied by GPUs, of the trials that had one.
        cpu_hours: Sum of time multiplied by threads, of the trials without a GPU.
        peak_memory_bytes: The largest; None if unknown.
        share: Fraction of the total time of the sweep, 0 to 1.
    """

    title: str
    num_trials: int
    median_seconds: float
    median_epochs: float | None
    epoch_seconds: float | None
    total_seconds: float
    gpu_hours: float
    cpu_hours: float
    peak_memory_bytes: float | None
    share: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The models in the order of the grid, and their total (None without any time)."""

    models: tuple[Cost, ...]
    total: Cost | None


def costs(sweep: RankedSweep) -> Costs:
    """Returns the costs of each model that has a trial with a time."""
    trials = _timed(sweep)
    if trials.empty:
        return Costs(models=(), total=None)
    all_seconds = float(trials["seconds"].sum())
    labels = sweep.grid.models if "model" in trials else ()
    groups = {label: trials[trials["model"] == label] for label in labels}
    return Costs(
        models=tuple(
            _cost(sweep.title("model", label), rows, all_seconds)
            for label, rows in groups.items()
            if not rows.empty
        ),
        total=_cost("All trials", trials, all_seconds),
    )


def _timed(sweep: RankedSweep) -> pd.DataFrame:
    """Returns the trials that have a time, with plain number columns."""
    trials = sweep.trials
    threads = _numbers(trials, "num_threads").fillna(1.0)
    gpus = column(trials, "gpu_ids").map(_num_gpus).astype(float)
    gpus = gpus * _gpu_share(sweep.document)
    frame = pd.DataFrame(
        {
            "seconds": _numbers(trials, "train_seconds"),
            "epochs": _numbers(trials, "num_epochs"),
            "memory": _numbers(trials, "peak_memory_bytes"),
            "gpus": gpus,
            "threads": threads.where(gpus == 0, 0.0),
        }
    )
    if "model" in trials:
        frame["model"] = trials["model"]
    return frame[frame["seconds"].notna()]


def _num_gpus(ids: object) -> int:
    text = "" if ids is None or ids is pd.NA or ids != ids else str(ids)
    return len([part for part in text.split(",") if part.strip()])


def _gpu_share(document: Mapping[str, object] | None) -> float:
    """Returns the GPU share of a trial: less than 1 if several trials shared a GPU."""
    config = (document or {}).get("config")
    resources = config.get("resources") if isinstance(config, Mapping) else None
    gpus = resources.get("gpus") if isinstance(resources, Mapping) else None
    return float(gpus) if isinstance(gpus, int | float) and 0 < gpus < 1 else 1.0


def _cost(title: str, rows: pd.DataFrame, all_seconds: float) -> Cost:
    seconds = rows["seconds"]
    total = float(seconds.sum())
    pace = (seconds / rows["epochs"]).where(rows["epochs"] > 0)
    return Cost(
        title=title,
        num_trials=len(rows),
        median_seconds=float(seconds.median()),
        median_epochs=_known(rows["epochs"].median()),
        epoch_seconds=_known(pace.median()),
        total_seconds=total,
        gpu_hours=float((seconds * rows["gpus"]).sum()) / 3600,
        cpu_hours=float((seconds * rows["threads"]).sum()) / 3600,
        peak_memory_bytes=_known(rows["memory"].max()),
        share=total / all_seconds if all_seconds else 0.0,
    )


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _numbers(table: pd.DataFrame, name: str) -> pd.Series[float]:
    return pd.to_numeric(column(table, name), errors="coerce").astype(float)
