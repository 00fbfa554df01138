"""A configuration file as plain values, with the line each value came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workers.catalogue import nearest
from workers.contract import UserError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a file and its overrides say, before anything is checked.

    Attributes:
        source: The file as the user named it.
        values: Keys and values.
        lines: Line of each key path, counted from 1; overridden values have none.
        origins: The override each overridden key path came from, as `KEY=VALUE`.
    """

    source: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    origins: Mapping[KeyPath, str] = field(default_factory=dict)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its two traps: `1e-3` is a number here, and a date stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_document(path: Path) -> Document:
    """Reads a configuration file.

    Raises:
        UserError: The file is missing, a folder, empty, not UTF-8, not YAML, not a mapping, or
            says one key twice.
    """
    source = str(path)
    text = _read_text(path)
    lines: dict[KeyPath, int] = {}
    try:
        values = parse_yaml(text, lines)
    except yaml.YAMLError as error:
        msg = f"{source}{_describe(error)}"
        raise UserError(msg) from None
    if values is None:
        msg = f"{source}: is empty; it needs at least datasets, models, losses and results"
        raise UserError(msg)
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a single value"
        msg = f"{source}: is {kind}; it must hold keys and values such as 'datasets: [...]'"
        raise UserError(msg)
    return Document(source=source, values=values, lines=lines)


def parse_yaml(text: str, lines: dict[KeyPath, int] | None = None) -> Any:  # noqa: ANN401 - YAML
    """Parses one YAML document; a key said twice in one mapping is refused.

    Args:
        text: The document.
        lines: Filled with the line of each key path.

    Raises:
        yaml.YAMLError: The text is not YAML.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _index(node, (), {} if lines is None else lines, ())
        return loader.construct_document(node)
    except RecursionError:
        msg = "is nested too deeply"
        raise yaml.YAMLError(msg) from None
    except ValueError as error:
        msg = f"holds a value that cannot be read: {error}"
        raise yaml.YAMLError(msg) from None


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        known = _siblings(path.parent)
        hint = nearest(path.name, known) if known else f"{path.parent} holds no .yaml file"
        msg = f"{path}: no such file; {hint}"
    except IsADirectoryError:
        known = _siblings(path)
        hint = f"name a file in it: {', '.join(known)}" if known else "name a .yaml file"
        msg = f"{path}: is a folder; {hint}"
    except UnicodeDecodeError as error:
        msg = f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
    raise UserError(msg)


def _siblings(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
    except OSError:
        return []


def _describe(error: yaml.YAMLError) -> str:
    """Returns `:line:column: what is wrong`, as far as YAML says."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f": is not YAML: {' '.join(str(error).split())}"
    mark = error.problem_mark or error.context_mark
    place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    remedy = "; indent with spaces, not tabs" if "\\t" in str(error.problem) else ""
    context = f"{error.context}: " if error.context else ""
    return f"{place}: is not YAML: {context}{error.problem}{remedy}"


def _index(
    node: yaml.Node,
    path: KeyPath,
    lines: dict[KeyPath, int],
    above: tuple[yaml.Node, ...] = (),
    done: set[int] | None = None,
) -> None:
    """Notes lines; refuses a key said twice and an alias that holds itself."""
    done = set() if done is None else done
    mark = node.start_mark
    lines.setdefault(path, mark.line + 1)
    if any(node is other for other in above):
        raise yaml.composer.ComposerError(None, None, "an alias refers to itself", mark)
    if id(node) in done:  # aliases may repeat a node: its first place is enough
        return
    for key, child in _children(node):
        if isinstance(key, str):
            lines[*path, key] = child.start_mark.line + 1
        _index(child, (*path, key), lines, (*above, node), done)
    done.add(id(node))


def _children(node: yaml.Node) -> list[tuple[str | int, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        return list(enumerate(node.value))
    if not isinstance(node, yaml.MappingNode):
        return []
    seen: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # construction refuses or keeps it; it has no path of its own
        if key.value in seen:
            msg = f"the key {key.value!r} is said twice, first in line {seen[key.value][0]}"
            raise yaml.composer.ComposerError(None, None, msg, key.start_mark)
        seen[key.value] = (key.start_mark.line + 1, value)
    return [(key, value) for key, (_, value) in seen.items()]
