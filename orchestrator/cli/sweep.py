"""`podium run`, `plan` and `status`."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.rank_text import print_power
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
    shown_inspection,
)
from orchestrator.engine.setup import EngineName
from orchestrator.engine.signals import raise_on_signals
from orchestrator.wording import count_text, duration_text, hours_text, probability_text
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.plan.grid import Grid
    from orchestrator.plan.planner import Plan
    from orchestrator.ranking.components import Components, Power
    from orchestrator.sweep import Sweep

EXIT_DONE, EXIT_FAILED_TRIALS, EXIT_INTERRUPTED = 0, 1, 130


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
    from orchestrator.run import run_sweep
    from orchestrator.sweep import open_sweep

    sweep = open_sweep(config, overrides or (), retry or ())
    raise_on_signals()
    try:
        with shown_inspection() as inspection:

            def on_notes(notes: tuple[str, ...]) -> None:
                inspection.close()
                print_notes(notes)

            ended = run_sweep(sweep, engine, progress, on_notes=on_notes)
    except KeyboardInterrupt:
        _say_how_to_resume()
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if ended.report.interrupted:
        _say_how_to_resume()
        raise typer.Exit(EXIT_INTERRUPTED)
    after = ended.plan
    _say_end(after, sweep, to_stdout=progress != "json")
    raise typer.Exit(EXIT_FAILED_TRIALS if after.pending or after.failed else EXIT_DONE)


def _say_how_to_resume() -> None:
    sys.stderr.write(
        "Stopped. Finished trials are kept, and so is the last checkpoint of each trial that was "
        "running; run the same command again to continue.\n"
    )


def _say_end(after: Plan, sweep: Sweep, *, to_stdout: bool) -> None:
    tell = say if to_stdout else say_aside
    lost = [
        trial
        for trial in after.trials
        if trial.failure and trial.status is None and not trial.held_back
    ]
    done = sum(trial.status is not None for trial in after.trials)
    tell(f"{done} of {len(after.trials)} trials have a result in {sweep.store.name}\n")
    if after.race:
        tell(f"{after.race.sentence()}\n")
    if lost:
        classes = ", ".join(sorted({str(trial.failure) for trial in lost}))
        tell(f"{len(lost)} failed ({classes}): podium status {sweep.store.name}\n")
        tell("".join(f"{line}\n" for line in retry_hints(after)))
    elif done == len(after.trials) or (after.race and after.race.over):
        protocols = {row.protocol_id for row in sweep.store.committed().values()}
        choice = f" --protocol {sweep.grid.protocol_id}" if len(protocols) > 1 else ""
        tell(f"Next: podium rank {shlex.quote(sweep.store.name)}{choice}\n")


def retry_hints(plan: Plan) -> list[str]:
    """Returns how to run failed trials again, one sentence per class that needs --retry."""
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
    power: Annotated[
        bool,
        typer.Option("--power", help="Half-widths of the intervals that this grid will give."),
    ] = False,
    components: Annotated[
        str | None,
        typer.Option(
            metavar="RESULTS",
            help="A finished sweep or table to measure the components of --power in; by default "
            "they are assumed.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the grid: finished and pending trials, and their cost. Starts nothing.

    Exit code 2: `podium run` would refuse to start.
    """
    from orchestrator.sweep import plan as plan_sweep

    with shown_inspection():
        found = plan_sweep(config, overrides or (), retry or (), slots=slots, elsewhere=elsewhere)
    trials = found.sweep.plan.trials
    expected = _power(found.sweep.grid, components) if power or components else None
    if as_json:
        summary = {**found.summary, "power": expected.to_json() if expected else None}
        print_json_rows(summary, "trials", (trial.to_json() for trial in trials))
    else:
        _print_axes(found.summary)
        _print_reasons(found.sweep.plan)
        _print_cost(found.summary)
        if expected:
            print_power(expected)
    if found.refusals:
        lines = ["podium run would refuse this sweep:", *found.refusals]
        if found.absent:
            lines.append("If the sweep will run on another machine, plan it with --elsewhere.")
        raise UserError("\n".join(lines))


def _power(grid: Grid, components: str | None) -> Power:
    """Returns the half-widths of a grid, with components measured in results or assumed."""
    from orchestrator.ranking.components import ASSUMED, GridSize, measure
    from orchestrator.ranking.components import power as power_of
    from orchestrator.ranking.scores import scores_of
    from orchestrator.target import RANKED_COLUMNS, read_target

    if len(grid.losses) < 2:
        msg = "--power: a difference needs two losses, and this grid has one; leave --power out"
        raise UserError(msg)
    found: Components | None = ASSUMED
    if components:
        read = read_target(components, columns=RANKED_COLUMNS)
        found = measure(scores_of(read.table, read.expected), f"of Dice, measured in {read.name}")
    if found is None:
        msg = f"--components {components}: fewer than two losses have a finished trial; name others"
        raise UserError(msg)
    size = GridSize(
        num_datasets=len(grid.datasets),
        num_models=len(grid.models),
        num_losses=len(grid.losses),
        num_repeats=grid.repeats,
    )
    return power_of(found, size)


def _print_axes(summary: Mapping[str, Any]) -> None:
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


def _print_cost(summary: Mapping[str, Any]) -> None:
    wall = duration_text(summary["expected_wall_seconds"])
    print_line(
        f"Expected: {wall} on {count_text(summary['slots'], 'slot')}, "
        f"{hours_text(summary['expected_gpu_hours'])} "
        f"GPU-hours, {hours_text(summary['expected_cpu_core_hours'])} CPU-core-hours"
    )
    for source, count in summary["estimates"].items():
        print_line(f"  {count:,} trials estimated from {source}")
    if summary["race"]:
        print_line(summary["race"]["sentence"])
        for reach in summary["race"]["reaches"]:
            line = f"  {reach['loss']} on {reach['axis']} {reach['block']}: its mean there"
            line += f" decides the podium in {probability_text(reach['share'])} of the draws"
            print_line(line)
    for note in summary["notes"]:
        print_line(f"note: {note}")


def status(
    target: Annotated[str, typer.Argument(help="Results or a configuration.", metavar="TARGET")],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count finished, failed and missing trials; estimate the time for the rest."""
    from orchestrator.sweep import status as status_of

    found = status_of(target, overrides or ())
    sweep, summary = found.sweep, found.summary
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
        title=f"{summary['name']}: {sweep.store.name}",
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
        hints = (f"Tracebacks: podium failures {sweep.store.name}", *retry_hints(sweep.plan))
        print_line("\n".join(hints))
    for driver in summary["drivers"]:
        print_line(
            f"Process {driver['process_id']} on {driver['host']} has been working since "
            f"{driver['started_at'][:16].replace('T', ' ')} UTC: "
            f"{count_text(driver['pending'], 'trial')}, {driver['ended']} ended, "
            f"{driver['running']} running"
        )
    if summary["pending"]:
        eta = duration_text(summary["eta_seconds"])
        print_line(f"Expected for the rest: {eta} on {count_text(summary['slots'], 'slot')}")
