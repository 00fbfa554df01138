"""Refuses a grid whose labels would mean two things in one table of results."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping

from orchestrator.grid import Grid
from orchestrator.rows import CommittedRow
from workers.contract import Component, UserError
from workers.identity import digest

_AXES = ("dataset", "model", "loss")
_MAX_SHOWN = 5


def refuse_conflicts(grid: Grid, rows: Iterable[CommittedRow]) -> None:
    """Compares the grid's labels with those of committed trials of the same protocol.

    Raises:
        UserError: A label stands for another question in the results, or a question has another
            label there; one line each, with the remedy.
    """
    axes = {"dataset": grid.datasets, "model": grid.models, "loss": grid.losses}
    questions = {
        axis: {component.label: _question(component) for component in components}
        for axis, components in axes.items()
    }
    problems: dict[str, None] = {}
    seen: set[tuple[str, str, str]] = set()
    for row in rows:
        if row.protocol_id != grid.protocol_id:
            continue
        document = json.loads(row.spec or "{}")
        for axis in _AXES:
            stored = document.get(axis) or {}
            key = (axis, getattr(row, axis), json.dumps(stored, sort_keys=True))
            if stored and key not in seen:
                seen.add(key)
                problems |= dict.fromkeys(_compare(axis, key[1], stored, questions[axis]))
    if problems:
        shown = list(problems)[:_MAX_SHOWN]
        more = len(problems) - len(shown)
        raise UserError("\n".join([*shown, *([f"and {more} more"] if more else [])]))


def _compare(
    axis: str, label: str, stored: Mapping[str, object], questions: Mapping[str, str]
) -> list[str]:
    asked = unicodedata.normalize("NFC", str(stored.get("label", label)))
    if asked != label:
        return [
            f"{axis} {label!r}: the specification of these results says {asked!r}, so the label "
            "was written over; podium verify RESULTS --quarantine restores it"
        ]
    question = digest({"name": stored["name"], "parameters": stored["parameters"]})
    if label in questions and questions[label] != question:
        parameters = json.dumps(stored["parameters"], sort_keys=True)
        return [
            f"{axis} {label!r}: in the results this label stands for {stored['name']} with "
            f"{parameters}, and here for something else; give it an alias here, or set results "
            "to another location"
        ]
    return [
        f"{axis} {ours!r}: in the results the same question is labelled {label!r}; use that alias "
        "here, or set results to another location"
        for ours, theirs in questions.items()
        if theirs == question and ours != label
    ]


def _question(component: Component) -> str:
    return digest({"name": component.name, "parameters": component.parameters})
