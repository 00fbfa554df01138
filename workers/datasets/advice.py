"""What to do about masks that are refused or doubtful: options that read these masks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from workers.contract import JSONValue
from workers.datasets import kinds
from workers.datasets.findings import FindingKind
from workers.datasets.masks import MaskRule


def written(option: Mapping[str, JSONValue]) -> str:
    """Returns an option `mask` as a configuration names it."""
    pairs = ", ".join(f"{key}: {_scalar(value)}" for key, value in option.items())
    return f"parameters: {{mask: {{{pairs}}}}}"


def _scalar(value: JSONValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def exchanged(rule: MaskRule) -> FindingKind:
    """Returns the kind of masks whose lesion and background seem exchanged, with the option."""
    option: dict[str, JSONValue] = {}
    if rule.lesion is not None:
        option["lesion"] = list(rule.lesion)
    if rule.above is not None:
        option["threshold"] = rule.above
    usual = "brightest" if rule.lesion is None else "numbers"
    if not rule.by_colour and rule.channel != usual:
        option["channel"] = rule.channel
    if not rule.inverted:
        option["inverted"] = True
    todo = f"set {written(option)}" if option else "remove the option mask"
    kind = kinds.MASK_INVERTED
    return replace(kind, remedy=f"{kind.remedy} {todo} of the dataset")
