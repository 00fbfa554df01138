"""Reads the tables of docs/json.md and holds a JSON document against them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_HEADING = re.compile(r"^#{2,3} [`*](.+?)[`*]$", re.MULTILINE)
_ROW = re.compile(r"^\| `(.+?)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
_STEP = re.compile(r"\[\]|[^.\[\]]+")
PLAIN = {"string", "integer", "number", "boolean", "null"}


@dataclass
class Node:
    """What may stand at one place.

    Attributes:
        kinds: Plain kinds that are allowed.
        shapes: Tables that are allowed.
        any: Whether everything is.
        optional: Whether the key may be absent.
        entries: By key, `*` or `[]`.
        row: The documented key that ends here.
    """

    kinds: set[str] = field(default_factory=set)
    shapes: set[str] = field(default_factory=set)
    any: bool = False
    optional: bool = False
    entries: dict[str, Node] = field(default_factory=dict)
    row: str | None = None


def read_tables(page: str) -> dict[str, Node]:
    """Returns the root of each table by its heading: a command (bare) or the name of a shape."""
    parts = _HEADING.split(page)
    return {
        re.sub(r" [A-Z]+\b", "", name): _tree(text)
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def _tree(text: str) -> Node:
    root = Node()
    for key, kind, _ in _ROW.findall(text):
        node = root
        for step in _STEP.findall(key):
            node = node.entries.setdefault(step, Node())
        node.row = key
        node.optional = ", optional" in kind
        for name in kind.removesuffix(", optional").split(" or "):
            if name in ("any", "any object"):
                node.any = True
            elif name.startswith("*"):
                node.shapes.add(name.strip("*"))
            else:
                assert name in PLAIN, f"{key}: {kind}"
                node.kinds.add(name)
    return root


def kind_of(value: object) -> str:
    if value is None:
        return "null"
    return {bool: "boolean", int: "integer", float: "number", str: "string"}.get(type(value), "")


def problems(
    value: Any, node: Node, tables: Mapping[str, Node], seen: set[tuple[str, str]], table: str
) -> Iterator[str]:
    """Yields what a document holds against its table; adds the rows it used to `seen`."""
    yield from _problems(value, node, tables, seen, (table, ""))


def _problems(
    value: Any,
    node: Node,
    tables: Mapping[str, Node],
    seen: set[tuple[str, str]],
    place: tuple[str, str],
) -> Iterator[str]:
    table, path = place
    if node.row is not None:
        seen.add((table, node.row))
    if node.any:
        return
    kind = kind_of(value)
    if kind:
        if kind not in node.kinds and not (kind == "integer" and "number" in node.kinds):
            yield f"{table}: {path}: {kind}, documented {sorted(node.kinds | node.shapes)}"
        return
    if node.shapes:
        (shape,) = node.shapes
        yield from _problems(value, tables[shape], tables, seen, (shape, ""))
        return
    if isinstance(value, list):
        if "[]" not in node.entries:
            yield f"{table}: {path}: a list is not documented"
            return
        for entry in value:
            yield from _problems(entry, node.entries["[]"], tables, seen, (table, f"{path}[]"))
        return
    for key, entry in value.items():
        found = node.entries.get(key, node.entries.get("*"))
        if found is None:
            yield f"{table}: {path}.{key}: not documented"
        else:
            yield from _problems(entry, found, tables, seen, (table, f"{path}.{key}"))
    for key, expected in node.entries.items():
        if key not in value and key not in ("*", "[]") and not expected.optional:
            yield f"{table}: {path}.{key}: missing"


def rows_of(node: Node) -> Iterator[str]:
    """Yields every documented key of a table."""
    if node.row is not None:
        yield node.row
    for entry in node.entries.values():
        yield from rows_of(entry)
