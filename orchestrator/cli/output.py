"""How commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def console() -> Console:
    """Returns a console on standard output, as wide as the terminal, 100 columns in a pipe."""
    return Console(width=None if sys.stdout.isatty() else 100, highlight=False)


def print_json(document: object) -> None:
    """Prints one JSON document, readable and with names as they are."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    numeric: frozenset[str] = frozenset(),
) -> None:
    """Prints a table; columns in `numeric` are aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in numeric else "left")
    for row in rows:
        table.add_row(*(Text("–" if cell is None else str(cell)) for cell in row))
    console().print(table)


def duration(seconds: float) -> str:
    """Returns `42 s`, `3 min 5 s` or `2 d 4 h`: the two largest units."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    rest = round(seconds)
    parts = []
    for name, size in units:
        if rest >= size or (name == "s" and not parts):
            parts.append(f"{rest // size} {name}")
            rest %= size
    return " ".join(parts[:2])
