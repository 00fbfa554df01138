"""Problems of a configuration, as messages with file, line, key, value and remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from orchestrator.address import hide_credentials
from orchestrator.config.document import Document, KeyPath
from workers.catalogue import nearest, plain
from workers.contract import UserError


class _Absent:
    """Stands for no value to show, because None is a value."""


ABSENT = _Absent()

_PLAIN = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "list_type": "must be a list, for example [a, b]",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "podium": "{reason}",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem of a configuration.

    Attributes:
        path: Key path inside the configuration; empty for the whole file.
        reason: What is wrong, and the remedy.
        value: The wrong value, if the message shows it.
        origin: The override that set the value, if it is known already.
    """

    path: KeyPath
    reason: str
    value: object = ABSENT
    origin: str | None = None


def refuse(document: Document, problems: Iterable[Problem]) -> None:
    """Raises one `UserError` with one line per problem, if there is a problem."""
    ordered = sorted(problems, key=lambda p: _line(document, p.path) or 0)
    if ordered:
        raise UserError("\n".join(describe(document, problem) for problem in ordered))


def describe(document: Document, problem: Problem) -> str:
    """Returns `file:line: key.path: value: reason (from --set KEY=VALUE)`."""
    origin = problem.origin or _origin(document, problem.path)
    line = None if origin else _line(document, problem.path)
    place = document.source if line is None else f"{document.source}:{line}"
    parts = [place]
    if problem.path:
        parts.append(".".join(map(str, problem.path)))
    if problem.value is not ABSENT:
        parts.append(show(problem.value))
    parts.append(problem.reason)
    text = ": ".join(parts) + (f" (from --set {origin})" if origin else "")
    return hide_credentials(text)


def show(value: object) -> str:
    """Returns a value on one short line, as YAML would write it."""
    if isinstance(value, str):
        text = repr(value)
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def translate(error: ErrorDetails, model: type[BaseModel]) -> Problem:
    """Turns one error of pydantic about `model` into a problem."""
    path = tuple(error["loc"])
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return Problem(path=path, reason=f"unknown key {path[-1]!r}; {_key_hint(path, model)}")
    if kind == "missing":
        return Problem(path=path, reason=f"missing; {_example(path, model)}")
    if kind == "invalid_key" or (path and path[-1] == "[key]"):
        where = path[:-1] if path[-1] == "[key]" else path
        return Problem(path=where, reason="the key must be text; put it in quotes")
    if kind == "literal_error":
        known = re.findall(r"'([^']+)'", str(context.get("expected", "")))
        return Problem(path=path, value=value, reason=f"unknown value; {nearest(value, known)}")
    if kind == "multiple_of":
        return Problem(path=path, value=value, reason=_multiple(value, context))
    words = {k: f"{v:.15g}" if isinstance(v, float) else v for k, v in context.items()}
    reason = _PLAIN[kind].format(**words) if kind in _PLAIN else plain(error["msg"])
    if kind == "float_type" and isinstance(value, str):
        reason += ", without quotes"
    return Problem(path=path, value=value, reason=reason)


def _multiple(value: object, context: Mapping[str, Any]) -> str:
    step = int(context["multiple_of"])
    number = value if isinstance(value, int) else step
    below = max(step, number // step * step)
    return f"must be a multiple of {step}, for example {below} or {below + step}"


def _key_hint(path: KeyPath, model: type[BaseModel]) -> str:
    """Names the nearest keys, or the section that the key belongs to."""
    known = _section(path[:-1], model).model_fields
    for name, info in model.model_fields.items():
        inner = _model_in(info.annotation)
        # Under datasets, models and losses a key would need a position too.
        if name != path[0] and inner and path[-1] in inner.model_fields and len(path) < 3:
            if get_origin(info.annotation) is list:
                continue
            return f"it belongs under {name!r}: {name}.{path[-1]}; known here: {', '.join(known)}"
    return nearest(path[-1], known)


def _example(path: KeyPath, model: type[BaseModel]) -> str:
    info = _section(path[:-1], model).model_fields[str(path[-1])]
    return f"for example {path[-1]}: {(info.examples or ['...'])[0]}"


def _section(path: KeyPath, model: type[BaseModel]) -> type[BaseModel]:
    """Returns the model that describes what lies at a key path."""
    for part in path:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType, Annotated):
        found = (_model_in(inner) for inner in get_args(annotation))
        return next((inner for inner in found if inner), None)
    return None


def _line(document: Document, path: KeyPath) -> int | None:
    """Returns the line of a key path, or of the nearest key above it."""
    for length in range(len(path), 0, -1):
        # A key that is a number is noted as it was written.
        for key in (path[:length], (*path[: length - 1], str(path[length - 1]))):
            if key in document.lines:
                return document.lines[key]
    return None


def _origin(document: Document, path: KeyPath) -> str | None:
    """Returns the override that set a key path, a key above it or a key below it."""
    above = (path[:n] for n in range(len(path), 0, -1))
    found = [document.origins[key] for key in above if key in document.origins]
    below = [text for key, text in document.origins.items() if path and key[: len(path)] == path]
    return next(iter(found + below), None)
