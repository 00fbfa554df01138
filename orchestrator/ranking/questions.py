"""Refuses to rank answers to different questions against each other."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from orchestrator.ranking.protocols import describe_protocols
from orchestrator.untrusted import AXES, spec_of
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
    protocols = trials["protocol_id"].astype("str")
    counts = {str(name): int(number) for name, number in protocols.value_counts().items()}
    described = describe_protocols(trials) if len(counts) > 1 else {}
    listing = ", ".join(
        f"{name} ({_trials(count)}{f': {described[name]}' if described.get(name) else ''})"
        for name, count in sorted(counts.items())
    )
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
    return trials[protocols == matches[0]]


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
    codes, distinct = _questions_of(trials["spec"])
    specs = [spec_of(text) for text in distinct]
    _refuse_unreadable(specs, codes, source)
    for axis in ("dataset", "model", "loss"):
        if axis in trials.columns:
            labels, names = pd.factorize(trials[axis])
            together, counts = np.unique(labels * len(specs) + codes, return_counts=True)
            _check_axis(
                axis,
                {
                    (str(names[pair // len(specs)]), int(pair % len(specs))): int(count)
                    for pair, count in zip(together, counts, strict=True)
                },
                [spec.get(axis, {}) for spec in specs],
                source,
            )


_REPEAT = r'"repeat": ?\d+'
_CHUNK_ROWS = 100_000


def _questions_of(specs: pd.Series[str]) -> tuple[np.ndarray, list[str]]:
    """Returns the number of each row's specification without its repeat, and their texts.

    Trials that differ in nothing but their repeat ask one question: parsed once, not each. Some
    rows at a time, for the texts of a million take gigabytes.
    """
    numbers: dict[str, int] = {}
    codes = np.empty(len(specs), dtype=int)
    for start in range(0, len(specs), _CHUNK_ROWS):
        part = specs.iloc[start : start + _CHUNK_ROWS].astype("str")
        local, texts = pd.factorize(
            part.str.replace(_REPEAT, '"repeat": 0', regex=True), use_na_sentinel=False
        )
        known = np.array([numbers.setdefault(str(text), len(numbers)) for text in texts])
        codes[start : start + len(part)] = known[local]
    return codes, list(numbers)


def _refuse_unreadable(
    specs: Sequence[Mapping[str, object]], codes: np.ndarray, source: str
) -> None:
    """Refuses rows of which nobody knows what they answer; a column of another meaning is fine."""
    damaged = [number for number, spec in enumerate(specs) if not set(AXES) <= spec.keys()]
    if damaged and len(damaged) < len(specs):
        count = int(np.isin(codes, damaged).sum())
        msg = (
            f"{source}: the specification (column 'spec') of {_trials(count)} cannot be read, so "
            "it is not known what they answer; podium verify names them, and --quarantine moves "
            "them aside"
        )
        raise UserError(msg)


def _check_axis(
    axis: str,
    numbers: Mapping[tuple[str, int], int],
    components: Sequence[dict[str, object]],
    source: str,
) -> None:
    """Checks one axis; `numbers` says how many trials have a label and the n-th component."""
    meanings: dict[str, dict[str, dict[str, object]]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    questions_asked = [
        {key: component.get(key) for key in ("name", "parameters")} for component in components
    ]
    for label, position in numbers:
        asked = str(components[position].get("label", label)).strip()
        if asked != label:
            msg = (
                f"{source}: {axis} {label!r}: the specification in column 'spec' says {asked!r}, "
                "so the label was written over; podium verify RESULTS --quarantine restores it (if "
                "this is a table with labels of your own, remove that column)"
            )
            raise UserError(msg)
    identity_of = functools.cache(lambda text: digest(json.loads(text)))
    identities = [identity_of(json.dumps(question)) for question in questions_asked]
    for (label, position), number in numbers.items():
        identity = identities[position]
        meanings.setdefault(label, {})[identity] = questions_asked[position]
        counts[label, identity] += number
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
