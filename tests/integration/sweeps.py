"""Small sweeps for the tests: a configuration file, a silent display, frames to compare."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from orchestrator.engine.base import Engine, EngineReport
from orchestrator.engine.inline import InlineEngine
from orchestrator.plan.planner import Plan
from orchestrator.progress import JsonProgress
from orchestrator.run import run_sweep
from orchestrator.store import Store
from orchestrator.sweep import open_sweep
from workers.contract import FailureClass

MEASURED = ["train_seconds", "peak_memory_bytes", "committed_at", "seconds"]
"""Columns of measured cost; every other column must repeat bit for bit."""


def write_config(folder: Path, **changes: Any) -> Path:
    """Writes a configuration of four trials of about 1 s each; `changes` replace whole keys."""
    document = {
        "name": "tiny",
        "datasets": [{"name": "synthetic-skin", "parameters": {"num_images": 15}}],
        "models": [{"name": "unet", "alias": "unet-4", "parameters": {"width": 4}}],
        "losses": ["dice", "bce"],
        "repeats": 2,
        "data": {"image_size": 32, "cache": str(folder / "cache")},
        "training": {"max_epochs": 2, "patience": 2, "batch_size": 4},
        "runtime": {"checkpoint_interval_seconds": 0, "example_images": 1},
        "results": str(folder / "results"),
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def run(
    config: Path,
    *overrides: str,
    engine: Engine | None = None,
    retry: Sequence[FailureClass] = (),
) -> tuple[EngineReport, Plan]:
    """Runs a configuration in this process."""
    sweep = open_sweep(config, overrides, retry)
    ended = run_sweep(
        sweep, engine or InlineEngine(), JsonProgress(io.StringIO()), on_notes=lambda _: None
    )
    return ended.report, ended.plan


def tables(results: Path | str) -> dict[str, pd.DataFrame]:
    """Returns all tables without the columns of measured cost."""
    store = Store(str(results))
    frames = {name: store.read(name) for name in ("trials", "epochs", "images", "predictions")}
    return {
        name: frame.drop(columns=[c for c in MEASURED if c in frame])
        for name, frame in frames.items()
    }


def assert_same_tables(one: Path | str, other: Path | str) -> None:
    """Asserts that two stores have the same numbers, bit for bit."""
    expected, found = tables(one), tables(other)
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(found[name], frame, check_exact=True)


def write_pictures(root: Path, label: str, *, num: int = 15, seed: int = 0) -> Path:
    """Writes a dataset `folder` of that alias: noise with a bright square, and the square."""
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (root / label / part).mkdir(parents=True, exist_ok=True)
    for number in range(num):
        image = rng.integers(0, 128, (40, 48, 3), dtype=np.uint8)
        mask = np.zeros((40, 48), dtype=np.uint8)
        x, y = rng.integers(4, 24, 2)
        mask[y : y + 12, x : x + 12] = 255
        image[mask > 0] += 100
        Image.fromarray(image).save(root / label / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / label / "masks" / f"{number}.png")
    return root
