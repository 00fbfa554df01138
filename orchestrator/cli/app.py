"""The command line; every command imports its libraries itself, so `podium --help` is quick."""

from __future__ import annotations

import os
import sys

import typer

from orchestrator.cli import commands_answers, commands_catalogue, commands_sweeps

app = typer.Typer(
    name="podium",
    help="Which loss, on which data, with which network? Plan a grid of trainings, run it on Ray, "
    "and see the podium.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(commands_sweeps.app)
app.add_typer(commands_answers.app)
app.add_typer(commands_catalogue.list_app, name="list")
app.add_typer(commands_catalogue.data_app, name="data")


def main() -> None:
    """Runs the command line; what a user can mend is one message and exit code 2."""
    from orchestrator.address import hide_credentials
    from orchestrator.safe_text import clean
    from workers.contract import UserError

    code: int | str | None
    try:
        app()
        code = 0
    except SystemExit as end:
        code = end.code
    except UserError as error:
        typer.echo(clean(f"error: {hide_credentials(str(error))}"), err=True)
        code = 2
    if isinstance(code, int) and {"ray", "duckdb"} & set(sys.modules):
        # Torch and Ray keep references past the interpreter's end, and DuckDB's binding would
        # report each as a leak on the terminal. Everything is written and Ray is shut down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
