"""Finds the rule of a dataset's masks from the masks alone, or the reason why it is not known.

The questions, in this order: is the lesion in alpha or in colour; are there colours besides black
and one other; are the levels two values, dark and bright with noise, or something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workers.datasets import kinds
from workers.datasets.findings import Finding, finding
from workers.datasets.masks.facts import MAX_PALETTE, MaskFacts, Value, ValueCounts
from workers.datasets.masks.rule import MaskRule

BLACK = "#000000"

EDGE = 0.1
"""Values within this fraction of 0 or of full scale are background or lesion with noise."""

MIN_FLAT = 0.01
"""A value between them is a class if its areas have this fraction of the lesion's pixels."""

MAX_FLAT, MAX_FLAT_PAIR = 0.5, 0.05
"""Faint values are noise if a smaller fraction of them covers areas; the second for one value."""

MAX_BETWEEN = 0.02
"""Smooth edges are at most this fraction of all pixels, or half of the lesion's."""

MIN_COLOUR = 0.01
"""A colour of a smaller fraction of the coloured pixels comes from smooth edges or compression."""


Masks = Mapping[str, MaskFacts]
Outcome = tuple[MaskRule | None, tuple[Finding, ...]]


def found_out(masks: Masks) -> Outcome:
    """Returns the rule that the files show, or the findings if they do not show one."""
    channel, refused = _channel(masks)
    if refused:
        return None, refused
    if channel == "brightest" and (refused := _colours(masks)):
        return None, refused
    return _levels(masks, channel)


def _channel(masks: Masks) -> tuple[str, tuple[Finding, ...]]:
    """Returns the channel of the lesion: alpha if nothing else varies."""
    alpha = {name: f for name, f in masks.items() if len(values_of(f, "alpha")) > 1}
    if not alpha:
        return "brightest", ()
    varied = [name for name, f in masks.items() if len(values_of(f, "brightest")) > 1]
    if not varied and all("alpha" in facts.tables for facts in masks.values()):
        return "alpha", ()
    if all(f.alpha_agrees and len(values_of(f, "brightest")) > 1 for f in alpha.values()):
        return "brightest", ()
    doubtful = {
        name: f"colour {listed(values_of(f, 'brightest'))}, alpha {listed(values_of(f, 'alpha'))}"
        for name, f in alpha.items()
    }
    return "", finding(kinds.MASK_ALPHA, doubtful)


def values_of(facts: MaskFacts, key: str) -> tuple[Value, ...]:
    """Returns the distinct values of a table; empty if the file does not have the table."""
    table = facts.tables.get(key)
    return table.values if table else ()


def _colours(masks: Masks) -> tuple[Finding, ...]:
    """Refuses colours unless they are black and one other in all coloured masks."""
    coloured = {name: facts for name, facts in masks.items() if "colour" in facts.tables}
    if not coloured:
        return ()
    tables = [facts.tables["colour"] for facts in coloured.values()]
    exact = all(table.exact for table in tables)
    present = {colour for table in tables for colour in table.values}
    if not exact or len(present) > MAX_PALETTE:
        corners = _sums(facts.tables["corner"] for facts in coloured.values())
        shown = sum(count for colour, count in corners.items() if colour != BLACK)
        present = {c for c, count in corners.items() if c == BLACK or count > MIN_COLOUR * shown}
    grey = {
        value
        for name, f in masks.items()
        if name not in coloured
        for value in values_of(f, "brightest")
    }
    if len(present) == 2 and BLACK in present and not grey - {0}:
        return ()
    details = {name: listed(_frequent(f.tables["colour"])) for name, f in coloured.items()}
    return finding(kinds.MASK_COLOURS, details)


def _frequent(table: ValueCounts) -> list[Value]:
    most = sorted(table.counts, key=lambda item: -item[1])
    return [value for value, _ in most]


def _levels(masks: Masks, channel: str) -> Outcome:
    """Returns the rule of one channel: two values, or dark and bright with noise."""
    tables = {name: facts.tables[channel] for name, facts in masks.items()}
    graded = {name: f for name, f in masks.items() if not is_bilevel(f)}
    present = {value for name in graded for value in tables[name].values}
    half = _half(masks, channel, present)
    if not present - {0}:  # one bit each, or nothing in any
        return half, ()
    scales = {facts.full_scale for facts in graded.values()}
    scale = scales.pop() if len(scales) == 1 else None
    lossy = any(facts.header and facts.header.lossy for facts in graded.values())
    if len(present) == 2 and 0 in present and all(tables[name].exact for name in graded):
        value = max(present, key=float)
        if scale is not None and float(value) > scale // 2:
            return half, ()
        if float(value) > 0 and not lossy:
            return MaskRule(sentence=half.sentence, channel=channel, lesion=(value,)), ()  # type: ignore[arg-type]
    return _noisy(graded, tables, half)


def _half(masks: Masks, channel: str, present: Iterable[Value]) -> MaskRule:
    scales = sorted({facts.full_scale or 0 for facts in masks.values()})
    cut = " and ".join(f"{scale // 2} of {scale}" for scale in scales) or "127 of 255"
    values = sorted(set(present), key=float)
    coloured = {c for f in masks.values() for c in values_of(f, "colour")} - {BLACK}
    if all(is_bilevel(facts) for facts in masks.values()) and masks:
        sentence = "lesion = white of black and white"
    elif channel == "brightest" and len(coloured) == 1:
        sentence = f"lesion = colour {coloured.pop()} on black"
    elif len(values) == 2 and values[0] == 0:
        sentence = f"lesion = value {shown(values[1])} of {{0, {shown(values[1])}}}"
    else:
        sentence = f"lesion = above {cut}"
    where = "" if channel == "brightest" else f" in the channel {channel}"
    return MaskRule(sentence=sentence + where, channel=channel)  # type: ignore[arg-type]


def is_bilevel(facts: MaskFacts) -> bool:
    """Returns whether a file has one bit per pixel: then it agrees with all other files."""
    return facts.header is not None and facts.header.mode == "1"


@dataclass(frozen=True)
class _Bands:
    """Pixels of one or more files near 0, between, and near full scale."""

    dark: int
    between: int
    bright: int


def _bands(table: ValueCounts, full: int) -> _Bands:
    dark = sum(count for value, count in table.counts if float(value) <= EDGE * full)
    bright = sum(count for value, count in table.counts if float(value) >= (1 - EDGE) * full)
    return _Bands(dark, sum(count for _, count in table.counts) - dark - bright, bright)


def _noisy(masks: Masks, tables: Mapping[str, ValueCounts], half: MaskRule) -> Outcome:
    """Returns the rule of masks that are dark and bright, apart from edges and compression."""
    details = {name: f"values {listed(tables[name].values)}" for name in masks}
    if any(facts.full_scale is None for facts in masks.values()):
        values = {value for table in tables.values() for value in table.values}
        whole = all(float(value).is_integer() for value in values)
        return None, finding(kinds.MASK_NUMBERS if whole else kinds.MASK_GREY, details)
    bands = {name: _bands(tables[name], masks[name].full_scale or 255) for name in masks}
    bright = sum(one.bright for one in bands.values())
    between = sum(one.between for one in bands.values())
    dark = sum(one.dark for one in bands.values())
    few = len({value for table in tables.values() for value in table.values}) <= MAX_PALETTE
    if not bright or (not dark and between):
        return None, finding(kinds.MASK_NUMBERS if few or not bright else kinds.MASK_GREY, details)
    reaching = {name: facts for name, facts in masks.items() if bands[name].bright}
    if classes := _classes(reaching, bright, few=few):
        named = {name: details[name] for name in masks if classes & set(tables[name].values)}
        return None, finding(kinds.MASK_NUMBERS, named)
    if between > max(MAX_BETWEEN * (bright + between + dark), bright / 2):
        return None, finding(kinds.MASK_GREY, details)
    return half, _doubtful(masks, tables, bands)


def _classes(masks: Masks, bright: int, *, few: bool) -> set[Value]:
    """Returns the values between that are classes, not edges: they cover areas or are alone."""
    flat: dict[tuple[Value, int], int] = {}
    between: dict[tuple[Value, int], int] = {}
    for facts in masks.values():
        full = facts.full_scale or 255
        if facts.header and not facts.header.lossy:
            _add(flat, facts.flat, full)
            _add(between, facts.tables["brightest"].counts, full)
    inner = {key for key in between if EDGE * key[1] < float(key[0]) < (1 - EDGE) * key[1]}
    alone = {key: between[key] for key in inner if len(inner) == 1}
    return {
        value
        for (value, full), count in (*flat.items(), *alone.items())
        if count > MIN_FLAT * bright
        and float(value) < (1 - EDGE) * full
        and (few or float(value) > EDGE * full)
    }


def _add(
    sums: dict[tuple[Value, int], int], counts: Iterable[tuple[Value, int]], full: int
) -> None:
    for value, count in counts:
        sums[value, full] = sums.get((value, full), 0) + count


def _doubtful(
    masks: Masks, tables: Mapping[str, ValueCounts], bands: Mapping[str, _Bands]
) -> tuple[Finding, ...]:
    """Returns single masks that are not dark and bright, and masks with values between."""
    faint: dict[str, str] = {}
    other: dict[str, str] = {}
    smooth: dict[str, str] = {}
    for name, facts in masks.items():
        values, full = tables[name].values, facts.full_scale or 255
        highest = float(max(values, key=float))
        if 0 < highest <= full // 2:
            is_noise = highest <= EDGE * full and _is_speckled(facts, tables[name])
            (faint if is_noise else other)[name] = f"values {listed(values)}"
        elif bands[name].between and not (facts.header and facts.header.lossy):
            smooth[name] = f"{bands[name].between} px"
    return (
        *finding(kinds.MASK_DISAGREES, other),
        *finding(kinds.MASK_FAINT, faint),
        *finding(kinds.MASK_BETWEEN, smooth),
    )


def _is_speckled(facts: MaskFacts, table: ValueCounts) -> bool:
    """Returns whether faint values are scattered, as after compression, and cover no areas."""
    if facts.header and facts.header.lossy:
        return True
    faint = sum(count for value, count in table.counts if value != 0)
    flat = sum(count for _, count in facts.flat)
    return flat < faint * (MAX_FLAT_PAIR if len(table.counts) == 2 else MAX_FLAT)


def _sums(tables: Iterable[ValueCounts]) -> dict[Value, int]:
    sums: dict[Value, int] = {}
    for table in tables:
        for value, count in table.counts:
            sums[value] = sums.get(value, 0) + count
    return sums


def shown(value: Value) -> str:
    """Returns a value as text."""
    return (
        value
        if isinstance(value, str)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def listed(values: Iterable[Value], num_shown: int = 6) -> str:
    """Returns values as text, the first few and how many there are."""
    items: Sequence[Value] = list(values)
    if all(not isinstance(value, str) for value in items):
        items = sorted(items, key=float)
    text = ", ".join(shown(value) for value in items[:num_shown])
    return text if len(items) <= num_shown else f"{text}, ... ({len(items)} values)"
