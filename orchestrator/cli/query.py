"""`podium query`: SQL over results, and the queries that come with Podium."""

from __future__ import annotations

import io
import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cli.output import console, print_json, print_table, say, say_aside
from orchestrator.safe_text import CsvWriter, clean, clean_json
from orchestrator.store import SAVED_QUERIES, TABLES, Answer, SavedQuery, Store, plain
from orchestrator.wording import count_text
from workers.catalogue import nearest
from workers.contract import UserError

MAX_ROWS, MAX_CELL = 50, 48
"""What a table on a terminal shows."""
SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: a statement or the name of a saved one.

    Attributes:
        parameters: As given, `NAME=VALUE`.
    """

    sql: str | None
    example: str | None
    parameters: tuple[str, ...] = ()


def examples_command(as_json: bool) -> None:
    """Lists the saved queries."""
    if as_json:
        print_json(
            [
                {
                    "name": saved.name,
                    "question": saved.question,
                    "parameters": dict(saved.parameters),
                    "sql": saved.sql,
                }
                for saved in SAVED_QUERIES.values()
            ]
        )
        return
    out = console()
    for saved in SAVED_QUERIES.values():
        out.print(f"{saved.name}: {saved.question}", style="bold", markup=False, soft_wrap=True)
        for name, meaning in saved.parameters.items():
            out.print(f"  --param {name}=VALUE: {meaning}", markup=False, soft_wrap=True)
        out.print(_indented(saved.sql), markup=False, soft_wrap=True)


def query_command(results: str, question: Question, format_name: str, out: Path | None) -> None:
    """Answers a question about results.

    Raises:
        UserError: The statement cannot be run, or the answer cannot be written.
    """
    name = _format(format_name, out)
    if name == "parquet" and out is None and sys.stdout.isatty():
        msg = "--format parquet: not for a terminal; add --out FILE, or pipe it"
        raise UserError(msg)
    store = Store(results)
    if out is not None:
        _refuse_store_folder(store, out)
    statement, parameters = _statement(question)
    answer = store.query(statement, parameters)
    for note in answer.notes:
        say_aside(f"note: {note}\n")
    if out is not None:
        _write(out, encode(answer, name))
    elif name == "table":
        _print(answer)
    elif sys.stdout.isatty():
        say(encode(answer, name).decode())
    else:
        sys.stdout.buffer.write(encode(answer, name))
        sys.stdout.buffer.flush()


def encode(answer: Answer, format_name: str) -> bytes:
    """Returns an answer as CSV, JSON (a list of objects) or Parquet."""
    if format_name == "parquet":
        return answer.to_parquet()
    rows = ([plain(value) for value in row] for row in answer.rows())
    if format_name == "json":
        records = [dict(zip(answer.columns, row, strict=True)) for row in rows]
        document = json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False)
        return f"{clean_json(document)}\n".encode()
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.writerow(answer.columns)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _csv_cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _format(given: str, out: Path | None) -> str:
    """Returns the format; that of the file's name where none is given."""
    if out is None or given != "table":
        return given
    if out.suffix.lower() not in SUFFIXES:
        msg = f"--out {out}: give --format csv, json or parquet, or a name that ends in one"
        raise UserError(msg)
    return SUFFIXES[out.suffix.lower()]


def _refuse_store_folder(store: Store, out: Path) -> None:
    """Sees to it that no answer is taken for results."""
    if "://" in store.place:
        return
    target, root = out.expanduser().resolve(), Path(store.place).resolve()
    if target.is_relative_to(root) and target != root:
        first = target.relative_to(root).parts[0]
        if first in TABLES or first.startswith(("_", ".")):
            msg = f"--out {out}: {root / first} is kept for results; choose another folder"
            raise UserError(msg)


def _statement(question: Question) -> tuple[str, dict[str, str]]:
    parameters = dict(_parameter(text) for text in question.parameters)
    if (question.sql is None) == (question.example is None):
        msg = (
            'give either a statement in quotes, as in podium query RESULTS "SELECT ... FROM '
            'trials", or --example NAME; podium query --examples lists the names'
        )
        raise UserError(msg)
    if question.example is None:
        return question.sql or "", parameters
    saved = SAVED_QUERIES.get(question.example)
    if saved is None:
        msg = f"--example {question.example}: unknown; {nearest(question.example, SAVED_QUERIES)}"
        raise UserError(msg)
    _check_parameters(saved, parameters)
    return saved.sql, parameters


def _check_parameters(saved: SavedQuery, given: Mapping[str, str]) -> None:
    for name, meaning in saved.parameters.items():
        if name not in given:
            msg = f"--example {saved.name}: add --param {name}=VALUE: {meaning}"
            raise UserError(msg)


def _parameter(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (found and name):
        msg = f"--param {text}: write NAME=VALUE"
        raise UserError(msg)
    return name.lstrip("$"), value


def _print(answer: Answer) -> None:
    """Prints the rows and columns that fit, and says what does not."""
    rows = [[_cell(value) for value in row] for row in answer.rows(MAX_ROWS)]
    names = [_line(name) for name in answer.columns]
    width, num_columns = 1, 0
    for index, name in enumerate(names):
        width += 3 + max(len(name), *(len(row[index]) for row in rows), 0)
        if num_columns and width > console().width:
            break
        num_columns += 1
    print_table(
        names[:num_columns],
        [row[:num_columns] for row in rows],
        numeric=frozenset(map(_line, answer.numeric)),
    )
    notes = [count_text(answer.num_rows, "row")]
    if len(rows) < answer.num_rows:
        notes.append(f"the first {len(rows)} shown")
    if num_columns < len(names):
        notes.append(f"{num_columns} of {len(names)} columns shown: {_listed(names[num_columns:])}")
    hint = "; all of it: --format csv, json or parquet" if len(notes) > 1 else ""
    console().print("; ".join(notes) + hint, markup=False, soft_wrap=True)


def _listed(names: list[str]) -> str:
    return f"not {', '.join(names)}"


def _cell(value: Any) -> str:  # noqa: ANN401 - any value of a database
    """Returns a value for people: short, on one line, and harmless to a terminal."""
    if value is None:
        return "-"
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"
    value = plain(value)
    text = _line(str(_csv_cell(value)))
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _line(text: str) -> str:
    return clean(" ".join(text.split("\n")))


def _indented(sql: str) -> str:
    return "\n".join(f"    {line}" for line in sql.splitlines())


def _write(path: Path, data: bytes) -> None:
    """Puts the file in place whole or not at all."""
    if path.exists() and not path.is_file():
        msg = f"--out {path}: not a file; choose another name"
        raise UserError(msg)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        msg = f"--out {path}: cannot be written: {error.strerror}; choose another file"
        raise UserError(msg) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def chosen_format(format_name: str | None, as_json: bool) -> str:
    """Returns the format that two options ask for together.

    Raises:
        UserError: They contradict each other.
    """
    if as_json and format_name not in (None, "json"):
        msg = f"--json and --format {format_name}: give one of them"
        raise UserError(msg)
    return "json" if as_json else format_name or "table"
