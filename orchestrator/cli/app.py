"""The commands; each imports what it needs, so that `podium --help` loads neither torch nor ray."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="podium",
    help="Which loss, on which data, with which network? Plan a grid of trainings, run it on Ray, "
    "and see the podium.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
list_app = typer.Typer(no_args_is_help=True, help="What a configuration can name.")
data_app = typer.Typer(no_args_is_help=True, help="Datasets: what is known, what is on disk.")
app.add_typer(list_app, name="list")
app.add_typer(data_app, name="data")


class EngineName(StrEnum):
    """How trials are run."""

    RAY = "ray"
    INLINE = "inline"


class ProgressMode(StrEnum):
    """How a run is shown."""

    AUTO = "auto"
    LIVE = "live"
    PLAIN = "plain"
    JSON = "json"


class TieRule(StrEnum):
    """Who gets the points of tied places."""

    SPLIT = "split"
    MIN = "min"
    MAX = "max"
    ORDER = "order"


class RetryClass(StrEnum):
    """Failures that are run again only when asked."""

    BUG = "bug"


ConfigArgument = Annotated[Path, typer.Argument(help="A YAML configuration.", metavar="CONFIG")]
ResultsArgument = Annotated[str, typer.Argument(help="A results folder or URI.", metavar="RESULTS")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a key, e.g. training.max_epochs=2."),
]
RetryOption = Annotated[
    list[RetryClass] | None, typer.Option("--retry", help="Run failed trials of this class again.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


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
def plan(
    config: ConfigArgument,
    overrides: SetOption = None,
    retry: RetryOption = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Trials at once, for the wall time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the grid: what is done, what remains, what it will cost. Starts nothing."""
    from orchestrator.cli.sweep import plan_command

    plan_command(config, overrides or [], [item.value for item in retry or []], slots, as_json)


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
def compact(results: ResultsArgument, as_json: JsonOption = False) -> None:
    """Merge the files of each table into one; safe at any time."""
    from orchestrator.cli.results import compact_command

    compact_command(results, as_json)


@app.command()
def rank(
    target: Annotated[
        str,
        typer.Argument(
            help="Results, or a CSV or Parquet table with dataset and/or model, loss, dice.",
            metavar="RESULTS",
        ),
    ],
    ties: Annotated[
        TieRule,
        typer.Option(
            help="Tied places: split their points, all get the better (min) or the worse "
            "(max) place's, or the first listed wins (order)."
        ),
    ] = TieRule.SPLIT,
    metric: Annotated[str, typer.Option(help="The column to rank by.")] = "dice",
    protocol: Annotated[
        str | None, typer.Option(help="Which protocol, where the results hold several.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give 3, 2, 1 points to the best three losses per dataset and per model."""
    from orchestrator.cli.results import rank_command

    rank_command(target, ties.value, metric, protocol, as_json)


@app.command()
def report(
    results: ResultsArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; RESULTS/report unless given.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Which protocol, where the results hold several.")
    ] = None,
) -> None:
    """Write one self-contained HTML page, and its figures as PNG and SVG."""
    from orchestrator.cli.results import report_command

    report_command(results, out, protocol)


@list_app.command("models")
def list_models(as_json: JsonOption = False) -> None:
    """The architectures, with parameters, multiply-adds at 224 px and citation."""
    from orchestrator.cli.catalogue import list_models_command

    list_models_command(as_json)


@list_app.command("losses")
def list_losses(as_json: JsonOption = False) -> None:
    """The losses; any sum such as iou+focal is one too."""
    from orchestrator.cli.catalogue import list_losses_command

    list_losses_command(as_json)


@list_app.command("datasets")
@data_app.command("list")
def list_datasets(as_json: JsonOption = False) -> None:
    """The datasets, with counts, licence, citation and archive names."""
    from orchestrator.cli.catalogue import list_datasets_command

    list_datasets_command(as_json)


@data_app.command("verify")
def verify_data(
    root: Annotated[Path, typer.Argument(help="Folder that holds the datasets.", metavar="ROOT")],
    as_json: JsonOption = False,
) -> None:
    """Check every file under ROOT; exit code 1 where one cannot be used."""
    from orchestrator.cli.catalogue import verify_command

    raise typer.Exit(verify_command(root, as_json))


def main() -> None:
    """Runs the command line; what a user can mend is one message and exit code 2."""
    from workers.contract import UserError

    code: int | str | None
    try:
        app()
        code = 0
    except SystemExit as end:
        code = end.code
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        code = 2
    if isinstance(code, int) and {"ray", "duckdb"} & set(sys.modules):
        # Torch and Ray keep references past the interpreter's end, and DuckDB's binding would
        # report each as a leak on the terminal. Everything is written and Ray is shut down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
