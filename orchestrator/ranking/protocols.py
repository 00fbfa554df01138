"""What the protocols of one table differ in, for an error that lists them and for comparisons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pandas as pd

from orchestrator.untrusted import spec_of

SECTIONS = ("data", "training")


def protocol_values(spec: object) -> dict[str, str]:
    """Returns what makes the protocol of one trial: seed, data and training, as dotted keys.

    Args:
        spec: JSON text of the specification; anything else gives nothing.
    """
    document = spec_of(spec)
    values = {"seed": _text(document["seed"])} if "seed" in document else {}
    for section in SECTIONS:
        entries = document.get(section, {})
        values |= {f"{section}.{key}": _text(value) for key, value in entries.items()}
    return values


def differing_keys(protocols: Iterable[Mapping[str, str]]) -> list[str]:
    """Returns the keys whose values are not the same everywhere, in the order of their listing."""
    listed = list(protocols)
    keys = dict.fromkeys(key for values in listed for key in values)
    return [key for key in keys if len({values.get(key) for values in listed}) > 1]


def describe_protocols(trials: pd.DataFrame) -> dict[str, str]:
    """Returns {protocol_id: what sets it apart from the others}, such as `training.max_epochs 2`.

    Args:
        trials: Columns protocol_id and spec; without them there is nothing to say.
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
