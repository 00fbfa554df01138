"""The catalogues of datasets, models and losses: names, parameters and facts, without torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.contract import JSONValue

_WORDS = {
    "Input should be": "must be",
    "Value error, ": "",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "Unable to parse input string as an integer, exceeded maximum size": "is too large",
    ", unable to parse string as an integer": "",
    ", unable to parse string as a number": "",
    ", got a number with a fractional part": "",
    "Tuple should have": "must have",
    " after validation": "",
    "a valid tuple": "a list",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "Field required": "a value is missing",
}


class Options(BaseModel):
    """Parameters of a catalogue entry: checked once, frozen, complete.

    Attributes:
        later: Keys that were added after trials of this entry had ids. At its default, a later key
            is not part of the complete parameters, so that earlier trials keep their ids.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CatalogueError(ValueError):
    """A name or parameter that the catalogue refuses.

    Attributes:
        path: Where inside the component, for example `("parameters", "gamma")`.
        value: The offending value.
        reason: Why it is refused, with the nearest valid names.
    """

    def __init__(self, path: tuple[str, ...], value: object, reason: str) -> None:
        self.path = path
        self.value = value
        self.reason = reason
        super().__init__(f"{'.'.join(path)}: {value!r}: {reason}")


def nearest(name: object, known: Iterable[str]) -> str:
    """Returns a remedy: the nearest known names first, then all of them."""
    names = list(known)
    close = difflib.get_close_matches(str(name).lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return f"{hint}known: {', '.join(names)}"


def plain(message: str) -> str:
    """Returns a message of pydantic in Podium's words."""
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


def complete_options(
    options: type[Options], parameters: Mapping[str, Any], path: tuple[str, ...] = ("parameters",)
) -> dict[str, JSONValue]:
    """Checks parameters and fills in the defaults, except of `Options.later`.

    Raises:
        CatalogueError: A parameter is unknown or its value is refused.
    """
    for key in parameters:
        if key not in options.model_fields:
            known = nearest(key, options.model_fields) if options.model_fields else "it takes none"
            raise CatalogueError((*path, str(key)), parameters[key], f"unknown parameter; {known}")
    try:
        checked = options.model_validate(dict(parameters))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = tuple(str(part) for part in first["loc"])
        raise CatalogueError((*path, *where), first["input"], plain(first["msg"])) from None
    complete: dict[str, JSONValue] = checked.model_dump(mode="json")
    for key in options.later:
        if complete[key] == options.model_fields[key].default:
            del complete[key]
    return complete


def load(reference: str) -> Any:  # noqa: ANN401 - each catalogue knows the type
    """Imports `package.module:attribute`; references come only from the catalogues."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)
