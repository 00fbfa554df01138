"""`podium run`, `plan` and `status`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.failures import retry_hint
from orchestrator.cli.output import (
    console,
    print_json,
    print_json_rows,
    print_notes,
    print_table,
    say,
    say_aside,
    shown_looks,
)
from orchestrator.config.gpus import local_gpu
from orchestrator.engine.base import Engine, utc_now
from orchestrator.engine.signals import raise_on_signals
from orchestrator.plan.planner import Action, Plan, plan_summary, summarise_status
from orchestrator.progress import Forecast, make_progress
from orchestrator.sweep import Sweep, check_sweep, open_results, open_sweep, run_sweep
from orchestrator.wording import count_text, duration_text, hours_text, probability_text
from workers.contract import FailureClass, UserError

if TYPE_CHECKING:
    from orchestrator.engine.ray_cluster import ClusterOptions

EXIT_DONE, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED = 0, 1, 130


def run_command(
    path: Path, overrides: Sequence[str], engine: str, progress: str, retry: Iterable[str]
) -> int:
    """Runs what is missing and says how it ended; returns the exit code."""
    sweep = open_sweep(path, overrides, [FailureClass(item) for item in retry])
    forecast = Forecast({item.trial_id: item.expected_seconds for item in sweep.plan.pending})
    display = make_progress(progress, sys.stdout, forecast=forecast)
    raise_on_signals()
    try:
        with shown_looks() as looks:

            def on_notes(notes: tuple[str, ...]) -> None:
                looks.close()
                print_notes(notes)

            report, after = run_sweep(
                sweep,
                make_engine(engine, sweep),
                display,
                on_notes=on_notes,
                problems=_no_room(sweep, engine),
            )
    except KeyboardInterrupt:
        display.close()
        _say_how_to_resume()
        return EXIT_INTERRUPTED
    if report.interrupted:
        _say_how_to_resume()
        return EXIT_INTERRUPTED
    _say_end(after, sweep, to_stdout=progress != "json")
    return EXIT_FAILED_TRIALS if after.pending or after.failed else EXIT_DONE


def make_engine(name: str, sweep: Sweep) -> Engine:
    """Returns the engine of a name; Ray is imported only where it is used."""
    if name == "inline":
        from orchestrator.engine.inline import InlineEngine

        return InlineEngine()
    from orchestrator.engine.ray_tune import RayTuneEngine

    return RayTuneEngine(_cluster_options(sweep))


def _no_room(sweep: Sweep, engine: str) -> tuple[str, ...]:
    """Says why an engine cannot hold a pending trial; nothing where a cluster is named."""
    gpus = sweep.grid.gpus_per_trial
    if not sweep.plan.pending or not (gpus or sweep.grid.cpus_per_trial > 1):
        return ()
    if engine == "inline":
        text = (
            f"resources.gpus: {gpus:g}: --engine inline trains on this machine, and nvidia-smi "
            "tells of no GPU here; leave it out, or add --set resources.gpus=0"
        )
        return (text,) if gpus and local_gpu() is None else ()
    from orchestrator.engine.ray_cluster import check_room

    try:
        check_room(_cluster_options(sweep))
    except UserError as error:
        return (str(error),)
    return ()


def _cluster_options(sweep: Sweep) -> ClusterOptions:
    from orchestrator.engine.ray_cluster import ClusterOptions

    config = sweep.config
    if config is None:
        msg = "only a configuration can be run"
        raise ValueError(msg)
    minutes = config.runtime.no_progress_minutes
    return ClusterOptions(
        address=config.cluster.address,
        num_cpus=config.cluster.cpus,
        num_gpus=config.cluster.gpus,
        trial_cpus=config.resources.cpus,
        trial_gpus=sweep.grid.gpus_per_trial,
        max_failures=config.cluster.max_failures,
        no_progress_seconds=minutes * 60 if minutes is not None else None,
    )


def _say_how_to_resume() -> None:
    sys.stderr.write(
        "Stopped. What is finished is kept, and so is the last checkpoint of each trial that was "
        "running; the same command goes on from here.\n"
    )


def _say_end(after: Plan, sweep: Sweep, *, to_stdout: bool) -> None:
    tell = say if to_stdout else say_aside
    lost = [
        trial
        for trial in after.trials
        if trial.failure and trial.status is None and not trial.held_back
    ]
    done = sum(trial.status is not None for trial in after.trials)
    tell(f"{done} of {len(after.trials)} trials have a result in {sweep.store.place}\n")
    if after.race:
        tell(f"{after.race.sentence()}\n")
    if lost:
        classes = ", ".join(sorted({str(trial.failure) for trial in lost}))
        tell(f"{len(lost)} failed ({classes}): podium status {sweep.store.place}\n")
        tell("".join(f"{line}\n" for line in retry_hints(after)))
    elif done == len(after.trials) or (after.race and after.race.over):
        protocols = {row.protocol_id for row in sweep.store.committed().values()}
        choice = f" --protocol {sweep.grid.protocol_id}" if len(protocols) > 1 else ""
        tell(f"Next: podium rank {sweep.store.place}{choice}\n")


def retry_hints(plan: Plan) -> list[str]:
    """Says how trials that are not tried again by themselves are tried again."""
    counts = Counter(str(trial.failure) for trial in plan.failed)
    return [retry_hint(count, name) for name, count in sorted(counts.items())]


def plan_command(
    path: Path,
    overrides: Sequence[str],
    retry: Iterable[str],
    slots: int | None,
    as_json: bool,
    *,
    elsewhere: bool,
) -> None:
    """Prints the plan of a configuration.

    Raises:
        UserError: `podium run` would refuse it; the plan is printed before.
    """
    sweep = open_sweep(path, overrides, [FailureClass(item) for item in retry])
    with shown_looks():
        found = check_sweep(sweep, fetch=False)
    absent = (*found.absent, *_no_room(sweep, "ray"))
    notes = [*found.notes, *(f"not on this machine: {text}" for text in absent if elsewhere)]
    refusals = [*(absent if not elsewhere else ()), *found.refusals]
    summary: dict[str, Any] = plan_summary(sweep.plan, slots or sweep.slots)
    summary |= {"notes": notes, "refusals": refusals}
    if as_json:
        print_json_rows(summary, "trials", (trial.to_json() for trial in sweep.plan.trials))
    else:
        _print_axes(summary)
        _print_reasons(sweep.plan)
        _print_cost(summary)
    if refusals:
        if absent and not elsewhere:
            refusals.append("If the sweep will run on another machine, plan it with --elsewhere.")
        raise UserError("podium run would refuse this sweep:\n" + "\n".join(refusals))


def _print_axes(summary: dict[str, Any]) -> None:
    actions = [action.value for action in Action]
    rows: list[list[Any]] = [
        [axis.removesuffix("s") if axis != "losses" else "loss", label]
        + [counts[action] for action in actions]
        for axis, labels in summary["axes"].items()
        for label, counts in labels.items()
    ]
    rows.append(
        ["all", f"{summary['num_trials']:,} trials"] + [summary["actions"][a] for a in actions]
    )
    print_table(
        ["axis", "label", *actions],
        rows,
        title=f"{summary['name']}: protocol {summary['protocol_id']}, "
        f"{count_text(summary['repeats'], 'repeat')}",
        numeric=frozenset(actions),
    )


def _print_reasons(plan: Plan) -> None:
    counts: dict[tuple[str, str], int] = {}
    for trial in plan.trials:
        key = (trial.action.value, trial.reason)
        counts[key] = counts.get(key, 0) + 1
    print_table(
        ["action", "reason", "trials"],
        [(action, reason, count) for (action, reason), count in counts.items()],
        numeric=frozenset({"trials"}),
    )


def _print_cost(summary: dict[str, Any]) -> None:
    out = console()
    wall = duration_text(summary["expected_wall_seconds"])
    out.print(
        f"Expected: {wall} on {count_text(summary['slots'], 'slot')}, "
        f"{hours_text(summary['expected_gpu_hours'])} "
        f"GPU-hours, {hours_text(summary['expected_cpu_core_hours'])} CPU-core-hours",
        soft_wrap=True,
    )
    for source, count in summary["estimates"].items():
        out.print(f"  {count:,} trials estimated from {source}", soft_wrap=True)
    if summary["race"]:
        out.print(summary["race"]["sentence"], soft_wrap=True, markup=False)
        for reach in summary["race"]["reaches"]:
            line = f"  {reach['loss']} on {reach['axis']} {reach['block']}: its mean there"
            line += f" decides the podium in {probability_text(reach['share'])} of the draws"
            out.print(line, soft_wrap=True, markup=False)
    for note in summary["notes"]:
        out.print(f"note: {note}", soft_wrap=True, markup=False)


def status_command(target: str, overrides: Sequence[str], as_json: bool) -> None:
    """Prints the state of a sweep, from its configuration or its results."""
    path = Path(target)
    is_config = path.is_file() or path.suffix in (".yaml", ".yml")
    if overrides and not is_config:
        msg = f"--set {overrides[0]}: only a configuration can be changed; {target} is not one"
        raise UserError(msg)
    sweep = open_sweep(path, overrides) if is_config else open_results(target)
    summary: dict[str, Any] = summarise_status(sweep.plan, sweep.store.failures(), sweep.slots)
    now = utc_now()
    summary["drivers"] = [run.describe(now) for run in sweep.store.runs() if run.is_alive(now)]
    if as_json:
        print_json(summary)
        return
    rows = [(key, summary[key]) for key in ("completed", "diverged", "failed", "pending")]
    race = summary["race"]
    if race:
        over = race["state"] != "running"
        rows.append(("spared" if over else "waiting", race["num_held_back"]))
    print_table(
        ["state", "trials"],
        [*rows, ("all", summary["num_trials"])],
        title=f"{summary['name']}: {sweep.store.place}",
        numeric=frozenset({"trials"}),
    )
    if race:
        console().print(race["sentence"], soft_wrap=True, markup=False)
    if summary["failures"]:
        print_table(
            ["failure", "trials", "example", "message"],
            [
                (name, cause["num_trials"], cause["example_label"], cause["message"])
                for name, item in summary["failures"].items()
                for cause in item["causes"]
            ],
            numeric=frozenset({"trials"}),
        )
        hints = (f"Tracebacks: podium failures {sweep.store.place}", *retry_hints(sweep.plan))
        console().print("\n".join(hints), soft_wrap=True, markup=False)
    for driver in summary["drivers"]:
        console().print(
            f"Process {driver['process_id']} on {driver['host']} is at work since "
            f"{driver['started_at'][:16].replace('T', ' ')} UTC: of its {driver['pending']} trials "
            f"{driver['ended']} have ended and {driver['running']} are running",
            soft_wrap=True,
            highlight=False,
        )
    if summary["pending"]:
        eta = duration_text(summary["eta_seconds"])
        console().print(f"Expected for the rest: {eta} on {count_text(summary['slots'], 'slot')}")
