"""A sweep from configuration to finished rows: what the commands and a Python program call."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.archives import local_roots
from orchestrator.config import SweepConfig, load_config
from orchestrator.cost import num_slots
from orchestrator.engine.base import Engine, EngineReport, Now, TrialJob, utc_now
from orchestrator.engine.journal import RunJournal
from orchestrator.engine.sharing import SharedRun, remove_dead_drivers
from orchestrator.grid import Grid, build_grid, grid_from_document
from orchestrator.planner import Action, Plan, PlannedTrial, plan
from orchestrator.preflight import (
    check_data,
    check_models,
    check_outlives_job,
    fingerprints,
    model_findings,
)
from orchestrator.progress import Progress
from orchestrator.race import is_race, limit
from orchestrator.store import Standing, Store
from workers.contract import FailureClass, Runtime, TrialSpec, UserError
from workers.datasets import open_dataset


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A grid, its store, and what remains to be done.

    Attributes:
        config: None where only the results are known.
        slots: Trials that run at once on the machine or cluster the configuration names.
    """

    config: SweepConfig | None
    grid: Grid
    store: Store
    plan: Plan
    slots: int


def open_sweep(
    path: Path, overrides: Sequence[str] = (), retry: Collection[FailureClass] = ()
) -> Sweep:
    """Reads a configuration and its results, and plans; nothing is written or started.

    Raises:
        UserError: Something in the configuration or the results has to be mended first.
    """
    config = load_config(path, overrides)
    grid, store = build_grid(config), Store(config.results)
    return Sweep(
        config=config,
        grid=grid,
        store=store,
        plan=_plan(grid, store, retry, _count_images(_present(grid, config))),
        slots=_slots(config.cluster.cpus, config.cluster.gpus, grid),
    )


def open_results(location: str) -> Sweep:
    """Plans the sweep that was last started on a results location.

    Raises:
        UserError: There are no results.
    """
    store = Store(location)
    documents = store.grids()
    if not documents:
        msg = f"{store.place}: no sweep was started here; give a configuration or its results"
        raise UserError(msg)
    grid = grid_from_document(documents[-1])
    return Sweep(
        config=None,
        grid=grid,
        store=store,
        plan=_plan(grid, store),
        slots=_slots(None, None, grid),
    )


def plan_of_document(store: Store, document: Mapping[str, Any]) -> Plan:
    """Plans a grid that the store keeps.

    Raises:
        UserError: Another version wrote its document.
    """
    return _plan(grid_from_document(document), store)


def run_sweep(
    sweep: Sweep,
    engine: Engine,
    progress: Progress,
    now: Now = utc_now,
    on_notes: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> tuple[EngineReport, Plan]:
    """Runs what is pending and compacts the store.

    Args:
        sweep: From `open_sweep`.
        engine: What runs the trials.
        progress: What shows them.
        now: The wall clock.
        on_notes: Called with what the user should know before the first trial starts.

    Returns:
        What this run came to, and the plan afterwards.

    Raises:
        UserError: Results, data, weights or models are not as they should be (see
            `orchestrator.preflight`); nothing was started then.
    """
    config = sweep.config
    if config is None:
        msg = "only a configuration can be run"
        raise ValueError(msg)
    check_outlives_job(sweep.store.location)
    possible = [trial for trial in sweep.plan.trials if trial.may_run]
    cache = Path(config.data.cache)
    grid = _needed_here(sweep.grid, possible, cache)
    notes = check_data(
        grid,
        [trial.spec.dataset for trial in possible],
        sweep.store.committed().values(),
        cache,
    )
    notes += check_models(grid, [trial.spec for trial in possible], cache)
    remove_dead_drivers(sweep.store, now())
    on_notes((*notes, *_other_drivers(sweep.store, now())))
    sweep.store.heal(now())
    document = sweep.grid.document(now())
    sweep.store.save_grid(document)
    total = len(sweep.plan.trials)
    journal = RunJournal(progress, sweep.store, sweep.grid.grid_id, now=now)
    report = EngineReport(outcomes=(), interrupted=False)
    try:
        journal.sweep_started(total, len(possible), total - len(possible))
        known = fingerprints(grid, [trial.spec.dataset for trial in possible], cache)
        for step in _rounds(sweep):
            shared = SharedRun(
                engine=engine,
                store=sweep.store,
                progress=journal,
                run_id=journal.run_id,
                wanted=partial(_wanted, step),
                on_wait=lambda note: on_notes((note,)),
                now=now,
            )
            pending = step.plan.pending
            jobs = [_job(config, trial, known, journal.run_id) for trial in pending]
            found = shared.run(jobs)
            outcomes = (*report.outcomes, *found.outcomes)
            report = EngineReport(outcomes=outcomes, interrupted=found.interrupted)
            if report.interrupted:
                break
        journal.sweep_finished(interrupted=report.interrupted)
    finally:
        journal.close()
    if all(kept["grid_id"] != document["grid_id"] for kept in sweep.store.grids()):
        sweep.store.save_grid(document)  # its folder was deleted meanwhile
    if not report.interrupted:
        sweep.store.compact(now())
    return report, _plan(sweep.grid, sweep.store)


def _rounds(sweep: Sweep) -> Iterator[Sweep]:
    """Yields the sweep, and where it is raced, again as it is planned after each round.

    A trial that this run has tried already is left to the next run.
    """
    yield sweep
    tried = {trial.trial_id for trial in sweep.plan.pending}
    while sweep.plan.race is not None:
        sweep = replace(sweep, plan=_plan(sweep.grid, sweep.store))
        fresh = {trial.trial_id for trial in sweep.plan.pending} - tried
        if not fresh:
            return
        tried |= fresh
        yield sweep


def _wanted(sweep: Sweep) -> set[str]:
    """Returns the trials of this run that still have to be trained, whoever trained the others.

    A trial that failed meanwhile, with another driver, is tried again as the next run would.
    """
    before = {trial.trial_id: trial.attempt for trial in sweep.plan.pending}
    return {
        trial.trial_id
        for trial in _full_plan(sweep.grid, sweep.store.standing()).trials
        if trial.status is None
        and (sweep.plan.race is None or trial.trial_id in before)
        and (trial.action != Action.SKIP or trial.attempt == before.get(trial.trial_id))
    }


def _other_drivers(store: Store, now: datetime) -> tuple[str, ...]:
    """Says who else is working on these results."""
    return tuple(
        f"{store.place}: process {run.process_id} on {run.host} has been working on these results "
        f"since {run.started_at:%Y-%m-%d %H:%M} UTC: of its {run.num_pending} trials "
        f"{run.num_ended} have ended and {len(run.running)} are running; those are left to it"
        for run in store.runs()
        if run.is_alive(now)
    )


def plan_notes(sweep: Sweep) -> tuple[str, ...]:
    """Returns what a plan should say of its models; problems too, since nothing is started."""
    trials = [trial.spec for trial in sweep.plan.pending]
    problems, notes = model_findings(_present(sweep.grid, sweep.config), trials)
    return (*(f"will be refused: {problem}" for problem in problems), *notes)


def _needed_here(grid: Grid, pending: Sequence[PlannedTrial], cache: Path) -> Grid:
    """Returns the grid with folders in the place of archives, which are unpacked where needed."""
    labels = {trial.spec.dataset.label for trial in pending}
    needed = {label: root for label, root in grid.roots.items() if label in labels}
    return replace(grid, roots=local_roots(needed, cache, fetch=True))


def _present(grid: Grid, config: SweepConfig | None) -> Grid:
    """Returns the grid with the folders of archives that are unpacked; the others have none."""
    if config is None:
        return grid
    return replace(grid, roots=local_roots(grid.roots, Path(config.data.cache), fetch=False))


def _plan(
    grid: Grid,
    store: Store,
    retry: Collection[FailureClass] = (),
    num_images: Mapping[str, int] | None = None,
) -> Plan:
    standing = store.standing()
    found = _full_plan(grid, standing, retry, num_images)
    return limit(found, standing.committed) if is_race(grid) else found


def _full_plan(
    grid: Grid,
    standing: Standing,
    retry: Collection[FailureClass] = (),
    num_images: Mapping[str, int] | None = None,
) -> Plan:
    return plan(
        grid,
        standing.committed,
        standing.failures,
        standing.damaged,
        retry=frozenset(retry),
        num_images=num_images,
    )


def _count_images(grid: Grid) -> dict[str, int]:
    """Counts the images of each dataset that is on this machine, for the expected cost."""
    counts = {}
    for component in grid.datasets:
        root = grid.roots.get(component.label)
        # A plan may be made where the data is not; `run` is strict.
        with suppress(UserError):
            dataset = open_dataset(component, Path(root) if root else None)
            counts[component.label] = len(dataset.samples)
    return counts


def _slots(cpus: int | None, gpus: int | None, grid: Grid) -> int:
    """Returns how many trials run at once; where the GPUs are not named, one trial's worth."""
    slots = num_slots(
        cpus=cpus if cpus is not None else os.cpu_count() or 1,
        gpus=gpus if gpus is not None else max(1, int(grid.gpus_per_trial)),
        cpus_per_trial=grid.cpus_per_trial,
        gpus_per_trial=grid.gpus_per_trial,
    )
    return max(1, slots)


def _job(
    config: SweepConfig, trial: PlannedTrial, known: Mapping[str, str], run_id: str | None = None
) -> TrialJob:
    return TrialJob(
        run_id=run_id,
        trial_id=trial.trial_id,
        spec=trial.spec,
        gpus=trial.gpus,
        runtime=runtime_of(config, trial.spec, known),
    )


def runtime_of(
    config: SweepConfig, spec: TrialSpec, known: Mapping[str, str | None] | None = None
) -> Runtime:
    """Returns where and with what a trial runs; `known` has fingerprints by dataset label."""
    return Runtime(
        data_root=config.roots.get(spec.dataset.label),
        cache_dir=config.data.cache,
        num_threads=max(1, int(config.resources.cpus)),
        checkpoint_interval_seconds=config.runtime.checkpoint_interval_seconds,
        num_examples=config.runtime.example_images,
        weights=config.weights.get(spec.model.label),
        dataset_fingerprint=(known or {}).get(spec.dataset.label),
    )
