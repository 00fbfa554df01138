"""Running a sweep: trains the pending trials on an engine and compacts the results."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from orchestrator.config import SweepConfig
from orchestrator.engine.base import Engine, EngineReport, Now, TrialJob, utc_now
from orchestrator.engine.heartbeat import Heartbeat
from orchestrator.engine.setup import EngineName, make_engine, no_room
from orchestrator.engine.sharing import SharedRun, remove_dead_drivers
from orchestrator.frames import warn_notes
from orchestrator.plan.planner import Action, Plan, PlannedTrial
from orchestrator.plan.preflight import Preflight
from orchestrator.progress import (
    Forecast,
    Progress,
    ProgressMode,
    SweepFinished,
    SweepStarted,
    make_progress,
)
from orchestrator.store import Store
from orchestrator.sweep import Sweep, check_sweep, full_plan, plan_grid
from orchestrator.wording import count_text
from workers.catalogue.code_files import digest_in
from workers.contract import JSONValue, Runtime, TrialSpec, UserError


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """The result of one run of a sweep.

    Attributes:
        report: The outcome of each attempt, and whether the run was interrupted.
        plan: The plan after the run.
    """

    report: EngineReport
    plan: Plan


def run_sweep(
    sweep: Sweep,
    engine: EngineName | Engine = "ray",
    progress: ProgressMode | Progress = "auto",
    *,
    on_notes: Callable[[tuple[str, ...]], None] | None = None,
    now: Now = utc_now,
) -> SweepRun:
    """Runs the pending trials of a sweep and compacts the results.

    Args:
        sweep: From `open_sweep`.
        engine: `ray`, `inline` (trains in this process), or an engine.
        progress: How to show the progress on standard output, or a display.
        on_notes: Called with notes for the user, the first time before the first trial starts. By
            default each note is a `UserWarning`.
        now: The wall clock.

    Raises:
        UserError: Results, data, weights or models do not allow the run (see
            `orchestrator.plan.preflight`); no trial was started.
    """
    config = sweep.config if isinstance(sweep, Sweep) else None
    if config is None:
        msg = "only a sweep from open_sweep can be run, not results"
        raise UserError(msg)
    problems: tuple[str, ...] = ()
    if isinstance(engine, str):
        problems = no_room(engine, config, sweep.grid) if sweep.plan.pending else ()
        engine = make_engine(engine, config, sweep.grid)
    on_notes = on_notes or partial(warn_notes, stacklevel=3)
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
    if isinstance(progress, str):
        forecast = Forecast({item.trial_id: item.expected_seconds for item in sweep.plan.pending})
        progress = make_progress(progress, sys.stdout, forecast=forecast)
    heartbeat = Heartbeat(progress, sweep.store, sweep.grid.grid_id, now=now)
    report = EngineReport(outcomes=(), interrupted=False)
    try:
        heartbeat.on(SweepStarted(total, len(possible), total - len(possible)))
        for step in _rounds(sweep):
            shared = SharedRun(
                engine=engine,
                store=sweep.store,
                progress=heartbeat,
                run_id=heartbeat.run_id,
                wanted=partial(_wanted, step),
                on_wait=lambda note: on_notes((note,)),
                now=now,
            )
            pending = step.plan.pending
            jobs = [_job(config, trial, known, heartbeat.run_id) for trial in pending]
            found = shared.run(jobs)
            messages = [one.message for one in found.outcomes if one.status == "completed"]
            on_notes(message_notes(messages, told))
            outcomes = (*report.outcomes, *found.outcomes)
            report = EngineReport(outcomes=outcomes, interrupted=found.interrupted)
            if report.interrupted:
                break
        heartbeat.on(SweepFinished(report.interrupted))
    finally:
        heartbeat.close()
    if all(kept["grid_id"] != document["grid_id"] for kept in sweep.store.grids()):
        sweep.store.save_grid(document)  # its folder was deleted during the run
    if not report.interrupted:
        sweep.store.compact(now())
    return SweepRun(report=report, plan=plan_grid(sweep.grid, sweep.store))


def message_notes(messages: Iterable[str | None], told: Collection[str]) -> tuple[str, ...]:
    """Returns the messages of trials, each once, without those that a note has already told.

    Args:
        messages: One per completed trial, None for a trial without a message.
        told: The notes before the first trial started.
    """
    messages = tuple(messages)
    return tuple(
        f"{message} (reported by {number} of {len(messages)} trials)"
        for message, number in Counter(filter(None, messages)).items()
        if not any(message in note for note in told)
    )


def _rounds(sweep: Sweep) -> Iterator[Sweep]:
    """Yields the sweep; for a race, yields it again with a new plan after each round.

    A run never starts a trial in two rounds; the next run does.
    """
    yield sweep
    tried = {trial.trial_id for trial in sweep.plan.pending}
    while sweep.plan.race is not None:
        sweep = replace(sweep, plan=plan_grid(sweep.grid, sweep.store))
        fresh = {trial.trial_id for trial in sweep.plan.pending} - tried
        if not fresh:
            return
        tried |= fresh
        yield sweep


def _wanted(sweep: Sweep) -> set[str]:
    """Returns the trials of this run without a result, no matter which driver trained the others.

    A trial that failed in another driver during this run is planned as the next run would.
    """
    before = {trial.trial_id: trial.attempt for trial in sweep.plan.pending}
    return {
        trial.trial_id
        for trial in full_plan(sweep.grid, sweep.store.results_for_plan()).trials
        if trial.status is None
        and (sweep.plan.race is None or trial.trial_id in before)
        and (trial.action != Action.SKIP or trial.attempt == before.get(trial.trial_id))
    }


def _other_drivers(store: Store, now: datetime) -> tuple[str, ...]:
    """Returns a note for each other driver that works on these results."""
    return tuple(
        f"{store.name}: process {run.process_id} on {run.host} has been working on these results "
        f"since {run.started_at:%Y-%m-%d %H:%M} UTC: "
        f"{count_text(run.num_pending, 'trial')}, {run.num_ended} ended, {len(run.running)} running"
        "; this driver does not train the running ones"
        for run in store.runs()
        if run.is_alive(now)
    )


def _document(sweep: Sweep, found: Preflight, now: datetime) -> dict[str, Any]:
    """Returns the grid document with the surveys of its data, from this run or an earlier one."""
    document = sweep.grid.document(now)
    known: dict[str, JSONValue] = {}
    for earlier in sweep.store.grids():
        data = earlier.get("data")
        known |= data if isinstance(data, dict) else {}
    known |= found.data.document()
    labels = [component.label for component in sweep.grid.datasets]
    return document | {"data": {label: known[label] for label in labels if label in known}}


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
    """Returns folders, threads, weights and code of a trial; `known`: fingerprints by label."""
    digests = {digest_in(spec.model.name), digest_in(spec.loss.name)}
    return Runtime(
        data_root=config.roots.get(spec.dataset.label),
        cache_dir=config.data.cache,
        num_threads=max(1, int(config.resources.cpus)),
        checkpoint_interval_seconds=config.runtime.checkpoint_interval_seconds,
        num_examples=config.runtime.example_images,
        keep_weights=config.runtime.keep_weights == "best",
        weights=config.weights.get(spec.model.label),
        dataset_fingerprint=(known or {}).get(spec.dataset.label),
        code=tuple(file for file in config.code if file.digest in digests),
    )
