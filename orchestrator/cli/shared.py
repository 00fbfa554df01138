"""Arguments and options that several commands share, and how commands print."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Literal, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.address import AddressError, parse_address
from orchestrator.progress import ProgressMode
from orchestrator.progress.inspection import InspectionProgress
from orchestrator.ranking.choices import TieName
from orchestrator.safe_text import clean, clean_json
from workers.contract import UserError

PIPE_COLUMNS = 100
"""Width of a table in a pipe or file, if COLUMNS does not set another."""

RetryClass = Literal["bug", "out-of-memory"]
"""Failures that are run again only on request."""


def one_of(*choices: str) -> Callable[[str], str]:
    """Returns a parser that accepts these values: Typer takes no list of a Literal."""

    def parse(text: str) -> str:
        if text not in choices:
            msg = f"{text!r} is not one of {', '.join(map(repr, choices))}."
            raise typer.BadParameter(msg)
        return text

    return parse


def local_path(text: str) -> Path:
    """Returns a path to write to; `Path` alone would turn `s3://b/x` into a folder named `s3:`."""
    try:
        found = parse_address(text)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from None
    if not isinstance(found, str):
        raise typer.BadParameter("must be a local path")  # noqa: EM101 - click names the option
    return Path(found)


def lower_is_better(lower: bool, higher: bool) -> bool | None:
    """Returns the direction that two flags ask for; None if neither is given.

    Raises:
        UserError: Both are given.
    """
    if lower and higher:
        msg = "--lower-is-better and --higher-is-better: give one of them"
        raise UserError(msg)
    return True if lower else False if higher else None


ConfigArgument = Annotated[Path, typer.Argument(help="A YAML configuration.", metavar="CONFIG")]
ResultsArgument = Annotated[str, typer.Argument(help="A results folder or URI.", metavar="RESULTS")]
TableArgument = Annotated[
    str,
    typer.Argument(
        help="Results, or a CSV or Parquet table with dataset and/or model, loss, dice.",
        metavar="RESULTS",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a key, e.g. training.max_epochs=2."),
]
RetryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--retry",
        parser=one_of(*get_args(RetryClass)),
        metavar=f"<{'|'.join(get_args(RetryClass))}>",
        help="Run failed trials of this class again.",
    ),
]
ProgressOption = Annotated[ProgressMode, typer.Option(help="How to show the progress.")]
MetricOption = Annotated[str, typer.Option(help="The column to rank by.")]
LowerOption = Annotated[
    bool,
    typer.Option(
        "--lower-is-better", help="Lower is better, for a metric that Podium does not know."
    ),
]
HigherOption = Annotated[
    bool,
    typer.Option(
        "--higher-is-better", help="Higher is better, for a metric that Podium does not know."
    ),
]
TiesOption = Annotated[TieName, typer.Option(help="Rule for the points of tied places.")]
ProtocolOption = Annotated[
    str | None, typer.Option(help="The protocol to rank, if the results hold several.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


class _Console(Console):
    """A console to which text from results cannot give commands."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - as rich has them
        """Returns a text that is about to be printed."""
        return super().render_str(clean(text), **options)


def console() -> Console:
    """Returns a console on standard output: COLUMNS wide if set, else as wide as the terminal."""
    given = os.environ.get("COLUMNS", "")
    known = sys.stdout.isatty() or (given.isascii() and given.isdigit() and int(given) > 0)
    return _Console(width=None if known else PIPE_COLUMNS, highlight=False)


def say(text: str) -> None:
    """Prints text as it is, except for control characters that a terminal would obey."""
    sys.stdout.write(clean(text))


def say_aside(text: str) -> None:
    """Prints text on standard error in the same way."""
    sys.stderr.write(clean(text))


def print_line(text: str, *, style: str | None = None, wrap: bool = False) -> None:
    """Prints a line as it is, or broken at the width of the console; brackets are no markup."""
    if wrap:
        text = fill(text, console().width, break_long_words=False, break_on_hyphens=False)
    console().print(text, style=style, soft_wrap=True, markup=False)


@contextmanager
def shown_inspection() -> Iterator[InspectionProgress]:
    """Shows the inspection of files on standard error, until the display is closed."""
    from workers.datasets.files.storage import watched_inspection

    display = InspectionProgress(sys.stderr)
    with watched_inspection(display):
        try:
            yield display
        finally:
            display.close()


def print_notes(notes: Iterable[str]) -> None:
    """Prints notes on standard error, one line each."""
    for note in notes:
        say_aside(f"note: {note}\n")


def print_json(document: object) -> None:
    """Prints one JSON document, readable and with names as they are."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(clean_json(text) + "\n")


def print_json_rows(
    document: Mapping[str, object], key: str, rows: Iterable[Mapping[str, object]]
) -> None:
    """Prints the same as `print_json` of a document with rows under a last key, row by row.

    Args:
        document: The other keys.
        key: The last one.
        rows: Flat mappings, of which there may be a million.
    """
    head = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    encode = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=(",\n      ", ": ")
    ).encode

    def write(text: str) -> None:
        sys.stdout.write(clean_json(text))

    write(f"{head[:-2]},\n  {json.dumps(key)}: [")
    comma = ""
    for row in rows:
        write(f"{comma}\n    {{\n      {encode(row)[1:-1]}\n    }}")
        comma = ","
    write(f"{chr(10) + '  ' if comma else ''}]\n}}\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    numeric: frozenset[str] = frozenset(),
) -> None:
    """Prints a table; columns in `numeric` are aligned to the right."""
    rows = list(rows)
    longest = max((len(str(row[0])) for row in rows), default=0)
    table = Table(header_style="bold")
    for position, name in enumerate(columns):
        # The first column is never cut: a truncated name cannot be copied. A name that would leave
        # the other columns without room is folded.
        table.add_column(
            name,
            justify="right" if name in numeric else "left",
            no_wrap=position == 0 and 2 * longest <= console().width,
            overflow="fold" if position == 0 else "ellipsis",
        )
    for row in rows:
        table.add_row(*(Text("-" if cell is None else clean(str(cell))) for cell in row))
    if title:
        print_line(title, style="bold")
    console().print(table)
