"""Trial identity: same question, same id, on any machine and in any order."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping

from workers.contract import Component, DataProtocol, TrainingProtocol, TrialSpec

IDENTITY_VERSION = 1
"""Raised only when the meaning of a specification changes; then every id changes."""


def canonical(value: object) -> object:
    """Brings values that compare equal to one form: 1.0 and True to 1, -0.0 to 0.

    Raises:
        ValueError: A number is not finite.
        TypeError: A value is not plain JSON.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"{value} cannot be part of an identity"
            raise ValueError(msg)
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    msg = f"{type(value).__name__} cannot be part of an identity"
    raise TypeError(msg)


def digest(document: object, *, length: int = 20) -> str:
    """Returns the first `length` hexadecimal digits of the canonical form's SHA-256."""
    text = json.dumps(canonical(document), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _component(component: Component) -> dict[str, object]:
    return {"name": component.name, "parameters": component.parameters}


def _protocol(spec: TrialSpec) -> dict[str, object]:
    return {
        "identity_version": IDENTITY_VERSION,
        "seed": spec.seed,
        "data": _fields(spec.data),
        "training": _fields(spec.training),
    }


def _fields(protocol: DataProtocol | TrainingProtocol) -> dict[str, object]:
    """Returns all fields but those that came later and have their default."""
    return {
        item.name: getattr(protocol, item.name)
        for item in dataclasses.fields(protocol)
        if not item.metadata.get("later") or getattr(protocol, item.name) != item.default
    }


def trial_id(spec: TrialSpec) -> str:
    """Returns the id of a trial: 20 hexadecimal digits, labels left out."""
    return digest(
        _protocol(spec)
        | {
            "dataset": _component(spec.dataset),
            "model": _component(spec.model),
            "loss": _component(spec.loss),
            "repeat": spec.repeat,
        }
    )


def protocol_id(spec: TrialSpec) -> str:
    """Returns the id of what all trials of one grid share: seed, data and training protocol."""
    return digest(_protocol(spec), length=12)
