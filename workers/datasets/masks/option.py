"""Checks the option `mask` of a dataset against its masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from workers.datasets import kinds
from workers.datasets.findings import Finding, finding
from workers.datasets.masks.evidence import EDGE, Masks, listed, shown
from workers.datasets.masks.facts import MaskFacts, Value, ValueCounts
from workers.datasets.masks.rule import MaskRule

_LACKS = {
    "alpha": "has no alpha",
    "index": "has no palette",
    "numbers": 'is coloured; name colours: {lesion: ["#ff0000"]}',
}


def option_misfits(
    masks: Masks, rule: MaskRule, tables: Mapping[str, ValueCounts | None]
) -> tuple[Finding, ...]:
    """Returns why the rule of the option cannot be applied to these masks; empty if it can.

    Args:
        masks: Facts on each file.
        rule: The rule of the option.
        tables: The table of each file that decides; None if the file does not have it.
    """
    if rule.channel in _LACKS:
        lacking = {name: _LACKS[rule.channel] for name, table in tables.items() if table is None}
        if lacking:
            return finding(kinds.MASK_OPTION, lacking)
    if rule.lesion is None:
        return ()
    known = {name: table for name, table in tables.items() if table is not None}
    return (
        _compressed(rule.lesion, masks, known)
        or _absent(rule.lesion, known)
        or _two_palettes(rule.lesion, masks, known)
    )


def _absent(lesion: tuple[Value, ...], tables: Mapping[str, ValueCounts]) -> tuple[Finding, ...]:
    present = {value for table in tables.values() for value in table.values}
    absent = [value for value in lesion if value not in present]
    if not absent or not all(table.exact for table in tables.values()):
        return ()
    kind, found = kinds.MASK_OPTION, listed(present)
    text = f"{kind.text}: lesion {listed(absent)} is in no mask; found {found}"
    return (Finding(kind=replace(kind, text=text), names=()),)


def _compressed(
    lesion: tuple[Value, ...], masks: Masks, tables: Mapping[str, ValueCounts]
) -> tuple[Finding, ...]:
    """Refuses values that compression has scattered: neighbouring values would be background."""
    found: dict[str, str] = {}
    for name, table in tables.items():
        header, reach = masks[name].header, EDGE * (masks[name].full_scale or 255)
        near = [
            value
            for value in table.values
            if value not in lesion and any(_distance(value, one) <= reach for one in lesion)
        ]
        if header and header.lossy and near:
            found[name] = f"also {listed(near)}"
    return finding(kinds.MASK_COMPRESSED, found)


def _distance(one: Value, other: Value) -> float:
    if isinstance(one, str) or isinstance(other, str):
        pairs = zip(bytes.fromhex(str(one)[1:]), bytes.fromhex(str(other)[1:]), strict=True)
        return max(abs(a - b) for a, b in pairs)
    return abs(float(one) - float(other))


def _two_palettes(
    lesion: tuple[Value, ...], masks: Masks, tables: Mapping[str, ValueCounts]
) -> tuple[Finding, ...]:
    """Refuses indices whose colour is lesion in one file and background in another."""
    marked: dict[Value, set[Value]] = {}
    rest: dict[Value, set[Value]] = {}
    for name, table in tables.items():
        if table is masks[name].tables.get("index"):
            for index, colour in _colours_of(masks[name]).items():
                (marked if index in lesion else rest).setdefault(colour, set()).add(index)
    details = {
        colour: f"lesion as {listed(marked[colour])}, background as {listed(rest[colour])}"
        for colour in sorted(marked.keys() & rest.keys(), key=str)
    }
    return finding(kinds.MASK_PALETTES, {shown(colour): text for colour, text in details.items()})


def _colours_of(facts: MaskFacts) -> dict[Value, Value]:
    """Returns the colour of each index, if the numbers of pixels show it."""
    index, colour = facts.tables["index"], facts.tables.get("colour")
    if colour is None or not colour.exact or len(index.counts) != len(colour.counts):
        return {}
    counts = [count for _, count in colour.counts]
    by_count = {count: value for value, count in colour.counts if counts.count(count) == 1}
    return {value: by_count[count] for value, count in index.counts if count in by_count}
