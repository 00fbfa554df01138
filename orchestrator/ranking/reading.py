"""Reads a CSV, TSV or Parquet file without guessing: a row that does not fit is refused."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from orchestrator.wording import count_text
from workers.contract import UserError

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".parquet": None, ".pq": None}
_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
TABLE_SUFFIXES = frozenset(_SEPARATORS)
"""Suffixes of files that hold a table."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A number with a decimal point, as a field of text may hold it."""

_HEADER_WITHIN = 10
"""Number of lines that are searched for the names of the columns."""


@dataclass(frozen=True, kw_only=True)
class TableOrigin:
    """Where a table came from, to name a row of it in a message.

    Attributes:
        name: File, or what to call the table.
        unit: `line` or `row`: what `numbers` counts.
        numbers: Number of each row in the file, (N,); None if they are 1, 2, 3, …
    """

    name: str
    unit: str = "row"
    numbers: np.ndarray | None = None

    def row(self, position: int) -> str:
        """Returns what a message calls the row at a 0-based position, such as `line 7`."""
        number = position + 1 if self.numbers is None else int(self.numbers[position])
        return f"{self.unit} {number}"

    def only(self, kept: np.ndarray) -> TableOrigin:
        """Returns the origin of the rows that were kept, (N,) bool."""
        numbers = np.arange(1, len(kept) + 1) if self.numbers is None else self.numbers
        return replace(self, numbers=numbers[kept])


def read_file(path: Path) -> tuple[pd.DataFrame, TableOrigin]:
    """Returns the table of a file and its origin; every field of a CSV or TSV file is text.

    Raises:
        UserError: The file cannot be read, or a row has more or fewer fields than the header.
    """
    separator = _separator(path)
    try:
        if separator is None:
            # Opened here: a reader that gets a path could make columns of folders named KEY=VALUE.
            with path.open("rb") as file:
                return pd.read_parquet(file), TableOrigin(name=str(path))
        return _read_text(path, path.read_bytes().decode("utf-8-sig"), separator)
    except (OSError, ValueError, csv.Error) as error:  # covers UnicodeError and ArrowInvalid
        if isinstance(error, UserError):
            raise
        reason = str(error).splitlines()[0]
        remedy = "write it again as CSV in UTF-8 or as Parquet"
        msg = f"{path}: cannot be read as a table: {reason}; {remedy}"
        raise UserError(msg) from error


def _separator(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if path.is_dir():
        remedy = "give a results folder (the one that holds trials/) or a .csv or .parquet file"
        msg = f"{path}: is a folder and no table; {remedy}"
        raise UserError(msg)
    if not path.exists():
        msg = f"{path}: no such file; give a results folder or a .csv or .parquet file"
        raise UserError(msg)
    if suffix not in _SEPARATORS:
        msg = f"{path}: unknown kind of file {suffix!r}; known: {', '.join(_SEPARATORS)}"
        raise UserError(msg)
    if not path.is_file():
        msg = f"{path}: is no regular file; save the table as a file"
        raise UserError(msg)
    return _SEPARATORS[suffix]


def _read_text(path: Path, text: str, separator: str) -> tuple[pd.DataFrame, TableOrigin]:
    if "\0" in text:
        msg = f"{path}: holds bytes of 0, as UTF-16 does; save it as CSV in UTF-8"
        raise UserError(msg)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    while True:
        line = reader.line_num + 1
        row = next(reader, None)
        if row is None:
            break
        if any(cell.strip() for cell in row[:1]) or len(row) > 1:
            lines.append(line)
            rows.append(row)
    if not rows:
        msg = f"{path}: the file is empty; it needs a header line and rows"
        raise UserError(msg)
    header = [name.strip() for name in rows[0]]
    _check_header(path, header, rows, lines, separator)
    _check_widths(path, header, rows, lines, separator)
    # A column without a name, such as the index that pandas writes, is not read.
    named = [position for position, name in enumerate(header) if name]
    table = pd.DataFrame(rows[1:], columns=range(len(header)), dtype="str")[named]
    table.columns = pd.Index([header[position] for position in named])
    return table, TableOrigin(name=str(path), unit="line", numbers=np.array(lines[1:], dtype=int))


def _check_header(
    path: Path, header: Sequence[str], rows: list[list[str]], lines: list[int], separator: str
) -> None:
    other = [mark for mark in _NAMES if mark != separator and mark in header[0]]
    if len(header) == 1 and other:
        msg = (
            f"{path}: its columns are separated with {_NAMES[other[0]]}s; separate the columns "
            f"with {_NAMES[separator]}s, and write numbers with a decimal point"
        )
        raise UserError(msg)
    if "loss" in header:
        return
    for row, line in zip(rows[1:_HEADER_WITHIN], lines[1:_HEADER_WITHIN], strict=False):
        cells = [cell.strip() for cell in row]
        if "loss" in cells:
            msg = (
                f"{path}: the names of the columns stand in line {line} ({', '.join(cells)}), not "
                f"in line {lines[0]}; leave one header line, with the name of every column"
            )
            raise UserError(msg)


def _check_widths(
    path: Path, header: Sequence[str], rows: list[list[str]], lines: list[int], separator: str
) -> None:
    wrong = [number for number, row in enumerate(rows) if len(row) != len(header)]
    if not wrong:
        return
    row = rows[wrong[0]]
    found = count_text(len(row), "field")
    more = f"; {len(wrong):,} lines differ from it" if wrong[1:] else ""
    msg = (
        f"{path}: line {lines[wrong[0]]} has {found}, the header has {len(header)} "
        f"({', '.join(header)}){more}; {_width_remedy(row, len(header), _NAMES[separator])}"
    )
    raise UserError(msg)


def _width_remedy(row: Sequence[str], width: int, mark: str) -> str:
    if len(row) < width:
        return f"write every field, an empty one too, with a {mark} between each two"
    if not any(cell.strip() for cell in row[width:]):
        return f"remove the {mark} at its end"
    for whole, part in itertools.pairwise(row):
        if mark == "comma" and _digits(whole.strip().lstrip("+-")) and _digits(part.strip()):
            return (
                f"if this is a decimal comma, write {whole.strip()}.{part.strip()} instead of "
                f"{whole.strip()},{part.strip()}"
            )
    return f"put a field that holds a {mark} in double quotes"


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
