"""A sweep: a configuration with its grid, its results, its plan and its state."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.config import ConfigSource, SweepConfig, is_config, load_config
from orchestrator.config.gpus import local_gpu
from orchestrator.engine.base import Now, utc_now
from orchestrator.engine.setup import no_room
from orchestrator.plan.cost import num_slots
from orchestrator.plan.grid import Grid, build_grid, grid_from_document
from orchestrator.plan.planner import Plan, plan_summary, summarise_status
from orchestrator.plan.planner import plan as plan_trials
from orchestrator.plan.preflight import Preflight, preflight
from orchestrator.plan.race import is_race, limit
from orchestrator.plan.survey import Listed, count_images, list_datasets
from orchestrator.ranking.protocols import changed_code
from orchestrator.records import ResultsForPlan
from orchestrator.store import Store
from orchestrator.wording import bytes_text, count_text
from workers.catalogue.costs import model_size
from workers.contract import FailureClass, TrialSpec, UserError
from workers.outside import outside_versions


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A grid, its store and its plan.

    Attributes:
        config: None if the sweep was opened from its results.
        plan: The plan at the time of opening.
        slots: Trials that run at the same time on the machine or cluster of the configuration.
        listed: The files of its datasets, by label.
    """

    config: SweepConfig | None
    grid: Grid
    store: Store
    plan: Plan
    slots: int
    listed: Mapping[str, Listed] = field(default_factory=dict)


def open_sweep(
    config: ConfigSource | SweepConfig, overrides: Sequence[str] = (), retry: Collection[str] = ()
) -> Sweep:
    """Reads a configuration and its results, and plans; nothing is written or started.

    Args:
        config: A YAML file, its content as a dict, or a configuration from `load_config`.
        overrides: As for `load_config`; none for a configuration that is already loaded.
        retry: Failure classes to run again: `bug`, `out-of-memory`.

    Raises:
        UserError: The configuration or the results have a problem that the user must fix.
    """
    if not isinstance(config, SweepConfig):
        config = load_config(config, overrides)
    elif overrides:
        msg = f"{overrides[0]}: a loaded configuration takes no overrides; give them to load_config"
        raise UserError(msg)
    grid, store = build_grid(config), Store(config.results)
    listed = list_datasets(grid.datasets, grid.roots, Path(config.data.cache), fetch=False)
    return Sweep(
        config=config,
        grid=grid,
        store=store,
        plan=plan_grid(grid, store, retry, count_images(grid.datasets, listed)),
        slots=_slots(config.cluster.cpus, config.cluster.gpus, grid),
        listed=listed,
    )


def open_results(results: str | Path) -> Sweep:
    """Opens the sweep that was last started on these results.

    Args:
        results: A results folder or URI.

    Raises:
        UserError: There are no results.
    """
    store = Store(results)
    documents = store.grids()
    if not documents:
        msg = f"{store.name}: no sweep was started here; give a configuration or its results"
        raise UserError(msg)
    grid = grid_from_document(documents[-1])
    return Sweep(
        config=None,
        grid=grid,
        store=store,
        plan=plan_grid(grid, store),
        slots=_slots(None, None, grid),
    )


def plan_of_document(store: Store, document: Mapping[str, Any]) -> Plan:
    """Plans a grid of the store.

    Raises:
        UserError: Another version of Podium wrote its document.
    """
    return plan_grid(grid_from_document(document), store)


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """The plan of `podium run` for a configuration.

    Attributes:
        sweep: The sweep; `sweep.plan.trials` has the action and the reason of each trial.
        summary: The document of `podium plan --json` without its trials (docs/json.md).
        refusals: Why `podium run` would refuse the sweep; empty if it would start.
        absent: The refusals that another machine may not have, such as absent data.
    """

    sweep: Sweep
    summary: Mapping[str, Any]
    refusals: tuple[str, ...]
    absent: tuple[str, ...]


def plan(
    config: ConfigSource | SweepConfig,
    overrides: Sequence[str] = (),
    retry: Collection[str] = (),
    *,
    slots: int | None = None,
    elsewhere: bool = False,
) -> SweepPlan:
    """Plans a configuration and checks all that its pending trials need; nothing is started.

    Args:
        config: See `open_sweep`.
        overrides: See `open_sweep`.
        retry: See `open_sweep`.
        slots: Trials that run at the same time, for the estimated time; by default those of the
            machine or cluster of the configuration.
        elsewhere: Plan for another machine: `absent` becomes notes.

    Raises:
        UserError: See `open_sweep`.
    """
    if slots is not None and slots < 1:
        msg = f"slots {slots}: must be at least 1"
        raise UserError(msg)
    sweep = open_sweep(config, overrides, retry)
    found = check_sweep(sweep, fetch=False)
    room = no_room("ray", sweep.config, sweep.grid) if sweep.config and sweep.plan.pending else ()
    absent = (*found.absent, *room)
    notes = [*found.notes, *(f"not on this machine: {text}" for text in absent if elsewhere)]
    notes += _room_for_weights(sweep)
    refusals = (*(absent if not elsewhere else ()), *found.refusals)
    summary = plan_summary(sweep.plan, slots or sweep.slots)
    return SweepPlan(
        sweep=sweep,
        summary=summary | {"notes": notes, "refusals": list(refusals)},
        refusals=refusals,
        absent=() if elsewhere else absent,
    )


def _room_for_weights(sweep: Sweep) -> list[str]:
    """Returns a note on the disk that the kept weights of the pending trials will take."""
    if sweep.config is None or sweep.config.runtime.keep_weights == "none":
        return []
    models = [trial.spec.model for trial in sweep.plan.pending]
    room = sum(4 * model_size(model.name, model.parameters).parameters for model in models)
    files = count_text(len(models), "file")
    return [f"runtime.keep_weights: the weights take about {bytes_text(room)} in {files}"]


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """The state of a sweep.

    Attributes:
        sweep: The sweep.
        summary: The document of `podium status --json` (docs/json.md).
    """

    sweep: Sweep
    summary: Mapping[str, Any]


def status(
    target: ConfigSource | SweepConfig, overrides: Sequence[str] = (), *, now: Now = utc_now
) -> SweepStatus:
    """Counts the finished, failed and missing trials of a sweep and estimates the time left.

    Args:
        target: A configuration as for `open_sweep`, or a results folder or URI.
        overrides: See `open_sweep`; only for a configuration.
        now: The wall clock.

    Raises:
        UserError: See `open_sweep` and `open_results`.
    """
    if isinstance(target, str | Path) and not is_config(target):
        if overrides:
            msg = f"--set {overrides[0]}: only a configuration can be changed; {target} is not one"
            raise UserError(msg)
        sweep = open_results(target)
    else:
        sweep = open_sweep(target, overrides)
    summary = summarise_status(sweep.plan, sweep.store.failures(), sweep.slots)
    drivers = [run.describe(now()) for run in sweep.store.runs() if run.is_alive(now())]
    return SweepStatus(sweep=sweep, summary=summary | {"drivers": drivers})


def check_sweep(sweep: Sweep, *, fetch: bool) -> Preflight:
    """Checks everything that the pending trials need; nothing is started.

    Args:
        sweep: From `open_sweep`.
        fetch: Whether to unpack archives and to download weights that are not here yet.

    Raises:
        UserError: The cache folder cannot be written.
    """
    if sweep.config is None:
        msg = "only a configuration can be checked"
        raise ValueError(msg)
    specs = [trial.spec for trial in sweep.plan.trials if trial.may_run]
    cache = Path(sweep.config.data.cache)
    packed = [spec.dataset for spec in specs if sweep.listed.get(spec.dataset.label) is None]
    fetched = list_datasets(packed, sweep.grid.roots, cache, fetch=True) if fetch else {}
    found = preflight(
        sweep.grid,
        specs,
        {**sweep.listed, **fetched},
        sweep.store.committed().values(),
        cache,
        location=sweep.store.location,
        fetch=fetch,
    )
    return replace(found, notes=(*found.notes, *_changed_code(sweep, specs)))


def _changed_code(sweep: Sweep, specs: Sequence[TrialSpec]) -> tuple[str, ...]:
    """Returns notes on code of other packages that differs from that of the finished trials."""
    now: dict[str, str] = {}
    for spec in {(s.dataset.name, s.model.name, s.loss.name): s for s in specs}.values():
        now |= outside_versions(spec)
    if not now:
        return ()
    rows = sweep.store.read("trials", ["protocol_id", "versions"])
    return changed_code(rows["versions"][rows["protocol_id"] == sweep.grid.protocol_id], now)


def plan_grid(
    grid: Grid,
    store: Store,
    retry: Collection[str] = (),
    num_images: Mapping[str, int] | None = None,
) -> Plan:
    """Plans a grid on its results; a race plans only its current round."""
    results = store.results_for_plan()
    found = full_plan(grid, results, retry, num_images)
    return limit(found, results.committed) if is_race(grid) else found


def full_plan(
    grid: Grid,
    results: ResultsForPlan,
    retry: Collection[str] = (),
    num_images: Mapping[str, int] | None = None,
) -> Plan:
    """Plans a grid as if it were no race."""
    return plan_trials(
        grid,
        results.committed,
        results.failures,
        results.damaged,
        retry=frozenset(map(_failure_class, (retry,) if isinstance(retry, str) else retry)),
        num_images=num_images,
        device=_gpu_here() if grid.gpus_per_trial else "",
    )


def _failure_class(name: str) -> FailureClass:
    if name not in list(FailureClass):
        msg = f"retry {name!r}: unknown failure class; known: {', '.join(FailureClass)}"
        raise UserError(msg)
    return FailureClass(name)


@cache
def _gpu_here() -> str:
    """Returns the name of this machine's GPU, for the table of costs that comes with Podium."""
    found = local_gpu()
    return found[0] if found else ""


def _slots(cpus: int | None, gpus: int | None, grid: Grid) -> int:
    """Returns how many trials run at the same time; unnamed GPUs count as those of one trial."""
    slots = num_slots(
        cpus=cpus if cpus is not None else os.cpu_count() or 1,
        gpus=gpus if gpus is not None else max(1, int(grid.gpus_per_trial)),
        cpus_per_trial=grid.cpus_per_trial,
        gpus_per_trial=grid.gpus_per_trial,
    )
    return max(1, slots)
