"""Remedies for masks that are refused or doubtful: options that can read these masks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from workers.contract import JSONValue
from workers.datasets import kinds
from workers.datasets.findings import Finding, FindingKind
from workers.datasets.masks.facts import MaskFacts, ValueCounts
from workers.datasets.masks.rule import MaskRule

Option = dict[str, JSONValue]
Fits = Callable[[Option, tuple[str, ...]], bool]
"""Returns whether an option can read all masks, with lesion and background in the named masks."""


def written(option: Mapping[str, JSONValue]) -> str:
    """Returns an option `mask` as it is written in a configuration."""
    pairs = ", ".join(f"{key}: {_scalar(value)}" for key, value in option.items())
    return f"parameters: {{mask: {{{pairs}}}}}"


def _scalar(value: JSONValue) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def exchanged(rule: MaskRule) -> FindingKind:
    """Returns the kind of masks whose lesion and background seem exchanged, with the option."""
    option: Option = {}
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


def advised(one: Finding, masks: Mapping[str, MaskFacts], fits: Fits) -> Finding:
    """Returns a finding whose remedy names the options that can read these masks."""
    if one.kind.name not in _ADVICE:
        return one
    found = _MaskValues(masks, *_deciding(masks))
    is_uniform = len(found.values) < 2
    options = [] if is_uniform else _ADVICE[one.kind.name](found, one, fits)
    remedy = "; ".join(filter(None, [one.kind.remedy, *options]))
    return replace(one, kind=replace(one.kind, remedy=remedy or kinds.MASK_TRIVIAL.remedy))


class _MaskValues:
    """The values of the masks in the channel of their lesion.

    Attributes:
        masks: Facts by name.
        tables: The table of each mask that decides.
        values: All values, in order.
        is_exact: Whether the values are as stored, without compression.
        where: The keys of an option that name the channel.
    """

    def __init__(
        self, masks: Mapping[str, MaskFacts], channel: str, tables: Mapping[str, ValueCounts]
    ) -> None:
        self.masks, self.tables = masks, tables
        values = {v for t in tables.values() for v in t.values if not isinstance(v, str)}
        self.values = sorted(values)
        self.is_exact = all(table.exact for table in tables.values()) and not any(
            facts.header and facts.header.lossy for facts in masks.values()
        )
        self.where: Option = {} if channel == "numbers" else {"channel": channel}

    def option(self, **keys: JSONValue) -> Option:
        """Returns an option with these keys for the channel that decides."""
        return keys | self.where

    def middle(self) -> Option:
        """Returns the option that cuts between background and lesion."""
        scales = {facts.full_scale for facts in self.masks.values()}
        if len(scales) > 1 and None not in scales:
            return self.where or {"channel": "brightest"}  # half of each file's full scale
        full, highest = scales.pop() if len(scales) == 1 else None, self.values[-1]
        if full is not None and highest > full // 2:
            return self.option(threshold=full // 2)
        half = 0.5 if full is None and 0.5 < highest <= 1 else highest / 2
        return self.option(threshold=half if half < 1 else int(half))


def _deciding(masks: Mapping[str, MaskFacts]) -> tuple[str, dict[str, ValueCounts]]:
    """Returns the channel that an option must name, and its table for each mask."""
    numbers = {
        name: facts.tables["index" if {"index", "colour"} <= facts.tables.keys() else "brightest"]
        for name, facts in masks.items()
    }
    others = {
        channel: {n: facts.tables[channel] for n, facts in masks.items() if channel in facts.tables}
        for channel in ("alpha", "index")
    }
    for channel, tables in ({"numbers": numbers} | others).items():
        if len({value for table in tables.values() for value in table.values}) > 1:
            return channel, tables
    return "numbers", numbers


def _numbers(found: _MaskValues, one: Finding, fits: Fits) -> list[str]:
    lesion = found.option(lesion=[*found.values[1:3]])
    above = found.option(threshold=found.values[0])
    if not found.is_exact:
        return _grey(found, one, fits)
    return [
        f"for {kind} set {written(option)} of the dataset, {what}"
        for kind, option, what in (
            ("classes", lesion, "with the values that are lesion"),
            ("instances", above, f"every value above {found.values[0]}"),
        )
        if fits(option, one.names)
    ]


def _grey(found: _MaskValues, _: Finding, fits: Fits) -> list[str]:
    option = found.middle()
    first = "check that it is a mask, then "
    if not fits(option, ()):
        return [f"{first}store it as 0 and 255"]
    what = ", or another level above which is lesion" if "threshold" in option else ""
    return [f"{first}set {written(option)} of the dataset{what}"]


def _disagrees(found: _MaskValues, one: Finding, fits: Fits) -> list[str]:
    option = found.option(threshold=0)
    others = {value for n, t in found.tables.items() if n not in one.names for value in t.values}
    if not found.is_exact or len(others) > 2 or not fits(option, one.names):
        return []
    return [f"if every value above 0 is lesion, set {written(option)} of the dataset"]


def _trivial(found: _MaskValues, _: Finding, fits: Fits) -> list[str]:
    options: list[Option] = [found.middle()]
    if found.is_exact:
        first, last = found.values[0], found.values[-1]
        options = [found.option(lesion=[last]), found.option(threshold=first)]
    good = " or ".join(written(option) for option in options if fits(option, ()))
    return [f"or say which values are lesion: set {good} of the dataset"] if good else []


def _compressed(found: _MaskValues, _: Finding, fits: Fits) -> list[str]:
    options: list[Option] = [found.middle(), found.middle() | {"inverted": True}]
    plain, inverted = (written(option) for option in options)
    if not all(fits(option, ()) for option in options):
        return []
    return [f"or set {plain} of the dataset for bright lesions, or {inverted} for dark ones"]


_ADVICE: dict[str, Callable[[_MaskValues, Finding, Fits], list[str]]] = {
    kinds.MASK_NUMBERS.name: _numbers,
    kinds.MASK_GREY.name: _grey,
    kinds.MASK_DISAGREES.name: _disagrees,
    kinds.MASK_TRIVIAL.name: _trivial,
    kinds.MASK_COMPRESSED.name: _compressed,
}
