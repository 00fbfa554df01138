"""Refuses a grid if one of its labels has another meaning in the results."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable, Mapping

from orchestrator.config.axes import identity_of
from orchestrator.plan.grid import Grid
from orchestrator.records import CommittedTrial
from orchestrator.untrusted import AXES, spec_of
from workers.catalogue.code_files import digest_in, short_name
from workers.contract import UserError
from workers.identity import digest, folded

_MAX_SHOWN = 5


def refuse_conflicts(grid: Grid, rows: Iterable[CommittedTrial]) -> None:
    """Compares the grid's labels with those of committed trials of the same protocol.

    Raises:
        UserError: A label names another entry in the results, or an entry has another label there;
            one line each, with the remedy.
    """
    axes = {"dataset": grid.datasets, "model": grid.models, "loss": grid.losses}
    identities = {
        axis: {component.label: identity_of(component) for component in components}
        for axis, components in axes.items()
    }
    files = {digest_in(component.name) for components in axes.values() for component in components}
    problems: dict[str, None] = {}
    seen: set[tuple[str, str, str]] = set()
    known: set[tuple[object, ...]] = set()
    for row in rows:
        if row.protocol_id != grid.protocol_id:
            continue
        # Repeats share the rest of their specification: each combination is parsed once.
        before, _, after = (row.spec or "").rpartition('"repeat":')
        labels = tuple(getattr(row, axis) for axis in AXES)
        combination = (before, after.lstrip(" 0123456789"), labels)
        if combination in known:
            continue
        known.add(combination)
        document = spec_of(row.spec) if row.spec else dict.fromkeys(AXES)
        if not set(AXES) <= document.keys():
            problems[
                f"trial {row.trial_id}: its specification in the results cannot be read; podium "
                "verify RESULTS --quarantine moves the trial aside"
            ] = None
            continue
        for axis in AXES:
            stored = document[axis] or {}
            key = (axis, getattr(row, axis), json.dumps(stored, sort_keys=True))
            if stored and key not in seen:
                seen.add(key)
                problems |= dict.fromkeys(_compare(axis, key[1], stored, identities[axis], files))
    if problems:
        shown = list(problems)[:_MAX_SHOWN]
        more = len(problems) - len(shown)
        raise UserError("\n".join([*shown, *([f"and {more} more"] if more else [])]))


def _compare(
    axis: str,
    label: str,
    stored: Mapping[str, object],
    identities: Mapping[str, str],
    files: Collection[str | None],
) -> list[str]:
    written = unicodedata.normalize("NFC", str(stored.get("label", label)))
    if written != label:
        return [
            f"{axis} {label!r}: the specification of these results says {written!r}, so the "
            "label was changed; podium verify RESULTS --quarantine restores it"
        ]
    identity = digest({"name": stored["name"], "parameters": stored["parameters"]})
    if label in identities and identities[label] != identity:
        name = str(stored["name"])
        if digest_in(name) not in (None, *files):
            return [
                f"{axis} {label!r}: the trials in the results were trained with {short_name(name)} "
                f"from a file with another content (digest {digest_in(name)}); bring the file back "
                "as it was to continue, give the new one an alias to train both, or set results to "
                "another location"
            ]
        parameters = json.dumps(stored["parameters"], sort_keys=True)
        return [
            f"{axis} {label!r}: in the results this label stands for {short_name(name)} with "
            f"{parameters}, and here for something else; give it an alias here, or set results "
            "to another location"
        ]
    alike = [ours for ours in identities if ours != label and folded(ours) == folded(label)]
    if alike and identities[alike[0]] != identity:
        return [
            f"{axis} {alike[0]!r}: the results have a label {label!r} for something else, which "
            "differs from it by case or Unicode form only; give it an alias here, or set results "
            "to another location"
        ]
    return [
        f"{axis} {ours!r}: in the results the same {axis} has the label {label!r}; use that alias "
        "here, or set results to another location"
        for ours, theirs in identities.items()
        if theirs == identity and ours != label
    ]
