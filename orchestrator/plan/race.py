"""`policy: race`: which trials of a plan the race runs next, which wait, and which are spared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from orchestrator.plan.grid import Grid
from orchestrator.plan.planner import Action, Plan, PlannedTrial
from orchestrator.plan.race_state import RaceState, Reach
from orchestrator.ranking.racing import Race, RaceRules, race
from orchestrator.records import CommittedTrial
from workers.contract import TrialStatus

MAX_REACHES = 5
"""Most blocks that are named as the reason for a round."""
SPARED, WAITS = "spared by the race", "waits for the race"


def is_race(grid: Grid) -> bool:
    """Returns whether a grid has `policy: race`."""
    return grid.config.get("policy") == "race"


def limit(plan: Plan, committed: Mapping[str, CommittedTrial]) -> Plan:
    """Returns the plan in which only the trials of the race's current round are pending.

    The race is recomputed from the finished trials, so that it decides the same after any
    interruption; see `orchestrator.ranking.racing.race`.
    """
    found = _run(plan, committed)
    asked = found.asked_DMLR.ravel()
    trials = tuple(
        trial if wanted or trial.status is not None else _held_back(trial, found)
        for trial, wanted in zip(plan.trials, asked, strict=True)
    )
    return replace(plan, trials=trials, race=_standing(plan.grid, trials, found))


def rules_of(grid: Grid) -> RaceRules:
    """Returns the rules in a grid's configuration."""
    given: Any = grid.config.get("race") or {}
    return RaceRules(**given)


def _run(plan: Plan, committed: Mapping[str, CommittedTrial]) -> Race:
    grid = plan.grid
    shape = (len(grid.datasets), len(grid.models), len(grid.losses), grid.repeats)
    values = np.full(len(plan.trials), np.nan)
    finished = np.zeros(len(plan.trials), dtype=bool)
    for position, key in enumerate(grid.trial_ids):
        row = committed.get(key)
        if row is not None:
            finished[position] = row.status is TrialStatus.COMPLETED
            values[position] = row.dice or 0.0
    lost = np.array([trial.failed for trial in plan.trials])
    return race(values.reshape(shape), finished.reshape(shape), lost.reshape(shape), rules_of(grid))


def _held_back(trial: PlannedTrial, found: Race) -> PlannedTrial:
    return replace(
        trial,
        action=Action.SKIP,
        reason=SPARED if found.over else WAITS,
        expected_seconds=0.0,
        source=None,
        held_back=True,
    )


def _standing(grid: Grid, trials: tuple[PlannedTrial, ...], found: Race) -> RaceState:
    losses = [component.label for component in grid.losses]
    judged = found.judgement
    held = sum(trial.held_back for trial in trials)
    return RaceState(
        state=found.state,
        round=found.round,
        level=rules_of(grid).level,
        certainty=judged.certainty if judged else None,
        podium=tuple(losses[position] for position in judged.podium) if judged else (),
        num_trials=len(trials),
        num_asked=int(found.asked_DMLR.sum()),
        num_held_back=held,
        reaches=_reaches(grid, found),
    )


def _reaches(grid: Grid, found: Race) -> tuple[Reach, ...]:
    """Returns the blocks whose means change the podium most often."""
    if found.judgement is None or found.over:
        return ()
    reaches = [
        Reach(axis=axis, block=block.label, loss=loss.label, share=float(share))
        for axis, blocks, reach in (
            ("dataset", grid.datasets, found.judgement.reach_DL),
            ("model", grid.models, found.judgement.reach_ML),
        )
        for block, shares in zip(blocks, reach, strict=True)
        for loss, share in zip(grid.losses, shares, strict=True)
        if share > 0
    ]
    return tuple(sorted(reaches, key=lambda one: -one.share)[:MAX_REACHES])
