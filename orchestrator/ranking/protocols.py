"""Protocols and definitions: which trials may be ranked together, and how protocols differ."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from orchestrator.untrusted import AXES, mapping_of, spec_of
from orchestrator.wording import count_text
from workers.contract import UserError
from workers.identity import digest
from workers.outside import code_digests

SECTIONS = ("data", "training")
_REPEAT = r'"repeat": ?\d+'
_CHUNK_ROWS = 100_000


def protocol_values(spec: object) -> dict[str, str]:
    """Returns the protocol of one trial, {dotted key: value} of seed, data and training.

    Args:
        spec: JSON text of the specification; any other value gives an empty result.
    """
    document = spec_of(spec)
    values = {"seed": _text(document["seed"])} if "seed" in document else {}
    for section in SECTIONS:
        entries = document.get(section, {})
        values |= {f"{section}.{key}": _text(value) for key, value in entries.items()}
    return values


def differing_keys(protocols: Iterable[Mapping[str, str]]) -> list[str]:
    """Returns the keys whose values differ between the protocols, in the order of the keys."""
    listed = list(protocols)
    keys = dict.fromkeys(key for values in listed for key in values)
    return [key for key in keys if len({values.get(key) for values in listed}) > 1]


def describe_protocols(trials: pd.DataFrame) -> dict[str, str]:
    """Returns {protocol_id: its differing keys and values}, such as `training.max_epochs 2`.

    Args:
        trials: Columns protocol_id and spec; without them the result is empty.
    """
    if not {"protocol_id", "spec"} <= set(trials.columns):
        return {}
    first = trials.drop_duplicates("protocol_id").sort_values("protocol_id")
    protocols = {
        str(row.protocol_id): protocol_values(row.spec) for row in first.itertuples(index=False)
    }
    keys = differing_keys(protocols.values())
    return {
        name: ", ".join(f"{key} {values.get(key, 'unknown')}" for key in keys)
        for name, values in protocols.items()
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def choose_protocol(trials: pd.DataFrame, protocol: str | None, source: str) -> pd.DataFrame:
    """Returns the trials of one protocol; without `protocol` there must be only one.

    Args:
        trials: Any table; without a column protocol_id it is returned unchanged.
        protocol: A protocol_id or its beginning.
        source: Name of the table in messages.

    Raises:
        UserError: The table has several protocols, or `protocol` is none of them.
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
        f"{name} ({': '.join(filter(None, [count_text(count, 'trial'), described.get(name)]))})"
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


def check_definitions(trials: pd.DataFrame, source: str) -> None:
    """Checks that every label has the same definition, name and parameters, in every row.

    Args:
        trials: Only a table with a column `spec` (JSON of the specification) is checked.
        source: Name of the table in messages.

    Raises:
        UserError: A label has two definitions, for example `focal` with two gammas.
    """
    if "spec" not in trials.columns:
        return
    codes, distinct = _definitions_of(trials["spec"])
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


def _definitions_of(specs: pd.Series[str]) -> tuple[np.ndarray, list[str]]:
    """Returns the number of each row's specification without its repeat, and the distinct texts.

    Trials that differ only in their repeat share one text, which is parsed once. The rows are read
    in chunks, because the texts of a million rows take gigabytes.
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
    """Refuses rows with a damaged specification; a table may use the column name for other text."""
    damaged = [number for number, spec in enumerate(specs) if not set(AXES) <= spec.keys()]
    if damaged and len(damaged) < len(specs):
        count = int(np.isin(codes, damaged).sum())
        msg = (
            f"{source}: the specification (column 'spec') of {count_text(count, 'trial')} cannot "
            "be read, so their definitions are unknown; podium verify names these trials, and "
            "--quarantine moves them aside"
        )
        raise UserError(msg)


def _check_axis(
    axis: str,
    numbers: Mapping[tuple[str, int], int],
    components: Sequence[dict[str, object]],
    source: str,
) -> None:
    """Checks one axis; `numbers` counts the trials by label and position of the component."""
    meanings: dict[str, dict[str, dict[str, object]]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    definitions = [
        {key: component.get(key) for key in ("name", "parameters")} for component in components
    ]
    for label, position in numbers:
        specified = str(components[position].get("label", label)).strip()
        if specified != label:
            msg = (
                f"{source}: {axis} {label!r}: the specification in column 'spec' says "
                f"{specified!r}, so the label was written over; podium verify RESULTS "
                "--quarantine restores it (if this is a table with labels of your own, remove that "
                "column)"
            )
            raise UserError(msg)
    identity_of = functools.cache(lambda text: digest(json.loads(text)))
    identities = [identity_of(json.dumps(definition)) for definition in definitions]
    for (label, position), number in numbers.items():
        identity = identities[position]
        meanings.setdefault(label, {})[identity] = definitions[position]
        counts[label, identity] += number
    for label, found in meanings.items():
        if len(found) > 1:
            listing = "; ".join(
                f"{definition['name']} {json.dumps(definition['parameters'], sort_keys=True)} "
                f"({count_text(counts[label, identity], 'trial')})"
                for identity, definition in sorted(found.items())
            )
            msg = (
                f"{source}: {axis} {label!r} has {len(found)} different definitions: {listing}; "
                "give each definition its own alias in the configuration, or rank them from "
                "separate results folders"
            )
            raise UserError(msg)


def changed_code(rows: Iterable[object], now: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Returns a sentence for each file of another package whose code changed between trials.

    Args:
        rows: The column `versions` of trials of one protocol.
        now: The versions that further trials will run with.

    Returns:
        One sentence per file with several versions.
    """
    known: dict[str, Counter[str]] = {}
    for text, count in Counter(str(row) for row in rows).items():
        for key, version in code_digests(mapping_of(text)).items():
            known.setdefault(key, Counter())[version] += count
    sentences = []
    for key, counts in sorted(known.items()):
        current = code_digests(now or {}).get(key)
        if set(counts) <= {current} or (current is None and len(counts) == 1):
            continue
        parts = [
            f"{count_text(number, 'trial')} with {text}" for text, number in counts.most_common()
        ]
        if current is not None:
            parts.append(f"the next ones with {current}")
        sentences.append(
            f"the code of {key} changed: {', '.join(parts)}; these numbers are ranked together, "
            "unless you set results to another location and train all trials again"
        )
    return tuple(sentences)
