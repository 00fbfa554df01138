"""Refuses to rank answers to different questions against each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import pandas as pd

from workers.contract import UserError
from workers.identity import digest


def choose_protocol(trials: pd.DataFrame, protocol: str | None, source: str) -> pd.DataFrame:
    """Returns the trials of one protocol; without `protocol` there must be only one.

    Args:
        trials: Any table; without a column protocol_id it is returned as it is.
        protocol: A protocol_id or its beginning.
        source: What to call the table in an error.

    Raises:
        UserError: Several protocols are there, or `protocol` is none of them.
    """
    if "protocol_id" not in trials.columns:
        if protocol is None:
            return trials
        msg = f"{source}: --protocol {protocol}: the table has no column 'protocol_id'"
        raise UserError(msg)
    counts = Counter(trials["protocol_id"].astype(str))
    listing = ", ".join(f"{name} ({_trials(count)})" for name, count in sorted(counts.items()))
    if protocol is None:
        if len(counts) > 1:
            msg = (
                f"{source}: trials of {len(counts)} training protocols, which must not be ranked "
                f"together: {listing}; choose one with --protocol ID"
            )
            raise UserError(msg)
        return trials
    matches = [name for name in counts if name.startswith(protocol)]
    if len(matches) != 1:
        reason = "fits several protocols" if matches else "is no protocol here"
        msg = f"{source}: --protocol {protocol} {reason}; known: {listing or 'none'}"
        raise UserError(msg)
    return trials[trials["protocol_id"].astype(str) == matches[0]]


def check_questions(trials: pd.DataFrame, source: str) -> None:
    """Sees to it that a label means the same in every row.

    Args:
        trials: Needs a column `spec` (JSON of the trial's specification) to find anything.
        source: What to call the table in an error.

    Raises:
        UserError: One label stands for two components, for example `focal` with two gammas.
    """
    if "spec" not in trials.columns:
        return
    specs = [_specification(text) for text in trials["spec"]]
    for axis in ("dataset", "model", "loss"):
        if axis in trials.columns:
            _check_axis(axis, trials[axis], [spec.get(axis, {}) for spec in specs], source)


def _specification(text: object) -> dict[str, dict[str, object]]:
    """Returns the parsed specification; nothing where the column holds something foreign."""
    try:
        document = json.loads(str(text))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _check_axis(
    axis: str, labels: Iterable[str], components: Iterable[dict[str, object]], source: str
) -> None:
    meanings: dict[str, dict[str, dict[str, object]]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for label, component in zip(labels, components, strict=True):
        question = {key: component.get(key) for key in ("name", "parameters")}
        identity = digest(question)
        meanings.setdefault(label, {})[identity] = question
        counts[label, identity] += 1
    for label, questions in meanings.items():
        if len(questions) > 1:
            listing = "; ".join(
                f"{question['name']} {json.dumps(question['parameters'], sort_keys=True)} "
                f"({_trials(counts[label, identity])})"
                for identity, question in sorted(questions.items())
            )
            msg = (
                f"{source}: {axis} {label!r} stands for {len(questions)} different questions: "
                f"{listing}; give each its own alias in the configuration, or rank them from "
                "separate results folders"
            )
            raise UserError(msg)


def _trials(count: int) -> str:
    return f"{count} trial" if count == 1 else f"{count} trials"
