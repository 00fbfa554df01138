"""A sweep from configuration to finished rows: what the commands and a Python program call."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from orchestrator.config import SweepConfig, load_config
from orchestrator.config.gpus import local_gpu
from orchestrator.engine.base import Engine, EngineReport, Now, TrialJob, utc_now
from orchestrator.engine.journal import RunJournal
from orchestrator.engine.sharing import SharedRun, remove_dead_drivers
from orchestrator.plan.cost import num_slots
from orchestrator.plan.grid import Grid, build_grid, grid_from_document
from orchestrator.plan.planner import Action, Plan, PlannedTrial, plan
from orchestrator.plan.preflight import Preflight, preflight
from orchestrator.plan.race import is_race, limit
from orchestrator.plan.survey import DataCheck, Listed, check_data, count_images, list_datasets
from orchestrator.progress import Progress
from orchestrator.ranking.protocols import changed_code
from orchestrator.records import ResultsForPlan
from orchestrator.store import Store
from workers.contract import FailureClass, JSONValue, Runtime, TrialSpec, UserError
from workers.outside import outside_versions


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A grid, its store, and what remains to be done.

    Attributes:
        config: None where only the results are known.
        slots: Trials that run at once on the machine or cluster the configuration names.
        listed: The files of its datasets, by label.
    """

    config: SweepConfig | None
    grid: Grid
    store: Store
    plan: Plan
    slots: int
    listed: Mapping[str, Listed] = field(default_factory=dict)


def open_sweep(
    path: Path, overrides: Sequence[str] = (), retry: Collection[FailureClass] = ()
) -> Sweep:
    """Reads a configuration and its results, and plans; nothing is written or started.

    Raises:
        UserError: Something in the configuration or the results has to be mended first.
    """
    config = load_config(path, overrides)
    grid, store = build_grid(config), Store(config.results)
    listed = list_datasets(grid.datasets, grid.roots, Path(config.data.cache), fetch=False)
    return Sweep(
        config=config,
        grid=grid,
        store=store,
        plan=_plan(grid, store, retry, count_images(grid.datasets, listed)),
        slots=_slots(config.cluster.cpus, config.cluster.gpus, grid),
        listed=listed,
    )


def open_results(location: str) -> Sweep:
    """Plans the sweep that was last started on a results location.

    Raises:
        UserError: There are no results.
    """
    store = Store(location)
    documents = store.grids()
    if not documents:
        msg = f"{store.name}: no sweep was started here; give a configuration or its results"
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


def survey_config(path: Path, overrides: Sequence[str] = (), *, fetch: bool) -> DataCheck:
    """Surveys all datasets of a configuration, as its trials will read them.

    Args:
        path: The configuration.
        overrides: As for `load_config`.
        fetch: Whether to unpack archives that are not here yet.

    Raises:
        UserError: The configuration is wrong, or the cache folder cannot be written.
    """
    config = load_config(path, overrides)
    grid, cache = build_grid(config), Path(config.data.cache)
    listed = list_datasets(grid.datasets, grid.roots, cache, fetch=fetch)
    return check_data(grid, grid.datasets, listed, (), cache)


def run_sweep(
    sweep: Sweep,
    engine: Engine,
    progress: Progress,
    now: Now = utc_now,
    on_notes: Callable[[tuple[str, ...]], None] = lambda _: None,
    problems: Sequence[str] = (),
) -> tuple[EngineReport, Plan]:
    """Runs what is pending and compacts the store.

    Args:
        sweep: From `open_sweep`.
        engine: What runs the trials.
        progress: What shows them.
        now: The wall clock.
        on_notes: Called with what the user should know before the first trial starts.
        problems: Why the engine cannot hold a trial; said with whatever else is wrong.

    Returns:
        What this run came to, and the plan afterwards.

    Raises:
        UserError: Results, data, weights or models are not as they should be (see
            `orchestrator.plan.preflight`); nothing was started then.
    """
    config = sweep.config
    if config is None:
        msg = "only a configuration can be run"
        raise ValueError(msg)
    checked = check_sweep(sweep, fetch=True)
    checked.refuse(problems)
    known = checked.data.fingerprints
    possible = [trial for trial in sweep.plan.trials if trial.may_run]
    remove_dead_drivers(sweep.store, now())
    told = (*checked.notes, *_other_drivers(sweep.store, now()))
    on_notes(told)
    sweep.store.clean_up(now())
    document = _document(sweep, checked, now())
    sweep.store.save_grid(document)
    total = len(sweep.plan.trials)
    journal = RunJournal(progress, sweep.store, sweep.grid.grid_id, now=now)
    report = EngineReport(outcomes=(), interrupted=False)
    try:
        journal.sweep_started(total, len(possible), total - len(possible))
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
            messages = [one.message for one in found.outcomes if one.status == "completed"]
            on_notes(message_notes(messages, told))
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


def message_notes(messages: Iterable[str | None], told: Collection[str]) -> tuple[str, ...]:
    """Returns what trainings had to say, each message once, without what was told before.

    Args:
        messages: Of completed trainings, those without one included.
        told: The notes before the first training started.
    """
    messages = tuple(messages)
    return tuple(
        f"{message} (so said {number} of {len(messages)} trainings)"
        for message, number in Counter(filter(None, messages)).items()
        if not any(message in note for note in told)
    )


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
        for trial in _full_plan(sweep.grid, sweep.store.results_for_plan()).trials
        if trial.status is None
        and (sweep.plan.race is None or trial.trial_id in before)
        and (trial.action != Action.SKIP or trial.attempt == before.get(trial.trial_id))
    }


def _other_drivers(store: Store, now: datetime) -> tuple[str, ...]:
    """Says who else is working on these results."""
    return tuple(
        f"{store.name}: process {run.process_id} on {run.host} has been working on these results "
        f"since {run.started_at:%Y-%m-%d %H:%M} UTC: of its {run.num_pending} trials "
        f"{run.num_ended} have ended and {len(run.running)} are running; those are left to it"
        for run in store.runs()
        if run.is_alive(now)
    )


def check_sweep(sweep: Sweep, *, fetch: bool) -> Preflight:
    """Looks at everything that the pending trials need; nothing is started.

    Args:
        sweep: From `open_sweep`.
        fetch: Whether to unpack archives and to fetch weights that are not here yet.

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
    """Says which code of other packages is not what the finished trials ran with."""
    now: dict[str, str] = {}
    for spec in {(s.dataset.name, s.model.name, s.loss.name): s for s in specs}.values():
        now |= outside_versions(spec)
    if not now:
        return ()
    rows = sweep.store.read("trials", ["protocol_id", "versions"])
    return changed_code(rows["versions"][rows["protocol_id"] == sweep.grid.protocol_id], now)


def _document(sweep: Sweep, found: Preflight, now: datetime) -> dict[str, Any]:
    """Returns the grid document with what is known of its data, from this run or an earlier one."""
    document = sweep.grid.document(now)
    known: dict[str, JSONValue] = {}
    for earlier in sweep.store.grids():
        data = earlier.get("data")
        known |= data if isinstance(data, dict) else {}
    known |= found.data.document()
    labels = [component.label for component in sweep.grid.datasets]
    return document | {"data": {label: known[label] for label in labels if label in known}}


def _plan(
    grid: Grid,
    store: Store,
    retry: Collection[FailureClass] = (),
    num_images: Mapping[str, int] | None = None,
) -> Plan:
    results = store.results_for_plan()
    found = _full_plan(grid, results, retry, num_images)
    return limit(found, results.committed) if is_race(grid) else found


def _full_plan(
    grid: Grid,
    results: ResultsForPlan,
    retry: Collection[FailureClass] = (),
    num_images: Mapping[str, int] | None = None,
) -> Plan:
    return plan(
        grid,
        results.committed,
        results.failures,
        results.damaged,
        retry=frozenset(retry),
        num_images=num_images,
        device=_gpu_here() if grid.gpus_per_trial else "",
    )


@cache
def _gpu_here() -> str:
    """Returns the name of this machine's GPU: the shipped table of costs can have it."""
    found = local_gpu()
    return found[0] if found else ""


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
