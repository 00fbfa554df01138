"""Losses from another file: `{from: FILE}` in a configuration's list of losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.config.axes import read_axis
from orchestrator.config.document import Document, KeyPath, read_document
from orchestrator.config.locations import resolve_local
from orchestrator.config.problems import Problem, refuse, translate
from orchestrator.config.schema import LossesFile, TrainingSection
from workers.contract import Component, UserError
from workers.identity import digest


def include_losses(document: Document, folder: Path) -> Document:
    """Returns the document with every `{from: FILE}` replaced by the losses of that file.

    A loss of the file that asks the same question as one that stands in the list already is left
    out, so that a tuned loss can stand beside the default that it turned out to be.

    Args:
        document: A configuration after its overrides.
        folder: Where relative paths begin.

    Raises:
        UserError: A file is missing, or holds anything but losses, or a wrong one.
    """
    items = document.values.get("losses")
    if not isinstance(items, list) or not any(map(_is_include, items)):
        return document
    rate = learning_rate_of(document.values)
    written = [item for item in items if not _is_include(item)]
    known = {_question(c) for c in read_axis("losses", written, folder, None, rate).components}
    values: list[Any] = []
    places: list[int] = []
    for position, item in enumerate(items):
        included = [item]
        if _is_include(item):
            included = _read(document, position, item, folder, known, rate)
        values += included
        places += [position] * len(included)
    return replace(
        document,
        values=document.values | {"losses": values},
        lines=_moved(document.lines, places),
        origins=_moved(document.origins, places),
    )


def learning_rate_of(values: Mapping[str, Any]) -> float | None:
    """Returns the protocol's learning rate before anything is checked."""
    training = values.get("training")
    rate = training.get("learning_rate") if isinstance(training, Mapping) else None
    if rate is None:
        rate = TrainingSection.model_fields["learning_rate"].default
    return float(rate) if isinstance(rate, int | float) else None


def _is_include(item: object) -> bool:
    return isinstance(item, Mapping) and "from" in item


def _read(
    document: Document,
    position: int,
    item: Mapping[str, Any],
    folder: Path,
    known: set[str],
    rate: float | None,
) -> list[Any]:
    """Returns the entries of one file that ask something new; adds their questions to `known`."""
    place: KeyPath = ("losses", position)
    if set(item) != {"from"} or not isinstance(item["from"], str):
        reason = "must hold 'from' and nothing else, as in {from: tuned.yaml}"
        refuse(document, [Problem(path=place, value=item, reason=reason)])
    try:
        found = read_document(Path(resolve_local(item["from"], folder)))
    except (UserError, ValueError) as error:
        refuse(document, [Problem(path=(*place, "from"), value=item["from"], reason=str(error))])
        raise  # not reached: there is a problem
    problems = []
    try:
        LossesFile.model_validate(found.values)
    except ValidationError as error:
        problems = [translate(e, LossesFile) for e in error.errors(include_url=False)]
    entries = found.values.get("losses")
    axis = read_axis("losses", entries, folder, None, rate)
    refuse(found, [*problems, *axis.problems])
    fresh = []
    for entry, component in zip(entries or (), axis.components, strict=True):
        if _question(component) not in known:
            known.add(_question(component))
            fresh.append(entry)
    return fresh


def _question(component: Component) -> str:
    return digest({"name": component.name, "parameters": component.parameters})


def _moved(noted: Mapping[KeyPath, Any], places: list[int]) -> dict[KeyPath, Any]:
    """Returns what is noted by key path with the losses at their new positions."""
    kept = {key: value for key, value in noted.items() if key[:1] != ("losses",) or len(key) < 2}
    for new, old in enumerate(places):
        for key, value in noted.items():
            if key[:2] == ("losses", old) and (len(key) == 2 or key[2] != "from"):
                kept["losses", new, *key[2:]] = value
    return kept
