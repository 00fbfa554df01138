"""The command line `podium`: its commands in the order of `podium --help`.

A command imports its libraries in its functions, so that `podium --help` is fast.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from orchestrator.address import hide_credentials
from orchestrator.cli import (
    catalogue,
    check,
    compare,
    data,
    new,
    predict,
    query,
    rank,
    report,
    results,
    submit,
    sweep,
)
from orchestrator.cli import tune as search
from orchestrator.safe_text import clean
from workers.contract import UserError

app = typer.Typer(
    name="podium",
    help="Which loss, on which data, with which network? Plan a grid of trainings, run it on Ray, "
    "and see the podium.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_REPLACED = {
    "--resample": "--about",
    "--samples": "--draws",
    "--significance": "--pairs",
}


class _Command(TyperCommand):
    """A command that names the successor of an option that it no longer has."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - private in typer
        """Parses the arguments.

        Raises:
            UserError: One of them is a replaced option.
        """
        known = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        for name in (argument.partition("=")[0] for argument in args):
            if name in _REPLACED and name not in known and _REPLACED[name] in known:
                msg = (
                    f"{name}: this option is replaced; use {_REPLACED[name]} "
                    f"(podium {self.name} --help)"
                )
                raise UserError(msg)
        return super().parse_args(ctx, args)


for command in (
    sweep.run,
    submit.submit,
    search.tune,
    sweep.plan,
    sweep.status,
    results.failures,
    results.compact,
    results.verify,
    rank.rank,
    report.figures,
    report.report,
    compare.compare,
    results.watch,
    query.query,
    predict.predict,
):
    app.command(cls=_Command)(command)
app.add_typer(catalogue.app, name="list")
app.add_typer(new.app, name="new")
app.add_typer(data.app, name="data")
app.add_typer(check.app, name="check")


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"podium {version('podium-sweep')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line; a `UserError` is printed as one message, with exit code 2."""
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
