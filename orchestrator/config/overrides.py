"""`--set KEY=VALUE`: one value of the configuration replaced, with the same checks after it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml

from orchestrator.config.document import Document, KeyPath, RefusedValueError, parse_yaml
from orchestrator.config.problems import Problem, show

_MAX_DEPTH = 10


def apply_overrides(
    document: Document, overrides: Sequence[str]
) -> tuple[Document, tuple[Problem, ...]]:
    """Returns the document with every `a.b=VALUE` set, and what was wrong with the others.

    VALUE is YAML: `losses=[iou, dice]`, `losses.0=bce`, `data.root=null`. A section or list is
    replaced as a whole. Later overrides win.
    """
    values = copy.deepcopy(document.values)
    lines, origins = dict(document.lines), dict(document.origins)
    problems: list[Problem] = []
    for text in overrides:
        try:
            path = _assign(values, *_parse(text))
        except ValueError as error:
            problems.append(Problem(path=(), reason=str(error), origin=text))
            continue
        lines = {key: line for key, line in lines.items() if key[: len(path)] != path}
        origins = {key: text for key, text in origins.items() if key[: len(path)] != path}
        origins[path] = text
    return replace(document, values=values, lines=lines, origins=origins), tuple(problems)


def _parse(text: str) -> tuple[list[str], Any]:
    key, equals, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts) or len(parts) > _MAX_DEPTH:
        msg = "must look like KEY=VALUE, for example training.max_epochs=2"
        raise ValueError(msg)
    try:
        return parts, parse_yaml(value)
    except RefusedValueError as error:
        raise ValueError(error.problem) from None
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error)
        msg = f"the value is not YAML: {problem}"
        raise ValueError(msg) from None


def _assign(values: dict[str, Any], parts: list[str], value: object) -> KeyPath:
    """Sets a value in place and returns its key path."""
    path: list[str | int] = []
    holder: Any = values
    for position, part in enumerate(parts):
        key = _key(holder, part, path)
        path.append(key)
        if position == len(parts) - 1:
            holder[key] = value
        else:
            if isinstance(holder, dict) and holder.get(key) is None:
                holder[key] = {}
            holder = holder[key]
    return tuple(path)


def _key(holder: object, part: str, path: list[str | int]) -> str | int:
    where = ".".join(map(str, path))
    if isinstance(holder, dict):
        return part
    if not isinstance(holder, list):
        msg = f"{where} is {show(holder)} and has no keys; set {where} as a whole"
        raise ValueError(msg)  # noqa: TRY004 - the user's value, not a type of ours
    if not part.isdecimal() or int(part) >= len(holder):
        known = f"0 to {len(holder) - 1}" if holder else "none: it is empty"
        msg = f"{where} is a list: {part!r} is not one of its positions ({known})"
        raise ValueError(msg)
    return int(part)
