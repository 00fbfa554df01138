"""Plans a grid of trainings, runs it on Ray Tune, keeps the results and ranks them.

    import orchestrator as podium
    trials = podium.read_trials("results/quickstart")
    podium.rank(trials)

Nothing heavy is imported before one of these names is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.frames import (
        query,
        rank,
        read_candidates,
        read_epochs,
        read_failures,
        read_grid,
        read_images,
        read_predictions,
        read_trials,
    )

__all__ = [
    "query",
    "rank",
    "read_candidates",
    "read_epochs",
    "read_failures",
    "read_grid",
    "read_images",
    "read_predictions",
    "read_trials",
]


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used."""
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module("orchestrator.frames"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
