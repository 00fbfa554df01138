"""The commands that plan and run a sweep and keep its store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    ConfigArgument,
    EngineName,
    FailureName,
    JsonOption,
    ProgressMode,
    ResultsArgument,
    RetryOption,
    SetOption,
    local_path,
)

app = typer.Typer()


@app.command()
def run(
    config: ConfigArgument,
    overrides: SetOption = None,
    engine: Annotated[EngineName, typer.Option(help="Ray Tune, or this process.")] = EngineName.RAY,
    progress: Annotated[ProgressMode, typer.Option(help="How to show it.")] = ProgressMode.AUTO,
    retry: RetryOption = None,
) -> None:
    """Run what is missing of a sweep; the same command again continues it.

    Exit code 0: every trial has its row. 1: some trials failed. 2: something to mend first.
    130: stopped by Ctrl-C.
    """
    from orchestrator.cli.sweep import run_command

    code = run_command(
        config, overrides or [], engine.value, progress.value, [item.value for item in retry or []]
    )
    raise typer.Exit(code)


@app.command()
def submit(
    config: ConfigArgument,
    address: Annotated[
        str,
        typer.Option(
            help="The cluster's dashboard, such as http://HEAD:8265.",
            envvar="RAY_API_SERVER_ADDRESS",
        ),
    ],
    overrides: SetOption = None,
    retry: RetryOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its output and end with its exit code.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the job of this sweep; what is done is kept.")
    ] = False,
    with_code: Annotated[
        bool,
        typer.Option("--with-code", help="Send this Podium's code along; else the cluster's runs."),
    ] = False,
) -> None:
    """Run a sweep as a job of a Ray cluster; the configuration alone is sent.

    With --follow it ends as `podium run` would: 0, 1, 2, or 130 where the job was stopped.
    """
    from orchestrator.cli.submit import submit_command

    code = submit_command(
        config,
        address,
        overrides or [],
        [item.value for item in retry or []],
        follow=follow,
        stop=stop,
        with_code=with_code,
    )
    raise typer.Exit(code)


@app.command()
def tune(
    config: ConfigArgument,
    overrides: SetOption = None,
    progress: Annotated[ProgressMode, typer.Option(help="How to show it.")] = ProgressMode.AUTO,
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Folder of the report; RESULTS/tuned unless given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Search each loss's parameters on validation images; the same command again continues.

    Exit code 0: every search has its candidates. 1: some failed. 2: something to mend first.
    130: stopped by Ctrl-C.
    """
    from orchestrator.cli.tune import tune_command

    raise typer.Exit(tune_command(config, overrides or [], progress.value, out, as_json))


@app.command()
def plan(
    config: ConfigArgument,
    overrides: SetOption = None,
    retry: RetryOption = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Trials at once, for the wall time.")
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
    """Show the grid: what is done, what remains, what it will cost. Starts nothing.

    Exit code 2: `podium run` would refuse to start.
    """
    from orchestrator.cli.sweep import plan_command

    plan_command(
        config,
        overrides or [],
        [item.value for item in retry or []],
        slots,
        as_json,
        elsewhere=elsewhere,
    )


@app.command()
def status(
    target: Annotated[str, typer.Argument(help="Results or a configuration.", metavar="TARGET")],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count what is done, failed and missing; say how long the rest will take."""
    from orchestrator.cli.sweep import status_command

    status_command(target, overrides or [], as_json)


@app.command()
def failures(
    results: ResultsArgument,
    failure_class: Annotated[
        FailureName | None, typer.Option("--class", help="Only failures of this class.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the attempts that gave no result, the newest first, with the end of each traceback."""
    from orchestrator.cli.failures import failures_command

    failures_command(results, failure_class.value if failure_class else None, last, as_json)


@app.command()
def compact(results: ResultsArgument, as_json: JsonOption = False) -> None:
    """Merge the files of each table into one; safe at any time."""
    from orchestrator.cli.results import compact_command

    compact_command(results, as_json)


@app.command()
def verify(
    results: ResultsArgument,
    quarantine: Annotated[
        bool,
        typer.Option(
            "--quarantine", help="Move what is broken to RESULTS/quarantine, to be run again."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read every page of every file and say what is wrong.

    Exit code 0: nothing. 1: something is, also where it was just moved aside. 2: the place cannot
    be read.
    """
    from orchestrator.cli.verify import verify_command

    raise typer.Exit(verify_command(results, quarantine=quarantine, as_json=as_json))
