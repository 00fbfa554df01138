"""How commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.progress.looks import LookProgress
from workers.datasets.storage import watched_looks


def console() -> Console:
    """Returns a console on standard output, as wide as the terminal, 100 columns in a pipe."""
    return Console(width=None if sys.stdout.isatty() else 100, highlight=False)


@contextmanager
def shown_looks() -> Iterator[LookProgress]:
    """Says on standard error how far a first look at files is, until the display is closed."""
    display = LookProgress(sys.stderr)
    with watched_looks(display):
        try:
            yield display
        finally:
            display.close()


def print_notes(notes: Iterable[str]) -> None:
    """Prints notes on standard error, one line each."""
    sys.stderr.writelines(f"note: {note}\n" for note in notes)


def print_json(document: object) -> None:
    """Prints one JSON document, readable and with names as they are."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_json_rows(
    document: Mapping[str, object], key: str, rows: Iterable[Mapping[str, object]]
) -> None:
    """Prints what `print_json` would with the rows under a last key, without keeping their text.

    Args:
        document: The other keys.
        key: The last one.
        rows: Flat mappings, of which there may be a million.
    """
    head = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    encode = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=(",\n      ", ": ")
    ).encode
    write = sys.stdout.write
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
    table = Table(header_style="bold")
    for position, name in enumerate(columns):
        # A name that is cut cannot be copied.
        table.add_column(
            name, justify="right" if name in numeric else "left", no_wrap=position == 0
        )
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    out = console()
    if title:
        out.print(title, style="bold", markup=False, soft_wrap=True)
    out.print(table)
