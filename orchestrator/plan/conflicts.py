"""Refuses a grid whose labels would mean two things in one table of results."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping

from orchestrator.plan.grid import Grid
from orchestrator.records import CommittedTrial
from orchestrator.untrusted import AXES, spec_of
from workers.contract import Component, UserError
from workers.identity import digest, folded

_MAX_SHOWN = 5


def refuse_conflicts(grid: Grid, rows: Iterable[CommittedTrial]) -> None:
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
    known: set[tuple[object, ...]] = set()
    for row in rows:
        if row.protocol_id != grid.protocol_id:
            continue
        # Repeats of one combination are one question: a million rows are parsed once each.
        before, _, after = (row.spec or "").rpartition('"repeat":')
        labels = tuple(getattr(row, axis) for axis in AXES)
        question = (before, after.lstrip(" 0123456789"), labels)
        if question in known:
            continue
        known.add(question)
        document = spec_of(row.spec) if row.spec else dict.fromkeys(AXES)
        if not set(AXES) <= document.keys():
            problems[
                f"trial {row.trial_id}: its specification in the results cannot be read, so it is "
                "not known what it answers; podium verify --quarantine moves it aside"
            ] = None
            continue
        for axis in AXES:
            stored = document[axis] or {}
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
    alike = [ours for ours in questions if ours != label and folded(ours) == folded(label)]
    if alike and questions[alike[0]] != question:
        return [
            f"{axis} {alike[0]!r}: the results have a label {label!r} for something else, which "
            "differs from it by case or Unicode form alone; give it an alias here, or set results "
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
