"""How commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.harmless import clean, clean_json


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


def print_json(document: object) -> None:
    """Prints one JSON document, readable and with names as they are."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(clean_json(text) + "\n")


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
