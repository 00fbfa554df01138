"""`podium run`, `plan` and `status`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli.results import retry_hint
from orchestrator.cli.shared import (
    ConfigArgument,
    JsonOption,
    ProgressOption,
    RetryOption,
    SetOption,
    print_json,
    print_json_rows,
    print_line,
    print_notes,
    print_table,
    say,
    say_aside,
    shown_looks,
)
from orchestrator.engine.signals import raise_on_signals
from orchestrator.progress import Forecast, format_duration, make_progress
from orchestrator.wording import count_text
from workers.contract import FailureClass, UserError

if TYPE_CHECKING:
    from orchestrator.config import SweepConfig
    from orchestrator.engine.base import Engine
    from orchestrator.engine.ray_cluster import ClusterOptions
    from orchestrator.plan.grid import Grid
    from orchestrator.plan.planner import Plan
    from orchestrator.sweep import Sweep

EXIT_DONE, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED = 0, 1, 130
EngineName = Literal["ray", "inline"]


def run(
    config: ConfigArgument,
    overrides: SetOption = None,
    engine: Annotated[EngineName, typer.Option(help="Ray Tune, or this process.")] = "ray",
    progress: ProgressOption = "auto",
    retry: RetryOption = None,
) -> None:
    """Run the trials of a sweep that have no result; run it again to continue.

    Exit code 0: every trial has a result. 1: some trials failed. 2: you must fix something first.
    130: stopped by Ctrl-C.
    """
    from orchestrator.sweep import open_sweep, run_sweep

    sweep = open_sweep(config, overrides or (), [FailureClass(item) for item in retry or ()])
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
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if report.interrupted:
        _say_how_to_resume()
        raise typer.Exit(EXIT_INTERRUPTED)
    _say_end(after, sweep, to_stdout=progress != "json")
    raise typer.Exit(EXIT_FAILED_TRIALS if after.pending or after.failed else EXIT_DONE)


def make_engine(name: str, sweep: Sweep) -> Engine:
    """Returns the engine of a name; Ray is imported only if it is used."""
    if name == "inline":
        from orchestrator.engine.inline import InlineEngine

        return InlineEngine()
    from orchestrator.engine.ray_tune import RayTuneEngine

    return RayTuneEngine(cluster_options(_config(sweep), sweep.grid))


def _no_room(sweep: Sweep, engine: str) -> tuple[str, ...]:
    """Returns why an engine cannot hold a pending trial; empty if a cluster is named."""
    from orchestrator.config.gpus import local_gpu

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
        check_room(cluster_options(_config(sweep), sweep.grid))
    except UserError as error:
        return (str(error),)
    return ()


def cluster_options(config: SweepConfig, grid: Grid) -> ClusterOptions:
    """Returns the Ray cluster of a configuration, and the room of one trial on it."""
    from orchestrator.engine.ray_cluster import ClusterOptions

    minutes = config.runtime.no_progress_minutes
    return ClusterOptions(
        address=config.cluster.address,
        num_cpus=config.cluster.cpus,
        num_gpus=config.cluster.gpus,
        trial_cpus=config.resources.cpus,
        trial_gpus=grid.gpus_per_trial,
        max_failures=config.cluster.max_failures,
        no_progress_seconds=minutes * 60 if minutes is not None else None,
    )


def _config(sweep: Sweep) -> SweepConfig:
    if sweep.config is None:
        msg = "only a configuration can be run"
        raise ValueError(msg)
    return sweep.config


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
    """Returns how to run trials again whose failure is final unless the user retries them."""
    counts = Counter(str(trial.failure) for trial in plan.failed)
    return [retry_hint(count, name) for name, count in sorted(counts.items())]


def plan(
    config: ConfigArgument,
    overrides: SetOption = None,
    retry: RetryOption = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, help="Trials that run at the same time, for the estimated time."),
    ] = None,
    elsewhere: Annotated[
        bool,
        typer.Option(
            "--elsewhere",
            help="Plan for another machine: data, weights or GPUs may be absent here.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the grid: finished and pending trials, and their cost. Starts nothing.

    Exit code 2: `podium run` would refuse to start.
    """
    from orchestrator.plan.planner import plan_summary
    from orchestrator.sweep import check_sweep, open_sweep

    sweep = open_sweep(config, overrides or (), [FailureClass(item) for item in retry or ()])
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
    from orchestrator.plan.planner import Action

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
    wall = format_duration(summary["expected_wall_seconds"])
    print_line(
        f"Expected: {wall} on {count_text(summary['slots'], 'slot')}, "
        f"{summary['expected_gpu_hours']:,.2f} "
        f"GPU-hours, {summary['expected_cpu_core_hours']:,.2f} CPU-core-hours"
    )
    for source, count in summary["estimates"].items():
        print_line(f"  {count:,} trials estimated from {source}")
    if summary["race"]:
        print_line(summary["race"]["sentence"])
        for reach in summary["race"]["reaches"]:
            line = f"  {reach['loss']} on {reach['axis']} {reach['block']}: its mean there"
            line += f" decides the podium in {reach['share']:.0%} of the draws"
            print_line(line)
    for note in summary["notes"]:
        print_line(f"note: {note}")


def status(
    target: Annotated[str, typer.Argument(help="Results or a configuration.", metavar="TARGET")],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count finished, failed and missing trials; estimate the time for the rest."""
    from orchestrator.engine.base import utc_now
    from orchestrator.plan.planner import summarise_status
    from orchestrator.sweep import open_results, open_sweep

    path = Path(target)
    is_config = path.is_file() or path.suffix in (".yaml", ".yml")
    if overrides and not is_config:
        msg = f"--set {overrides[0]}: only a configuration can be changed; {target} is not one"
        raise UserError(msg)
    sweep = open_sweep(path, overrides or ()) if is_config else open_results(target)
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
        print_line(race["sentence"])
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
        print_line("\n".join(hints))
    for driver in summary["drivers"]:
        print_line(
            f"Process {driver['process_id']} on {driver['host']} is at work since "
            f"{driver['started_at'][:16].replace('T', ' ')} UTC: of its {driver['pending']} trials "
            f"{driver['ended']} have ended and {driver['running']} are running"
        )
    if summary["pending"]:
        eta = format_duration(summary["eta_seconds"])
        print_line(f"Expected for the rest: {eta} on {count_text(summary['slots'], 'slot')}")
