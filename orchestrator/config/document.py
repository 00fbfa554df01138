"""Reads a configuration, a file or a dict, as plain values with the line of each value."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from workers.catalogue import nearest
from workers.contract import UserError

KeyPath = tuple[str | int, ...]
ConfigSource = Path | str | Mapping[str, object]
"""A YAML file, or its content as a dict; paths in a dict are relative to the current folder."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """The values of a file and its overrides, before any check.

    Attributes:
        source: The file as the user named it, or `configuration` for a dict.
        folder: Folder that paths in the document are relative to.
        stem: Name of the sweep if the document gives none.
        values: Keys and values.
        lines: Line of each key path, counted from 1; overridden values have none.
        origins: The override each overridden key path came from, as `KEY=VALUE`.
    """

    source: str
    folder: Path
    stem: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    origins: Mapping[KeyPath, str] = field(default_factory=dict)


MAX_FILE_BYTES = 1 << 20
MAX_VALUES = 30_000
"""Most values of a document. An alias counts with all values that it stands for; a hundred
characters of text count as one value."""
_CHARACTERS_PER_VALUE = 100

_PLAIN_NUMBER = re.compile(
    r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    re.ASCII,
)
_MAX_DIGITS = 100
_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")


class RefusedValueError(yaml.MarkedYAMLError):
    """YAML that can be parsed, but is ambiguous or too large."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without its traps: `1e-3` is a number, a date stays text, and text has a limit.

    `_index` refuses 010 (octal eight) and 1:30 (ninety), because it knows their key.
    """

    num_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Composes a node; refuses a document of too many nodes before reading all of it."""
        self.num_nodes += 1
        if self.num_nodes > MAX_VALUES:
            raise _too_many(self.get_mark())
        return super().compose_node(parent, index)


_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in _TAGS
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def is_config(target: str | Path) -> bool:
    """Returns whether a target is a configuration file rather than results or a folder of data."""
    path = Path(target)
    return path.is_file() or (path.suffix.lower() in (".yaml", ".yml") and not path.is_dir())


def read_document(source: ConfigSource) -> Document:
    """Reads a configuration from a file or a dict.

    Raises:
        UserError: The file is missing, not a regular file, empty, too large, not UTF-8, not YAML,
            or not a mapping; it holds a key twice, or a number that is not plain decimal; or a
            value of the dict has a type that YAML does not have; or the source is neither.
    """
    if isinstance(source, Mapping):
        return Document(
            source="configuration", folder=Path.cwd(), stem="sweep", values=_plain(source)
        )
    if not isinstance(source, str | Path):
        msg = (
            f"a configuration is a YAML file or a dict, not a value of type {type(source).__name__}"
        )
        raise UserError(msg)
    path, source = Path(source), str(source)
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
    return Document(
        source=source, folder=path.parent.absolute(), stem=path.stem, values=values, lines=lines
    )


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Returns a copy of a dict with the types that a file would have given."""

    def plain(value: object) -> object:
        if isinstance(value, Path):
            return str(value)
        msg = f"{value!r} is of type {type(value).__name__}"
        raise TypeError(msg)

    try:
        text = json.dumps(dict(values), default=plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"configuration: {error}; use text, numbers, booleans, None, lists and dicts"
        raise UserError(msg) from None
    copied: dict[str, Any] = json.loads(text)
    return copied


def parse_yaml(text: str, lines: dict[KeyPath, int] | None = None) -> Any:  # noqa: ANN401 - YAML
    """Parses one YAML document; `read_document` lists what it refuses.

    Args:
        text: The document.
        lines: Receives the line of each key path.

    Raises:
        yaml.YAMLError: The text is not YAML.
    """
    if len(text) > MAX_FILE_BYTES:
        raise RefusedValueError(problem=f"is longer than {MAX_FILE_BYTES >> 20} MiB")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _index(node, (), {} if lines is None else lines)
        return loader.construct_document(node)
    except RecursionError:
        msg = "is nested too deeply"
        raise yaml.YAMLError(msg) from None
    except (ValueError, LookupError) as error:  # such as !!bool maybe
        msg = f"holds a value that cannot be read: {error}"
        raise yaml.YAMLError(msg) from None


def _read_text(path: Path) -> str:
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            msg = f"{path}: is a pipe or a device; save the text as a file and name that file"
            raise UserError(msg)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) <= MAX_FILE_BYTES:
            return data.decode("utf-8-sig")
        msg = f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB, too large for a configuration"
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
    """Returns `:line:column: problem`, as far as YAML reports them."""
    if isinstance(error, RefusedValueError):
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{line}: {error.problem}"
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
    done: dict[int, int] | None = None,
) -> int:
    """Records lines and returns the number of values; refuses what `read_document` lists."""
    done = {} if done is None else done
    mark = node.start_mark
    lines.setdefault(path, mark.line + 1)
    if any(node is other for other in above):
        raise yaml.composer.ComposerError(None, None, "an alias refers to itself", mark)
    if id(node) in done:  # aliases may repeat a node: its first position is enough
        return done[id(node)]
    number = 1
    if isinstance(node, yaml.ScalarNode):
        _check_number(node, path)
        number += len(node.value) // _CHARACTERS_PER_VALUE
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                _check_number(key, path)
    for key, child in _children(node):
        if isinstance(key, str):
            lines[*path, key] = child.start_mark.line + 1
        number += _index(child, (*path, key), lines, (*above, node), done)
    if number > MAX_VALUES:
        raise _too_many(mark)
    done[id(node)] = number
    return number


def _too_many(mark: yaml.Mark | None) -> RefusedValueError:
    msg = (
        f"holds more than {MAX_VALUES:,} values, each alias counted with all that it stands for; "
        "leave some out"
    )
    return RefusedValueError(problem=msg, problem_mark=mark)


def _check_number(node: yaml.ScalarNode, path: KeyPath) -> None:
    """Refuses numbers that YAML reads in another way than people: 010, 1:30, 0x10, 1_000."""
    if node.tag.rpartition(":")[2] not in ("int", "float"):
        return
    text = node.value
    reason = None
    if len(text) > _MAX_DIGITS:
        text, reason = f"{text[:20]}...", f"has more than {_MAX_DIGITS} digits"
    elif not _PLAIN_NUMBER.fullmatch(text):
        reason = (
            "is not a plain decimal number; write it without leading zeros, colons, underscores "
            "and prefixes, or in quotes if it is text"
        )
    if reason:
        key = "".join(f"{part}: " for part in (".".join(map(str, path)),) if path)
        msg = f"{key}{text}: {reason}"
        raise RefusedValueError(problem=msg, problem_mark=node.start_mark)


def _children(node: yaml.Node) -> list[tuple[str | int, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        return list(enumerate(node.value))
    if not isinstance(node, yaml.MappingNode):
        return []
    seen: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # construction refuses or keeps it; it has no key path
        if key.value in seen:
            msg = f"the key {key.value!r} occurs twice, first in line {seen[key.value][0]}"
            raise yaml.composer.ComposerError(None, None, msg, key.start_mark)
        seen[key.value] = (key.start_mark.line + 1, value)
    return [(key, value) for key, (_, value) in seen.items()]
