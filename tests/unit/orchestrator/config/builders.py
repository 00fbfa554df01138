"""The smallest configuration, written to a file, with changes."""

from __future__ import annotations

from pathlib import Path

from orchestrator.config import SweepConfig, load_config

MINIMAL = """\
datasets: [synthetic-skin]
models: [unet]
losses: [iou]
results: results
"""


def write(folder: Path, text: str = MINIMAL) -> Path:
    """Writes `sweep.yaml` and returns its path."""
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, *overrides: str, text: str = MINIMAL) -> SweepConfig:
    """Writes and loads a configuration."""
    return load_config(write(folder, text), overrides)
