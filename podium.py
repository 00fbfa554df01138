"""Podium from Python: plan, run, rank and report sweeps for segmentation research.

    import podium

    sweep = podium.open_sweep("configs/quickstart.yaml")
    podium.run_sweep(sweep)
    podium.rank(podium.read_trials("results/quickstart"))

The commands of the command line call the same functions. Importing this module is fast, because a
name imports its libraries when it is first used. A problem that the user can fix is a `UserError`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.config import SweepConfig as SweepConfig
    from orchestrator.config import load_config as load_config
    from orchestrator.engine.jobs import JobServer as JobServer
    from orchestrator.engine.jobs import prepare_job as prepare_job
    from orchestrator.frames import certainty as certainty
    from orchestrator.frames import query as query
    from orchestrator.frames import rank as rank
    from orchestrator.frames import read_candidates as read_candidates
    from orchestrator.frames import read_epochs as read_epochs
    from orchestrator.frames import read_failures as read_failures
    from orchestrator.frames import read_grid as read_grid
    from orchestrator.frames import read_images as read_images
    from orchestrator.frames import read_predictions as read_predictions
    from orchestrator.frames import read_trials as read_trials
    from orchestrator.plan.survey import survey as survey
    from orchestrator.prediction import best_trial as best_trial
    from orchestrator.prediction import load_ensemble as load_ensemble
    from orchestrator.prediction import load_model as load_model
    from orchestrator.prediction import predict as predict
    from orchestrator.report.sheet.writing import contact_sheet as contact_sheet
    from orchestrator.report.writing import compare as compare
    from orchestrator.report.writing import figures as figures
    from orchestrator.report.writing import report as report
    from orchestrator.report.writing import report_search as report_search
    from orchestrator.run import SweepRun as SweepRun
    from orchestrator.run import run_sweep as run_sweep
    from orchestrator.store import Store as Store
    from orchestrator.sweep import Sweep as Sweep
    from orchestrator.sweep import SweepPlan as SweepPlan
    from orchestrator.sweep import SweepStatus as SweepStatus
    from orchestrator.sweep import open_results as open_results
    from orchestrator.sweep import open_sweep as open_sweep
    from orchestrator.sweep import plan as plan
    from orchestrator.sweep import status as status
    from orchestrator.target import read_target as read_target
    from orchestrator.tune.search import open_search as open_search
    from orchestrator.tune.search import run_search as run_search
    from orchestrator.watch.watching import watch as watch
    from workers.catalogue.datasets import DATASETS as DATASETS
    from workers.catalogue.losses import LOSSES as LOSSES
    from workers.catalogue.models import MODELS as MODELS
    from workers.contract import UserError as UserError
    from workers.losses import build_loss as build_loss
    from workers.models import build_model as build_model

_MODULES = {
    # A configuration.
    "SweepConfig": "orchestrator.config",
    "load_config": "orchestrator.config",
    # Its data: `podium data`.
    "contact_sheet": "orchestrator.report.sheet.writing",
    "survey": "orchestrator.plan.survey",
    # A sweep: `podium plan`, `run`, `status`, `submit`.
    "Sweep": "orchestrator.sweep",
    "SweepPlan": "orchestrator.sweep",
    "SweepRun": "orchestrator.run",
    "SweepStatus": "orchestrator.sweep",
    "open_results": "orchestrator.sweep",
    "open_sweep": "orchestrator.sweep",
    "plan": "orchestrator.sweep",
    "run_sweep": "orchestrator.run",
    "status": "orchestrator.sweep",
    "JobServer": "orchestrator.engine.jobs",
    "prepare_job": "orchestrator.engine.jobs",
    # Its results: `podium query`, `failures`, `compact`, `verify`, `watch`.
    "Store": "orchestrator.store",
    "query": "orchestrator.frames",
    "read_candidates": "orchestrator.frames",
    "read_epochs": "orchestrator.frames",
    "read_failures": "orchestrator.frames",
    "read_grid": "orchestrator.frames",
    "read_images": "orchestrator.frames",
    "read_predictions": "orchestrator.frames",
    "read_trials": "orchestrator.frames",
    "watch": "orchestrator.watch.watching",
    # A search: `podium tune`.
    "open_search": "orchestrator.tune.search",
    "run_search": "orchestrator.tune.search",
    "report_search": "orchestrator.report.writing",
    # Its podium: `podium rank`, `report`, `figures`, `compare`.
    "certainty": "orchestrator.frames",
    "rank": "orchestrator.frames",
    "read_target": "orchestrator.target",
    "compare": "orchestrator.report.writing",
    "figures": "orchestrator.report.writing",
    "report": "orchestrator.report.writing",
    # Its networks: `podium predict`.
    "best_trial": "orchestrator.prediction",
    "load_ensemble": "orchestrator.prediction",
    "load_model": "orchestrator.prediction",
    "predict": "orchestrator.prediction",
    # The building blocks: `podium list`.
    "DATASETS": "workers.catalogue.datasets",
    "LOSSES": "workers.catalogue.losses",
    "MODELS": "workers.catalogue.models",
    "build_loss": "workers.losses",
    "build_model": "workers.models",
    "UserError": "workers.contract",
}
"""The module of each public name."""

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
