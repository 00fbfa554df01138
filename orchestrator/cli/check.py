"""`podium check`: whether a loss does what every loss must."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.shared import JsonOption, print_json, print_line, print_table
from workers.contract import UserError

if TYPE_CHECKING:
    from workers.catalogue.losses import LossEntry

app = typer.Typer(no_args_is_help=True, help="Check that a loss does what every loss must.")


@app.callback()
def _group() -> None:
    pass


@app.command("loss")
def check_loss(
    name: Annotated[
        str,
        typer.Argument(
            help="A loss of `podium list losses`, or a Python file with losses.",
            metavar="NAME|FILE",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Check values, gradient, extreme inputs, learning and cost of a loss.

    Exit code 0: no check failed. 1: one failed. 2: there is none, or its file is not usable.
    """
    from workers.losses import checks

    keys = ("name", "promise", "outcome", "detail")
    documents = []
    for entry in _entries(name):
        results = checks.check_loss(entry)
        rows = [(one.check.name, one.check.promise, one.outcome, one.detail) for one in results]
        num_failed = sum(one.outcome == "failed" for one in results)
        listed = [dict(zip(keys, row, strict=True)) for row in rows]
        documents.append({"loss": entry.name, "num_failed": num_failed, "checks": listed})
        if not as_json:
            print_table(["check", entry.name, "outcome", "found"], rows)
            print_line(f"{num_failed or 'none'} of {len(rows)} checks failed")
    if as_json:
        print_json(documents)
    raise typer.Exit(int(any(document["num_failed"] for document in documents)))


def _entries(name: str) -> list[LossEntry]:
    """Returns the loss of the catalogue, or those of a file.

    Raises:
        UserError: There is no such loss; the file cannot be read, or holds none.
    """
    from workers.catalogue import nearest
    from workers.catalogue.code_files import unknown_in_file
    from workers.catalogue.losses import LOSSES

    if name.endswith(".py"):
        names = LOSSES.add_file(Path(name))
        if not names:
            raise UserError(unknown_in_file("", name, names, "loss"))
        return [LOSSES[one] for one in names.values()]
    if name not in LOSSES:
        components = "check each component of a sum by itself; " if "+" in name else ""
        msg = f"unknown loss {name!r}; {components}{nearest(name, LOSSES)}"
        raise UserError(msg)
    return [LOSSES[name]]
