"""`podium check`: whether a loss does what every loss must."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.shared import JsonOption, print_json, print_line, print_table
from workers.contract import UserError

app = typer.Typer(no_args_is_help=True, help="Check that a loss does what every loss must.")


@app.callback()
def _group() -> None:
    pass


@app.command("loss")
def check_loss(
    name: Annotated[str, typer.Argument(help="A loss of `podium list losses`.", metavar="NAME")],
    as_json: JsonOption = False,
) -> None:
    """Check values, gradient, extreme inputs, learning and cost of a loss.

    Exit code 0: no check failed. 1: one failed. 2: the loss does not exist.
    """
    from workers.catalogue import nearest
    from workers.catalogue.losses import LOSSES
    from workers.losses import checks

    if name not in LOSSES:
        components = "check each component of a sum by itself; " if "+" in name else ""
        msg = f"unknown loss {name!r}; {components}{nearest(name, LOSSES)}"
        raise UserError(msg)
    entry = LOSSES[name]
    found = checks.check_loss(entry)
    num_failed = sum(one.outcome == "failed" for one in found)
    rows = [(one.check.name, one.check.promise, one.outcome, one.detail) for one in found]
    if as_json:
        keys = ("name", "promise", "outcome", "detail")
        listed = [dict(zip(keys, row, strict=True)) for row in rows]
        print_json({"loss": name, "num_failed": num_failed, "checks": listed})
    else:
        print_table(["check", f"{name} ({entry.title})", "outcome", "found"], rows)
        print_line(
            f"{num_failed} of {len(found)} checks failed." if num_failed else "No check failed."
        )
    raise typer.Exit(int(num_failed > 0))
