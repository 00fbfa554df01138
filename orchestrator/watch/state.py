"""What the watch page shows: one JSON document made from the rows of a store. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.plan.planner import Plan, PlannedTrial
from orchestrator.records import CommittedTrial, FailureRow
from orchestrator.store import RunningTrial, RunRecord
from orchestrator.wording import (
    MISSING,
    count_of_text,
    count_text,
    decimal_text,
    duration_text,
    hours_text,
    plain_text,
)
from workers.contract import TrialStatus

NUM_LATEST_FAILURES = 20

THROUGHPUT_WINDOW = timedelta(hours=1)
"""The throughput shown is that of this time until now."""

CellCounts = tuple[int, int, int, int, int]
"""Repeats that are completed, diverged, failed and running, and all repeats of the grid."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What a store holds at one moment.

    Attributes:
        name: Title of the sweep.
        place: Where the results are, without secrets.
        plan: The newest grid with each trial's state.
        committed: Finished trials of any grid, by trial id.
        failures: Failed attempts, the oldest first.
        runs: What drivers last wrote; some drivers may have stopped.
        titles: Titles of the labels, by axis.
    """

    name: str
    place: str
    plan: Plan
    committed: Mapping[str, CommittedTrial]
    failures: Sequence[FailureRow] = ()
    runs: Sequence[RunRecord] = ()
    titles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def describe(snapshot: Snapshot, now: datetime) -> dict[str, Any]:
    """Returns the document of the page without the podium.

    Beside numbers for programs stand the same as texts for the page: `facts`, `grid_caption`,
    and `last_sign` of each driver.
    """
    plan = snapshot.plan
    alive = [run for run in snapshot.runs if run.is_alive(now)]
    running = running_trials(alive, plan)
    axes = axis_labels(plan)
    counts = _count(plan, running)
    own = {trial.trial_id for trial in plan.trials}
    done = [row for key, row in snapshot.committed.items() if key in own]
    speed = _speed(plan, done, alive, running, now)
    resources = _resources(plan, running, done, alive)
    return {
        "name": snapshot.name,
        "place": snapshot.place,
        "axes": [
            {"axis": axis, "labels": labels, "titles": _titles(snapshot, axis, labels)}
            for axis, labels in axes.items()
        ],
        "repeats": plan.grid.repeats,
        "cells": _cells(plan, running, axes),
        "grid_caption": (
            "Each bar is one combination, in the order "
            f"{', '.join(_titles(snapshot, 'loss', axes['loss']))}. It fills with its "
            f"{count_text(plan.grid.repeats, 'repeat')}. Press a bar for its learning curves."
        ),
        "counts": counts,
        "speed": speed,
        "resources": resources,
        "facts": _facts(counts, speed, resources),
        "drivers": [_driver(run, now) for run in snapshot.runs],
        "failures": _latest_failures(snapshot.failures, own),
    }


def running_trials(alive: Iterable[RunRecord], plan: Plan) -> dict[str, RunningTrial]:
    """Returns the running trials that have no result yet, by id."""
    open_trials = {trial.trial_id for trial in plan.trials if trial.status is None}
    return {
        trial.trial_id: trial
        for run in alive
        for trial in run.running
        if trial.trial_id in open_trials
    }


def axis_labels(plan: Plan) -> dict[str, list[str]]:
    """Returns the labels of each axis in the order of the grid."""
    grid = plan.grid
    return {
        "dataset": [component.label for component in grid.datasets],
        "model": [component.label for component in grid.models],
        "loss": [component.label for component in grid.losses],
    }


def describe_cell(
    snapshot: Snapshot, now: datetime, dataset: str, model: str, loss: str
) -> list[dict[str, Any]]:
    """Returns the repeats of one combination: state, Dice, time, and the last error.

    `texts` has Dice, epochs and time as the page shows them.
    """
    running = running_trials((run for run in snapshot.runs if run.is_alive(now)), snapshot.plan)
    last = {row.trial_id: row for row in snapshot.failures}
    found = []
    for trial in snapshot.plan.trials:
        spec = trial.spec
        if (spec.dataset.label, spec.model.label, spec.loss.label) == (dataset, model, loss):
            row, failure = snapshot.committed.get(trial.trial_id), last.get(trial.trial_id)
            under_way = running.get(trial.trial_id)
            epochs = row.num_epochs if row else len(under_way.val_dice) if under_way else None
            expected = trial.expected_seconds or None
            found.append(
                {
                    "trial_id": trial.trial_id,
                    "repeat": spec.repeat,
                    "state": _state(trial, running),
                    "dice": row.dice if row else None,
                    "epochs": epochs,
                    "seconds": row.train_seconds if row else None,
                    "device": row.device if row else None,
                    "message": failure.message if failure and not _is_done(trial) else None,
                    "expected_seconds": expected,
                    "texts": {
                        "dice": decimal_text(row.dice if row else None),
                        "epochs": plain_text(epochs),
                        "time": duration_text(row.train_seconds) if row else _expected(expected),
                    },
                }
            )
    return sorted(found, key=lambda item: item["repeat"])


def _expected(seconds: float | None) -> str:
    return MISSING if seconds is None else f"≈ {duration_text(seconds)}"


def _is_done(trial: PlannedTrial) -> bool:
    return trial.status == TrialStatus.COMPLETED


def _state(trial: PlannedTrial, running: Collection[str]) -> str:
    if trial.status is not None:
        return trial.status.value
    if trial.trial_id in running:
        return "running"
    return "failed" if trial.failure else "missing"


def _count(plan: Plan, running: Collection[str]) -> dict[str, int]:
    states = Counter(_state(trial, running) for trial in plan.trials)
    names = ("completed", "diverged", "failed", "running", "missing")
    return {"all": len(plan.trials)} | {name: states[name] for name in names}


def _cells(
    plan: Plan, running: Collection[str], axes: Mapping[str, Sequence[str]]
) -> list[CellCounts]:
    """Returns the counts of every combination: losses within models within datasets."""
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    for trial in plan.trials:
        spec = trial.spec
        key = (spec.dataset.label, spec.model.label, spec.loss.label)
        counts.setdefault(key, Counter())[_state(trial, running)] += 1
    empty: Counter[str] = Counter()
    cells = []
    for dataset in axes["dataset"]:
        for model in axes["model"]:
            for loss in axes["loss"]:
                cell = counts.get((dataset, model, loss), empty)
                states = (cell[s] for s in ("completed", "diverged", "failed", "running"))
                completed, diverged, failed, busy = states
                cells.append((completed, diverged, failed, busy, cell.total()))
    return cells


def _speed(
    plan: Plan,
    done: Sequence[CommittedTrial],
    alive: Sequence[RunRecord],
    running: Mapping[str, RunningTrial],
    now: datetime,
) -> dict[str, float | None]:
    """Returns the trials per hour of late, and the seconds until all trials are finished.

    These seconds are the expected seconds of all pending trials, as the planner estimates them,
    less the time that running trials have run already, divided by the number of busy slots.
    """
    begun = min((run.started_at for run in alive), default=None)
    since = max(now - THROUGHPUT_WINDOW, begun) if begun else None
    recent = sum(row.committed_at >= since for row in done) if since else 0
    hours = (now - since).total_seconds() / 3600 if since else 0.0
    left = 0.0
    for trial in plan.pending:
        under_way = running.get(trial.trial_id)
        spent = (now - under_way.since).total_seconds() if under_way else 0.0
        left += max(0.0, trial.expected_seconds - spent)
    slots = len(running)
    return {
        "trials_per_hour": recent / hours if hours and recent else None,
        "eta_seconds": left / slots if slots else (0.0 if not plan.pending else None),
    }


def _resources(
    plan: Plan,
    running: Collection[str],
    done: Sequence[CommittedTrial],
    alive: Sequence[RunRecord],
) -> dict[str, Any]:
    """Returns what running trials use now, and what finished trials took on each device."""
    devices: dict[str, list[float]] = {}
    for row in done:
        devices.setdefault(row.device, []).append(row.train_seconds)
    return {
        "gpus_in_use": sum(
            trial.gpus if trial.gpus is not None else plan.grid.gpus_per_trial
            for trial in plan.trials
            if trial.trial_id in running
        ),
        "cpus_in_use": len(running) * plan.grid.cpus_per_trial,
        "hosts": sorted({run.host for run in alive}),
        "devices": [
            {"device": name, "trials": len(seconds), "hours": sum(seconds) / 3600}
            for name, seconds in sorted(devices.items())
        ],
    }


def _facts(
    counts: Mapping[str, int], speed: Mapping[str, float | None], resources: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Returns what stands above the grid: (name, text)."""
    num_done, num_all = counts["completed"] + counts["diverged"], counts["all"]
    pace, gpus = speed["trials_per_hour"], resources["gpus_in_use"]
    unit = "GPU" if gpus else "CPU core"
    used = round(gpus or resources["cpus_in_use"], 2)
    use = f"{plain_text(used)} {unit}{'' if used == 1 else 's'}"
    return [
        ("Done", count_of_text(num_done, num_all, "trial")),
        ("Time left", "finished" if num_done == num_all else duration_text(speed["eta_seconds"])),
        ("Throughput", MISSING if pace is None else f"{_pace(pace)} trials/h"),
        (
            "In use",
            f"{use} by {count_text(counts['running'], 'trial')}"
            if counts["running"]
            else "nothing is running",
        ),
        *(
            (
                item["device"],
                f"{count_text(item['trials'], 'trial')}, {hours_text(item['hours'])} h of training",
            )
            for item in resources["devices"]
        ),
    ]


def _pace(trials_per_hour: float) -> str:
    return f"{trials_per_hour:.1f}" if trials_per_hour < 10 else f"{trials_per_hour:,.0f}"


def _driver(run: RunRecord, now: datetime) -> dict[str, Any]:
    found = run.describe(now)
    ago = f"{duration_text(found['silent_seconds'])} ago"
    return found | {
        "last_sign": ago if found["alive"] else f"{ago}: this driver has probably stopped"
    }


def _latest_failures(failures: Sequence[FailureRow], own: Collection[str]) -> list[dict[str, Any]]:
    mine = [row for row in failures if row.trial_id in own]
    return [
        {
            "trial_id": row.trial_id,
            "label": f"{row.dataset} · {row.model} · {row.loss} · {row.repeat}",
            "class": row.failure_class.value,
            "attempt": row.attempt,
            "message": row.message,
            "host": row.host,
            "failed_at": row.failed_at.isoformat(),
        }
        for row in reversed(mine[-NUM_LATEST_FAILURES:])
    ]


def _titles(snapshot: Snapshot, axis: str, labels: Iterable[str]) -> list[str]:
    titles = snapshot.titles.get(axis, {})
    return [titles.get(label, label) for label in labels]
