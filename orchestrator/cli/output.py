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
from orchestrator.safe_text import clean, clean_json
from workers.datasets.files.storage import watched_looks


class _Console(Console):
    """A console to which text from results cannot give commands."""

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - as rich has them
        """Returns a text that is about to be printed."""
        return super().render_str(clean(text), **options)


def console() -> Console:
    """Returns a console on standard output, as wide as the terminal, 100 columns in a pipe."""
    return _Console(width=None if sys.stdout.isatty() else 100, highlight=False)


def say(text: str) -> None:
    """Prints text as it is, without what a terminal would obey."""
    sys.stdout.write(clean(text))


def say_aside(text: str) -> None:
    """Prints notes and errors likewise, on standard error."""
    sys.stderr.write(clean(text))


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
    for note in notes:
        say_aside(f"note: {note}\n")


def print_json(document: object) -> None:
    """Prints one JSON document, readable and with names as they are."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(clean_json(text) + "\n")


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
    table = Table(header_style="bold")
    for position, name in enumerate(columns):
        # A name that is cut cannot be copied.
        table.add_column(
            name, justify="right" if name in numeric else "left", no_wrap=position == 0
        )
    for row in rows:
        table.add_row(*(Text("-" if cell is None else clean(str(cell))) for cell in row))
    out = console()
    if title:
        out.print(title, style="bold", markup=False, soft_wrap=True)
    out.print(table)
