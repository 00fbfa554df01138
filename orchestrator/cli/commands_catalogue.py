"""The commands that say what a configuration can name and what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    JsonOption,
)

list_app = typer.Typer(no_args_is_help=True, help="What a configuration can name.")
data_app = typer.Typer(no_args_is_help=True, help="Datasets: what is known, what is on disk.")


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
    target: Annotated[
        Path,
        typer.Argument(
            help="Folder that holds the datasets, or a configuration.", metavar="ROOT|CONFIG"
        ),
    ],
    every_name: Annotated[
        bool, typer.Option("--all", help="Name every file; otherwise five of each kind.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at every file of the datasets; the same words as in plan and run.

    Exit code 0: each can be trained on. 1: one cannot. 2: none was found.
    """
    from orchestrator.cli.catalogue import verify_command

    raise typer.Exit(verify_command(target, every_name=every_name, as_json=as_json))


@data_app.command("show")
def show_data(
    target: Annotated[
        str,
        typer.Argument(
            help="Folder that holds datasets, a configuration, or the name of a dataset.",
            metavar="DATASET|CONFIG",
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option(help="With a name: the folder that holds the dataset; by default this one."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="File to write; .html or .png decides the form.")
    ] = Path("podium-data.html"),
    number: Annotated[
        int, typer.Option(min=1, max=1000, help="Samples of each dataset at most.")
    ] = 24,
) -> None:
    """Draw a contact sheet: images with the outline of their mask, worst findings first.

    Exit code 2: there is no such dataset. A dataset that cannot be trained on is shown too.
    """
    from orchestrator.cli.show import show_command

    show_command(target, root=root, out=out, number=number)
