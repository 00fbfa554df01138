"""Checks an SQL statement before it runs: one SELECT, and only views and allowed functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from orchestrator.store.schema import VIEWS
from orchestrator.store.storage import StoreError
from workers.catalogue import nearest

READ_ONLY = "a query is read-only: write one SELECT statement"
MAX_DEPTH = 1_000
"""Limit for nested brackets, the same as DuckDB's. Its parser takes minutes for 4,000 brackets that
are never closed, and Ctrl-C does not interrupt it."""
_TOO_DEEP = "the statement is nested too deeply; compute parts of it in a WITH clause"
TABLE_FUNCTIONS = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})
"""Functions that can replace a table; all others can read outside the results."""
REFUSED_FUNCTIONS = frozenset(
    {
        "current_connection_id", "current_query", "current_query_id", "current_setting",
        "current_transaction_id", "currval", "getenv", "getvariable", "in_search_path",
        "inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port",
        "json_deserialize_sql", "nextval", "pg_conf_load_time", "pg_postmaster_start_time",
        "pg_sleep", "set_config", "setval", "sleep_ms", "txid_current", "write_log",
    }
)  # fmt: skip
"""Functions that read settings, the environment or the time instead of the results."""
_TOKEN = re.compile(r'[{}\[\]]|"(?:[^"\\]|\\.)*"|[^\s,:{}\[\]"]+')
_WHOLE_ROW = frozenset({"STAR", "POSITIONAL_REFERENCE"})

Node = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A checked statement.

    Attributes:
        sql: The text.
        columns: For each view that it names, the columns to read: all that it uses, or more.
        parameters: Names of the parameters (`$name`).
    """

    sql: str
    columns: Mapping[str, tuple[str, ...]]
    parameters: frozenset[str]


def parse(connection: duckdb.DuckDBPyConnection, sql: str) -> Statement:
    """Checks that a text is one SELECT statement over the views.

    Raises:
        StoreError: The text is something else, or it names an unknown table or refused function.
    """
    if _depth(sql) > MAX_DEPTH:
        raise StoreError(_TOO_DEEP)
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise StoreError(explain(error)) from None
    if len(statements) != 1:
        msg = f"{len(statements)} statements: {READ_ONLY}"
        raise StoreError(msg)
    kind = statements[0].type.name
    if kind != "SELECT":
        hint = "a PIVOT needs its values: ON loss IN ('dice', 'bce')" if kind == "MULTI" else ""
        msg = hint or f"{kind} statement: {READ_ONLY}"
        raise StoreError(msg)
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    tree = _load(text)
    if tree.get("error") or "statements" not in tree:
        msg = f"{tree.get('error_message', 'this statement cannot be checked')}: {READ_ONLY}"
        raise StoreError(msg)
    nodes = list(_nodes(tree["statements"]))
    _refuse_functions(nodes)
    tables = _tables(connection, nodes)
    return Statement(
        sql=sql,
        columns={name: _columns(name, nodes) for name in tables},
        parameters=frozenset(statements[0].named_parameters),
    )


def explain(error: duckdb.Error, columns: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """Returns the message of DuckDB for the user, with the nearest names for a wrong column.

    Args:
        error: The error of DuckDB.
        columns: All columns of each view in the statement, if they are known.
    """
    text = re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", str(error)).strip()
    reason, _, position = text.partition("\n\nLINE ")
    position = f"\n\nLINE {position}" if position else ""
    if "Max expression depth" in reason:
        return _TOO_DEEP
    if isinstance(error, duckdb.OutOfMemoryException):
        return "the query needs too much memory; filter or aggregate earlier, or add a LIMIT"
    missing = re.search(r'column (?:named )?"([^"]+)"(?: not found)?', reason)
    unknown = "not found" in reason or "does not have a column" in reason
    if isinstance(error, duckdb.BinderException) and missing and unknown and columns:
        name = missing[1]
        known = dict.fromkeys(column for names in columns.values() for column in names)
        # In SQL, text in double quotes is the name of a column.
        hint = f"; text is written in single quotes: '{name}'" if f'"{name}"' in position else ""
        return f"column {name!r}: unknown; {nearest(name, known)}{hint}{position}"
    return f"{reason}{position}"


def _depth(sql: str) -> int:
    """Returns the largest depth of nested brackets, including those in texts."""
    depth = deepest = 0
    for bracket in re.findall(r"[()]", sql):
        depth = max(depth + (1 if bracket == "(" else -1), 0)
        deepest = max(deepest, depth)
    return deepest


def _load(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Parses JSON of any depth: the tree of a sum of 500 terms is too deep for `json`."""
    root: list[Any] = []
    open_values: list[Any] = [root]
    key: str | None = None
    for token in _TOKEN.findall(text):
        if token in "}]":
            open_values.pop()
            continue
        within = open_values[-1]
        if isinstance(within, dict) and key is None:
            key = json.loads(token)
            continue
        value = {} if token == "{" else [] if token == "[" else json.loads(token)
        if isinstance(within, dict):
            within[key] = value
            key = None
        else:
            within.append(value)
        if token in "{[":
            open_values.append(value)
    return root[0]


def _nodes(tree: object) -> Iterator[Node]:
    """Yields every mapping of the syntax tree, in the order of the text."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            found = [] if _orders_by_all(found) else list(found.values())
        if isinstance(found, list):
            waiting += reversed(found)


def _orders_by_all(node: Node) -> bool:
    """Says whether a node is ORDER BY ALL, whose star means the selected columns, not a table's."""
    if node.get("type") != "ORDER_MODIFIER" or len(node["orders"]) != 1:
        return False
    star = node["orders"][0]["expression"]
    narrowed = (star.get(key) for key in ("expr", "exclude_list", "replace_list"))
    return star["class"] == "STAR" and not any(narrowed)


def _refuse_functions(nodes: list[Node]) -> None:
    for node in nodes:
        if node.get("type") == "TABLE_FUNCTION":
            name = str(node["function"]["function_name"]).lower()
            if name not in TABLE_FUNCTIONS:
                msg = f"{name}(): a query can read only the tables {', '.join(VIEWS)}"
                raise StoreError(msg)
        elif node.get("class") == "FUNCTION":
            name = str(node["function_name"]).lower()
            if name in REFUSED_FUNCTIONS:
                msg = f"{name}(): not available, because a query can read only the results"
                raise StoreError(msg)


def _tables(connection: duckdb.DuckDBPyConnection, nodes: list[Node]) -> tuple[str, ...]:
    """Returns the names of the views in a statement.

    Raises:
        StoreError: The statement names another table.
    """
    with_names = {str(entry["key"]).lower() for node in nodes for entry in _ctes(node)}
    for name in sorted(with_names):
        # Outside its WITH clause, such a name would mean a table of the database.
        if _is_known(connection, name):
            msg = f"WITH {name}: the database has a table of that name; choose another name"
            raise StoreError(msg)
    found = []
    for node in nodes:
        if node.get("type") == "SHOW_REF" and node.get("query") is None:
            if node.get("table_name") != '"tables"':
                msg = f"only SHOW TABLES, DESCRIBE TABLE and SUMMARIZE TABLE; {READ_ONLY}"
                raise StoreError(msg)
        elif node.get("type") == "BASE_TABLE":
            qualified = node.get("schema_name") or node.get("catalog_name")
            name = str(node["table_name"])
            if name.lower() in VIEWS and not qualified:
                found.append(name.lower())
            elif name.lower() not in with_names or qualified:
                full = ".".join(filter(None, (node.get("catalog_name"), node.get("schema_name"))))
                full = f"{full}.{name}" if full else name
                msg = f"table {full!r}: unknown; {nearest(name, VIEWS)}"
                raise StoreError(msg)
    return tuple(dict.fromkeys(found))


def _is_known(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Says whether the empty database already has a table or view of that name."""
    quoted = name.replace('"', '""')
    try:
        connection.execute(f'SELECT * FROM "{quoted}" LIMIT 0')
    except duckdb.Error:
        return False
    return True


def _ctes(node: Node) -> list[Node]:
    entries = node.get("map")
    return [e for e in entries if "key" in e] if isinstance(entries, list) else []


def _columns(table: str, nodes: list[Node]) -> tuple[str, ...]:
    """Returns the columns of a view that the statement can use: those that it names."""
    declared = VIEWS[table].column_names
    aliases = {str(n["alias"]).lower() for n in nodes if n.get("type") == "BASE_TABLE"}
    whole_rows = {table, *aliases} - {""}
    words = set()
    for node in nodes:
        # A column with the name of a table is its whole row.
        reference = [str(part).lower() for part in node.get("column_names") or ()]
        if (
            node.get("class") in _WHOLE_ROW
            or node.get("type") == "PIVOT"
            or node.get("ref_type") == "NATURAL"
            or node.get("column_name_alias")
            or (
                node.get("class") == "COLUMN_REF" and reference[-1:] and reference[-1] in whole_rows
            )
        ):
            return declared
        for value in node.values():
            entries = value if isinstance(value, list) else [value]
            words |= {entry.lower() for entry in entries if isinstance(entry, str)}
    # Counting rows needs a column too.
    return tuple(name for name in declared if name in words) or declared[:1]
