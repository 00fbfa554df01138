"""A simulated training with known best parameters, for tests of `podium tune`."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

from orchestrator.engine.ray_cluster import ClusterOptions
from orchestrator.engine.ray_tune import RayTuneEngine
from orchestrator.progress import JsonProgress
from orchestrator.tune.search import Search, SearchReport, open_search, run_search
from tests.integration.sweeps import write_config
from workers.contract import (
    Checkpoints,
    EpochRecord,
    OnEpoch,
    Runtime,
    TrialResult,
    TrialSpec,
    TrialStatus,
)

BEST = {"gamma": 2.0, "learning_rate": 0.002}
"""Parameters of the focal loss with the highest simulated validation Dice, 0.9."""


def made_up_trainer(
    spec: TrialSpec, runtime: Runtime, checkpoints: Checkpoints, on_epoch: OnEpoch
) -> TrialResult:
    """Ends at a Dice that falls with the distance from `BEST`; each epoch adds a fraction of it."""
    gamma = spec.loss.parameters.get("gamma", BEST["gamma"])
    assert isinstance(gamma, float)
    off_rate = math.log10(spec.learning_rate / BEST["learning_rate"])
    top = 0.9 - 0.02 * (gamma - BEST["gamma"]) ** 2 - 0.2 * off_rate**2
    num_epochs = spec.training.max_epochs
    records = []
    for epoch in range(1, num_epochs + 1):
        dice = max(0.0, top) * epoch / num_epochs
        record = EpochRecord(
            epoch=epoch, train_loss=1 - dice, val_dice=dice, val_iou=dice / 2, seconds=0.5
        )
        records.append(record)
        on_epoch(record)
    return TrialResult(
        status=TrialStatus.COMPLETED,
        metrics={},
        num_epochs=num_epochs,
        best_epoch=num_epochs,
        best_val_dice=records[-1].val_dice,
        epochs=tuple(records),
        images=(),
        predictions=(),
        num_train_images=9,
        num_val_images=3,
        num_test_images=0,
        train_seconds=0.5 * num_epochs,
        peak_memory_bytes=1,
        device="none",
        host="here",
        gpu_ids=(),
        num_threads=1,
        dataset_fingerprint="made up",
        code_version="0",
        versions={},
    )


def search_config(folder: Path, **changes: Any) -> Path:
    """Writes a configuration of one search of the focal loss."""
    base: dict[str, Any] = {
        "losses": ["focal"],
        "repeats": 1,
        "tune": {"trials": 12, "random_trials": 5},
    }
    return write_config(folder, **(base | changes))


def run(
    config: Path, *overrides: str, trainer: Any = made_up_trainer, cpus: float = 1, **options: Any
) -> tuple[Search, SearchReport | None]:
    """Runs a search on the session's cluster; `cpus=2` lets one candidate run at a time."""
    search = open_search(config, overrides)
    engine = RayTuneEngine(ClusterOptions(trial_cpus=cpus, **options), trainer=trainer)
    return search, run_search(search, engine, progress=JsonProgress(io.StringIO()))
