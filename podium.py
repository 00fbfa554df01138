"""Podium from Python: plan, run, rank and report sweeps for segmentation research.

    import podium

    sweep = podium.open_sweep("configs/quickstart.yaml")
    podium.run_sweep(sweep)
    podium.rank(podium.read_trials("results/quickstart"))

The commands of the command line call the same functions. Importing this module is fast: a name
imports its libraries when it is first used. A problem that the user can fix raises `UserError`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.config import SweepConfig as SweepConfig
    from orchestrator.config import load_config as load_config
    from orchestrator.frames import certainty as certainty
    from orchestrator.frames import compact as compact
    from orchestrator.frames import quarantine as quarantine
    from orchestrator.frames import query as query
    from orchestrator.frames import rank as rank
    from orchestrator.frames import read_candidates as read_candidates
    from orchestrator.frames import read_epochs as read_epochs
    from orchestrator.frames import read_failures as read_failures
    from orchestrator.frames import read_grid as read_grid
    from orchestrator.frames import read_images as read_images
    from orchestrator.frames import read_predictions as read_predictions
    from orchestrator.frames import read_trials as read_trials
    from orchestrator.frames import significance as significance
    from orchestrator.frames import verify as verify
    from orchestrator.sweep import Sweep as Sweep
    from orchestrator.sweep import open_results as open_results
    from orchestrator.sweep import open_sweep as open_sweep
    from orchestrator.sweep import run_sweep as run_sweep
    from workers.contract import UserError as UserError
    from workers.losses import build_loss as build_loss
    from workers.models import build_model as build_model

_MODULES = {
    "orchestrator.config": (
        "SweepConfig",
        "load_config",
    ),
    "orchestrator.frames": (
        "certainty",
        "compact",
        "query",
        "quarantine",
        "rank",
        "read_candidates",
        "read_epochs",
        "read_failures",
        "read_grid",
        "read_images",
        "read_predictions",
        "read_trials",
        "significance",
        "verify",
    ),
    "orchestrator.sweep": (
        "Sweep",
        "open_results",
        "open_sweep",
        "run_sweep",
    ),
    "workers.contract": ("UserError",),
    "workers.losses": ("build_loss",),
    "workers.models": ("build_model",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
