"""`podium new`: a loss or a model of your own in one file, complete and commented, with a test."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from orchestrator.cli.shared import print_line
from workers.contract import UserError

app = typer.Typer(no_args_is_help=True, help="Write a loss or a model of your own in one file.")

NameArgument = Annotated[
    str, typer.Argument(help="Name in configurations; the file is NAME.py.", metavar="NAME")
]
FolderOption = Annotated[
    Path, typer.Option("--folder", help="Write the files here: the folder of the configuration.")
]


@app.command("loss")
def new_loss(name: NameArgument, folder: FolderOption = Path()) -> None:
    """Write NAME.py with a loss and test_NAME.py with its test."""
    from workers.catalogue.losses import LOSSES

    _write("loss", "losses", name, folder, name in LOSSES)


@app.command("model")
def new_model(name: NameArgument, folder: FolderOption = Path()) -> None:
    """Write NAME.py with a model and test_NAME.py with its test."""
    from workers.catalogue.models import MODELS

    _write("model", "models", name, folder, name in MODELS)


def _write(kind: str, axis: str, name: str, folder: Path, is_taken: bool) -> None:
    """Writes both files; refuses if one of them exists, so that nothing is overwritten."""
    if keyword.iskeyword(name):
        msg = f"{name!r}: is a keyword of Python, which no module can have; choose another name"
        raise UserError(msg)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        msg = (
            f"{name!r}: the name must be that of a Python module: lower-case letters, digits and "
            "_, beginning with a letter"
        )
        raise UserError(msg)
    if is_taken:
        msg = f"{name!r}: a {kind} of this name exists (podium list {axis}); choose another name"
        raise UserError(msg)
    templates = Path(__file__).with_name("templates")
    files = {
        folder / f"{name}.py": templates / f"{kind}.txt",
        folder / f"test_{name}.py": templates / f"{kind}_test.txt",
    }
    for path in files:
        if path.exists():
            msg = f"{path}: exists and is not overwritten; choose another name, or move the file"
            raise UserError(msg)
    if importlib.util.find_spec(name) is not None:
        msg = f"{name!r}: a Python module of this name is installed; choose another name"
        raise UserError(msg)
    try:
        for path, template in files.items():
            text = template.read_text(encoding="utf-8")
            with path.open("x", encoding="utf-8") as file:
                file.write(Template(text).substitute(NAME=name))
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        msg = f"{error.filename}: {reason}; create the folder, or choose another with --folder"
        raise UserError(msg) from None
    print_line(f"Wrote {' and '.join(map(str, files))}. Next:")
    print_line(f"  python -m pytest {folder / f'test_{name}.py'}")
    print_line(f"  {axis}: [{{file: {name}.py, name: {name}}}]   in a configuration beside it")
