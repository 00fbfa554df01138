"""`podium query`: SQL over results, and the queries that come with Podium."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli.shared import (
    JsonOption,
    console,
    local_path,
    print_json,
    print_line,
    print_table,
    say,
    say_aside,
)
from orchestrator.safe_text import CsvWriter, clean, clean_json
from orchestrator.wording import count_text
from workers.contract import UserError
from workers.durable import replace_file

if TYPE_CHECKING:
    from orchestrator.store import QueryResult, SavedQuery, Store

MAX_ROWS, MAX_CELL = 50, 48
"""Rows, and characters of a cell, that a table on a terminal shows."""
SUFFIXES = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".pq": "parquet"}
AnswerFormat = Literal["table", "csv", "json", "parquet"]


def query(
    results: Annotated[
        str | None, typer.Argument(help="A results folder or URI.", metavar="RESULTS")
    ] = None,
    sql: Annotated[
        str | None, typer.Argument(help="One SELECT statement, in quotes.", metavar="SQL")
    ] = None,
    example: Annotated[
        str | None, typer.Option(help="Run a saved query instead.", metavar="NAME")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="Value of $NAME in the statement.", metavar="NAME=VALUE"),
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="List the saved queries.")] = False,
    answer_format: Annotated[
        AnswerFormat | None,
        typer.Option("--format", help="By default table, or the format of the name in --out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(parser=local_path, help="Write a file.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Query the results in SQL: trials, epochs, images, predictions, failures, grid. Read-only."""
    from orchestrator.store import Store

    chosen = _chosen_format(answer_format, as_json)
    if examples:
        _list_examples(as_json)
        return
    if results is None:
        msg = "give the results to query, or --examples to list the saved queries"
        raise UserError(msg)
    name = _format(chosen, out)
    if name == "parquet" and out is None and sys.stdout.isatty():
        msg = "--format parquet: not for a terminal; add --out FILE, or pipe it"
        raise UserError(msg)
    store = Store(results)
    if out is not None:
        _refuse_store_folder(store, out)
    statement, parameters = _statement(sql, example, param or ())
    answer = store.query(statement, parameters)
    for note in answer.notes:
        say_aside(f"note: {note}\n")
    if out is not None:
        _write(out, _encode(answer, name))
    elif name == "table":
        _print(answer)
    elif sys.stdout.isatty():
        say(_encode(answer, name).decode())
    else:
        sys.stdout.buffer.write(_encode(answer, name))
        sys.stdout.buffer.flush()


def _list_examples(as_json: bool) -> None:
    from orchestrator.store import SAVED_QUERIES

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
    for saved in SAVED_QUERIES.values():
        print_line(f"{saved.name}: {saved.question}", style="bold")
        for name, meaning in saved.parameters.items():
            print_line(f"  --param {name}=VALUE: {meaning}")
        print_line(_indented(saved.sql))


def _chosen_format(format_name: str | None, as_json: bool) -> str:
    if as_json and format_name not in (None, "json"):
        msg = f"--json and --format {format_name}: give one of them"
        raise UserError(msg)
    return "json" if as_json else format_name or "table"


def _encode(answer: QueryResult, format_name: str) -> bytes:
    """Returns an answer as CSV, JSON (a list of objects) or Parquet."""
    from orchestrator.store import json_value

    if format_name == "parquet":
        return answer.to_parquet()
    rows = ([json_value(value) for value in row] for row in answer.rows())
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
    """Returns the format; by default that of the file's name."""
    if out is None or given != "table":
        return given
    if out.suffix.lower() not in SUFFIXES:
        msg = f"--out {out}: give --format csv, json or parquet, or a name that ends in one"
        raise UserError(msg)
    return SUFFIXES[out.suffix.lower()]


def _refuse_store_folder(store: Store, out: Path) -> None:
    """Refuses to write an answer among the files of the results."""
    from orchestrator.store import TABLES

    if "://" in store.name:
        return
    target, root = out.expanduser().resolve(), Path(store.name).resolve()
    if target.is_relative_to(root) and target != root:
        first = target.relative_to(root).parts[0]
        if first in TABLES or first.startswith(("_", ".")):
            msg = f"--out {out}: {root / first} is reserved for results; choose another folder"
            raise UserError(msg)


def _statement(
    sql: str | None, example: str | None, given: Sequence[str]
) -> tuple[str, dict[str, str]]:
    from orchestrator.store import SAVED_QUERIES
    from workers.catalogue import nearest

    parameters = dict(_parameter(text) for text in given)
    if (sql is None) == (example is None):
        msg = (
            'give either a statement in quotes, as in podium query RESULTS "SELECT ... FROM '
            'trials", or --example NAME; podium query --examples lists the names'
        )
        raise UserError(msg)
    if example is None:
        return sql or "", parameters
    saved = SAVED_QUERIES.get(example)
    if saved is None:
        msg = f"--example {example}: unknown; {nearest(example, SAVED_QUERIES)}"
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


def _print(answer: QueryResult) -> None:
    """Prints the rows and columns that fit, and names the columns that do not."""
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
    hint = "; for all rows and columns add --format csv, json or parquet" if len(notes) > 1 else ""
    print_line("; ".join(notes) + hint)


def _listed(names: list[str]) -> str:
    return f"not {', '.join(names)}"


def _cell(value: Any) -> str:  # noqa: ANN401 - any value of a database
    """Returns a value for people: short, on one line, and harmless to a terminal."""
    from orchestrator.store import json_value

    if value is None:
        return "-"
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"
    value = json_value(value)
    text = _line(str(_csv_cell(value)))
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _line(text: str) -> str:
    return clean(" ".join(text.split("\n")))


def _indented(sql: str) -> str:
    return "\n".join(f"    {line}" for line in sql.splitlines())


def _write(path: Path, data: bytes) -> None:
    """Writes the file completely or not at all."""
    if path.exists() and not path.is_file():
        msg = f"--out {path}: not a file; choose another name"
        raise UserError(msg)
    try:
        replace_file(path, data)
    except OSError as error:
        msg = f"--out {path}: cannot be written: {error.strerror}; choose another file"
        raise UserError(msg) from error
