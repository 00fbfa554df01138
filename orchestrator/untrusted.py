"""JSON that other programs may have written, damaged or forged: limits of size, checks of shape.

All documents of the results and all columns of JSON are read here, so that no file exhausts memory
or ends a command with a traceback. Errors describe the problem.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from orchestrator.address import hide_credentials

MAX_TRIALS = 1_000_000
"""A larger grid is treated as malformed."""
MAX_UNNAMED_TRIALS = 100_000
"""Limit for a grid whose document does not have the id of each trial."""
MAX_DOCUMENT_BYTES = 128 << 20
"""The document of a grid of a million trials has 32 MB."""
MAX_COLUMN_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_DIGITS = 40

AXES = ("dataset", "model", "loss")


class MalformedError(ValueError):
    """A document is malformed; the text is a predicate such as `is not JSON`."""


def parse_json(text: str | bytes, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:  # noqa: ANN401 - JSON
    """Returns the values of a JSON text.

    Raises:
        MalformedError: The text is not JSON, too large or too deep, or has an infinite number.
    """
    if len(text) > max_bytes:
        _refuse(f"is larger than {max_bytes / 1e6:.0f} MB")
    try:
        found = json.loads(
            text, parse_constant=_number, parse_int=_whole_number, parse_float=_number
        )
    except RecursionError:
        _refuse("is nested too deeply")
    except MalformedError:
        raise
    except ValueError as error:
        _refuse(f"is not JSON ({error})")
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            _refuse("is nested too deeply")
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
    return found


def mapping_of(text: object) -> dict[str, Any]:
    """Returns the JSON object in a column; an empty one if the text is anything else."""
    try:
        found = parse_json(str(text), MAX_COLUMN_BYTES)
    except MalformedError:
        return {}
    return found if isinstance(found, dict) else {}


def spec_of(text: object) -> dict[str, Any]:
    """Returns a trial's specification from the column `spec`, without malformed components.

    Each of `dataset`, `model` and `loss` in the result has a `name` and `parameters`; `data` and
    `training`, if present, are mappings.
    """
    found = mapping_of(text)
    for axis in AXES:
        part = found.get(axis)
        if not (isinstance(part, dict) and _is_component(part)):
            found.pop(axis, None)
    for section in ("data", "training"):
        if not isinstance(found.get(section), dict):
            found.pop(section, None)
    return found


def _is_component(part: Mapping[str, object]) -> bool:
    return isinstance(part.get("name"), str) and isinstance(part.get("parameters"), dict)


Text = Annotated[str, StringConstraints(max_length=1000)]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Count = Annotated[int, Field(ge=0, le=10**9)]


class Shape(BaseModel):
    """The required form of a document; keys of other versions are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Entry(Shape):
    label: Text
    title: Text | None = None
    name: Text | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class GridShape(Shape):
    """The keys of a grid document that readers use."""

    grid_id: FileName
    protocol_id: FileName | None = None
    name: Text = ""
    saved_at: Text | None = None
    datasets: list[_Entry] | None = None
    models: list[_Entry] | None = None
    losses: list[_Entry] | None = None
    repeats: Annotated[int, Field(ge=0, le=MAX_TRIALS)] = 1
    trial_ids: Annotated[list[FileName], Field(max_length=MAX_TRIALS)] = Field(default_factory=list)
    config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _bounded(self) -> GridShape:
        combinations = math.prod(
            len(axis or ()) for axis in (self.datasets, self.models, self.losses)
        )
        # A document of a few bytes must not produce a million rows.
        if combinations * self.repeats > max(MAX_UNNAMED_TRIALS, len(self.trial_ids)):
            num_ids = len(self.trial_ids)
            msg = f"{combinations} combinations of {self.repeats} repeats with {num_ids} ids"
            raise ValueError(msg)
        return self


class _RunningShape(Shape):
    trial_id: FileName
    label: Text
    since: Annotated[AwareDatetime, Field(strict=False)]
    val_dice: Annotated[tuple[float | None, ...], Field(strict=False, max_length=MAX_TRIALS)]


class RunShape(Shape):
    """The document of a driver."""

    run_id: FileName
    grid_id: Text
    host: Text
    process_id: Count
    started_at: Annotated[AwareDatetime, Field(strict=False)]
    heartbeat_at: Annotated[AwareDatetime, Field(strict=False)]
    num_pending: Count
    num_ended: Count = 0
    running: Annotated[tuple[_RunningShape, ...], Field(strict=False, max_length=100_000)]


class CandidateShape(Shape):
    """The columns with JSON in a row of `candidates`."""

    parameters: dict[str, Any]
    val_dice: Annotated[tuple[float | None, ...], Field(strict=False, max_length=MAX_TRIALS)]
    versions: dict[str, Text] | None = None
    spec: dict[str, Any]


_Shape = TypeVar("_Shape", bound=Shape)


def check_shape(document: object, shape: type[_Shape]) -> _Shape:
    """Returns a document as an object of a shape.

    Raises:
        MalformedError: The document has another shape; the text names the key.
    """
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "whole document"
        _refuse(f"has another shape than expected ({where}: {first['msg']})")


def grid_document(data: bytes, file_name: str) -> dict[str, Any]:
    """Returns the grid document in a file of `_grids`.

    Raises:
        MalformedError: The file has no grid document, or one with another id.
    """
    document = parse_json(data)
    grid_id = check_shape(document, GridShape).grid_id
    if file_name != f"{grid_id}.json":
        _refuse(f"is the document of grid {grid_id}")
    found: dict[str, Any] = document
    config = found.get("config")
    if isinstance(config, dict) and isinstance(config.get("results"), str):
        # An older version stored credentials of the URI.
        found["config"] = config | {"results": hide_credentials(config["results"])}
    return found


def _whole_number(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _refuse(f"contains a number of {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(f"contains {text[:MAX_DIGITS]}, which is not a finite number")
    return number


def _refuse(reason: str) -> NoReturn:
    raise MalformedError(reason)
