"""Which pixels of a dataset's masks are lesion: decided once, over all of its files.

`decide` is a pure function of what the files hold (`workers.datasets.masks`) and of the dataset's
option `mask`. What cannot be known is refused with the values found and the key that decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workers.contract import JSONValue
from workers.datasets import kinds
from workers.datasets.findings import Finding, finding
from workers.datasets.masks import MAX_PALETTE, MaskFacts, MaskRule, Table, Value

BLACK, WHITE = "#000000", "#ffffff"

EDGE = 0.1
"""Values within this fraction of 0 or of full scale are background or lesion with noise."""

MIN_FLAT = 0.01
"""A value between that covers areas of this fraction of the lesion's pixels is a class."""

MAX_FLAT, MAX_FLAT_PAIR = 0.5, 0.05
"""Faint values are noise if a smaller fraction of them covers areas; the second for one value."""

MAX_BETWEEN = 0.02
"""Smooth edges are at most this fraction of all pixels, or half of the lesion's."""

MIN_PROPER = 0.1
"""A smaller fraction of masks that are neither empty nor full is refused."""

MIN_COLOUR = 0.01
"""A colour of a smaller fraction of the coloured pixels comes from smooth edges or compression."""

Masks = Mapping[str, MaskFacts]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How a dataset's masks are read.

    Attributes:
        rule: None where a finding is refused.
        findings: What is odd, refusals first.
        turns: EXIF orientation that is applied, by file.
        bits: How many bits the 16-bit images use.
        marks: What the fingerprint holds beside the files, because they are read otherwise than
            before there was a rule for the whole dataset; empty where nothing changed.
    """

    rule: MaskRule | None
    findings: tuple[Finding, ...] = ()
    turns: Mapping[str, int] = field(default_factory=dict)
    bits: int = 16
    marks: tuple[JSONValue, ...] = ()

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings for which no trial of the dataset can be trained."""
        return tuple(one for one in self.findings if one.kind.severity == "refused")


def decide(facts_by_name: Masks, option: Mapping[str, JSONValue] | None = None) -> Decision:
    """Returns the rule by which pixels are lesion, and what is odd in the masks.

    Args:
        facts_by_name: What each mask file holds, in the order in which findings name them.
        option: The dataset's option `mask`, complete; None where the user says nothing.
    """
    broken = {name: facts.reason for name, facts in facts_by_name.items() if facts.reason}
    masks = {name: facts for name, facts in facts_by_name.items() if not facts.reason}
    found = list(finding(kinds.UNREADABLE, broken))
    rule, refusals = _stated(masks, option) if option else _found_out(masks)
    found += refusals
    if rule is not None:
        found += _counted(masks, rule, stated=bool(option))
    several = {
        name: f"{facts.header.num_pages} pages"
        for name, facts in masks.items()
        if facts.header and facts.header.num_pages > 1
    }
    found += finding(kinds.MASK_PAGES, several)
    found.sort(key=lambda one: one.kind.severity != "refused")
    refused = any(one.kind.severity == "refused" for one in found)
    return Decision(rule=None if refused else rule, findings=tuple(found))


_Outcome = tuple[MaskRule | None, tuple[Finding, ...]]


def _stated(masks: Masks, option: Mapping[str, JSONValue]) -> _Outcome:
    """Returns the rule that the user states, held against what the files hold."""
    rule = stated_rule(option)
    tables = [table for facts in masks.values() if (table := table_of(facts, rule)) is not None]
    if rule.channel in ("alpha", "index", "numbers"):
        lacking = {name: _LACKS[rule.channel] for name, f in masks.items() if not _has(f, rule)}
        if lacking:
            return None, finding(kinds.MASK_OPTION, lacking)
    present = {value for table in tables for value in table.values}
    if rule.lesion is not None and all(table.exact for table in tables):
        absent = [value for value in rule.lesion if value not in present]
        if absent:
            detail = f"found: {listed(present)}"
            return None, finding(kinds.MASK_OPTION, {_shown(value): detail for value in absent})
    return rule, ()


_LACKS = {
    "alpha": "has no alpha",
    "index": "has no palette",
    "numbers": 'is coloured; name colours: {lesion: ["#ff0000"]}',
}
_PLAIN = ("brightest", "numbers")


def _has(facts: MaskFacts, rule: MaskRule) -> bool:
    return table_of(facts, rule) is not None


def stated_rule(option: Mapping[str, JSONValue]) -> MaskRule:
    """Returns the rule of a complete option `mask`."""
    lesion = option.get("lesion")
    channel = str(option.get("channel") or ("numbers" if lesion else "brightest"))
    threshold = option.get("threshold")
    where = "" if channel in _PLAIN else f" in the channel {channel}"
    if isinstance(lesion, list):
        values = tuple(value for value in lesion if isinstance(value, int | float | str))
        sentence = f"lesion = {listed(values)}{where}, everything else is background"
        return MaskRule(sentence=sentence, channel=channel, lesion=values)  # type: ignore[arg-type]
    if isinstance(threshold, int | float):
        sentence = f"lesion = above {threshold:g}{where}"
        return MaskRule(sentence=sentence, channel=channel, above=threshold)  # type: ignore[arg-type]
    sentence = f"lesion = above half of full scale{where}"
    return MaskRule(sentence=sentence, channel=channel)  # type: ignore[arg-type]


def table_of(facts: MaskFacts, rule: MaskRule) -> Table | None:
    """Returns the table of a file that decides which of its pixels are lesion."""
    if rule.by_colour:
        return facts.tables.get("colour") or _as_colours(facts)
    if rule.channel in ("red", "green", "blue"):
        return None if "colour" in facts.tables else facts.tables.get("brightest")
    if rule.channel == "numbers":
        return facts.tables.get("index" if "colour" in facts.tables else "brightest")
    return facts.tables.get(rule.channel)


def _as_colours(facts: MaskFacts) -> Table | None:
    """Returns the grey levels of a file as colours."""
    table = facts.tables.get("brightest")
    if table is None or facts.full_scale != 255:
        return None

    def colour(value: Value) -> str:
        return f"#{int(value):02x}{int(value):02x}{int(value):02x}"

    return Table(
        counts=tuple((colour(value), count) for value, count in table.counts),
        border=tuple((colour(value), count) for value, count in table.border),
        grid=None if table.grid is None else tuple(map(colour, table.grid)),
        exact=table.exact,
    )


def _found_out(masks: Masks) -> _Outcome:
    """Returns the rule that the files themselves show, or what keeps it from being known."""
    channel, refused = _channel(masks)
    if refused:
        return None, refused
    if channel == "brightest" and (refused := _colours(masks)):
        return None, refused
    return _levels(masks, channel)


def _channel(masks: Masks) -> tuple[str, tuple[Finding, ...]]:
    """Returns where the lesion is: in alpha if nothing else varies."""
    alpha = {name: f for name, f in masks.items() if len(_values(f, "alpha")) > 1}
    if not alpha:
        return "brightest", ()
    varied = [name for name, f in masks.items() if len(_values(f, "brightest")) > 1]
    if not varied and all("alpha" in facts.tables for facts in masks.values()):
        return "alpha", ()
    if all(f.alpha_agrees and len(_values(f, "brightest")) > 1 for f in alpha.values()):
        return "brightest", ()
    doubtful = {
        name: f"colour {listed(_values(f, 'brightest'))}, alpha {listed(_values(f, 'alpha'))}"
        for name, f in alpha.items()
    }
    return "", finding(kinds.MASK_ALPHA, doubtful)


def _values(facts: MaskFacts, key: str) -> tuple[Value, ...]:
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
        for value in _values(f, "brightest")
    }
    if len(present) == 2 and BLACK in present and not grey - {0}:
        return ()
    details = {name: listed(_frequent(f.tables["colour"])) for name, f in coloured.items()}
    return finding(kinds.MASK_COLOURS, details)


def _frequent(table: Table) -> list[Value]:
    most = sorted(table.counts, key=lambda item: -item[1])
    return [value for value, _ in most]


def _levels(masks: Masks, channel: str) -> _Outcome:
    """Returns the rule of one channel: two values, or dark and bright with noise."""
    tables = {name: facts.tables[channel] for name, facts in masks.items()}
    graded = {name: f for name, f in masks.items() if not _is_bilevel(f)}
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
            sentence = f"lesion = value {_shown(value)} of {{0, {_shown(value)}}}"
            return MaskRule(sentence=sentence, channel=channel, lesion=(value,)), ()  # type: ignore[arg-type]
    return _noisy(graded, tables, half)


def _half(masks: Masks, channel: str, present: Iterable[Value]) -> MaskRule:
    scales = sorted({facts.full_scale or 0 for facts in masks.values()})
    cut = " and ".join(f"{scale // 2} of {scale}" for scale in scales) or "127 of 255"
    values = sorted(set(present), key=float)
    if all(_is_bilevel(facts) for facts in masks.values()) and masks:
        sentence = "lesion = white of black and white"
    elif len(values) == 2 and values[0] == 0:
        sentence = f"lesion = value {values[1]} of {{0, {values[1]}}}"
    else:
        sentence = f"lesion = above {cut}"
    where = "" if channel == "brightest" else f" in the channel {channel}"
    return MaskRule(sentence=sentence + where, channel=channel)  # type: ignore[arg-type]


def _is_bilevel(facts: MaskFacts) -> bool:
    return facts.header is not None and facts.header.mode == "1"


@dataclass(frozen=True)
class _Bands:
    """Pixels of one or more files near 0, between, and near full scale."""

    dark: int
    between: int
    bright: int


def _bands(table: Table, full: int) -> _Bands:
    dark = sum(count for value, count in table.counts if float(value) <= EDGE * full)
    bright = sum(count for value, count in table.counts if float(value) >= (1 - EDGE) * full)
    return _Bands(dark, sum(count for _, count in table.counts) - dark - bright, bright)


def _noisy(masks: Masks, tables: Mapping[str, Table], half: MaskRule) -> _Outcome:
    """Returns the rule of masks that are dark and bright but for smooth edges and compression."""
    details = {name: f"values {listed(tables[name].values)}" for name in masks}
    if any(facts.full_scale is None for facts in masks.values()):
        return None, finding(kinds.MASK_NUMBERS, details)
    bands = {name: _bands(tables[name], masks[name].full_scale or 255) for name in masks}
    bright = sum(one.bright for one in bands.values())
    between = sum(one.between for one in bands.values())
    dark = sum(one.dark for one in bands.values())
    few = len({value for table in tables.values() for value in table.values}) <= MAX_PALETTE
    if not bright or (not dark and between):
        return None, finding(kinds.MASK_NUMBERS if few or not bright else kinds.MASK_GREY, details)
    classes = _classes(masks, bright, few=few)
    if classes:
        named = {
            name: details[name] for name, f in masks.items() if {v for v, _ in f.flat} & classes
        }
        return None, finding(kinds.MASK_NUMBERS, named)
    if between > max(MAX_BETWEEN * (bright + between + dark), 0) and between > bright / 2:
        return None, finding(kinds.MASK_GREY, details)
    return half, _doubtful(masks, tables, bands)


def _classes(masks: Masks, bright: int, *, few: bool) -> set[Value]:
    """Returns the values between that cover areas: classes, not edges."""
    sums: dict[tuple[Value, int], int] = {}
    for facts in masks.values():
        if facts.header and not facts.header.lossy:
            for value, count in facts.flat:
                key = (value, facts.full_scale or 255)
                sums[key] = sums.get(key, 0) + count
    return {
        value
        for (value, full), count in sums.items()
        if count > MIN_FLAT * bright
        and float(value) < (1 - EDGE) * full
        and (few or float(value) > EDGE * full)
    }


def _doubtful(
    masks: Masks, tables: Mapping[str, Table], bands: Mapping[str, _Bands]
) -> tuple[Finding, ...]:
    """Returns single masks that disagree with dark and bright, and those with values between."""
    faint: dict[str, str] = {}
    other: dict[str, str] = {}
    smooth: dict[str, str] = {}
    for name, facts in masks.items():
        values, full = tables[name].values, facts.full_scale or 255
        highest = float(max(values, key=float))
        if 0 < highest <= full // 2:
            is_noise = highest <= EDGE * full and _is_speckled(facts, tables[name])
            (faint if is_noise else other)[name] = f"values {listed(values)}"
        elif bands[name].between:
            smooth[name] = f"{bands[name].between} px"
    return (
        *finding(kinds.MASK_DISAGREES, other),
        *finding(kinds.MASK_FAINT, faint),
        *finding(kinds.MASK_BETWEEN, smooth),
    )


def _is_speckled(facts: MaskFacts, table: Table) -> bool:
    """Tells whether faint values are scattered, as compression leaves them, and cover no areas."""
    if facts.header and facts.header.lossy:
        return True
    faint = sum(count for value, count in table.counts if value != 0)
    flat = sum(count for _, count in facts.flat)
    return flat < faint * (MAX_FLAT_PAIR if len(table.counts) == 2 else MAX_FLAT)


def num_lesion(facts: MaskFacts, rule: MaskRule) -> tuple[int, int] | None:
    """Returns the lesion's pixels and all pixels of a file; None where its table is not exact."""
    table = table_of(facts, rule)
    if table is None or not (table.exact or (rule.lesion is None and rule.above is None)):
        return None
    full = facts.full_scale
    return (
        sum(count for value, count in table.counts if _is_lesion(facts, rule, value, full)),
        sum(count for _, count in table.counts),
    )


def _is_lesion(facts: MaskFacts, rule: MaskRule, value: Value, full: int | None) -> bool:
    if _is_bilevel(facts) and not rule.by_colour:
        return value != 0
    return rule.is_lesion(value, full)


def reads_as_before(facts: MaskFacts, rule: MaskRule, *, index_mask: bool) -> bool:
    """Tells whether the rule gives the pixels that a file gave before the rule was decided.

    Args:
        facts: What the file holds.
        rule: The decided rule.
        index_mask: Whether 0 and 1 alone were taken for class indices in this file.
    """
    header, table, full = facts.header, table_of(facts, rule), facts.full_scale
    if header is None or table is None or full is None:
        return header is None
    if header.num_pages > 1 or header.mode == "SEPARATED" or rule.channel in ("alpha", "index"):
        return False
    if not table.exact:
        return rule.lesion is None and rule.above is None
    index_mask = index_mask and max(_values(facts, "brightest"), key=float) in (0, 1)

    def before(value: Value) -> bool:
        if isinstance(value, str):
            return max(bytes.fromhex(value[1:])) > 127
        return value == 1 if index_mask else value > full // 2

    return all(before(v) == _is_lesion(facts, rule, v, full) for v in table.values)


def _counted(masks: Masks, rule: MaskRule, *, stated: bool) -> tuple[Finding, ...]:
    """Returns what follows from the rule: empty, full, inverted and vanishing masks."""
    empty: dict[str, str] = {}
    full: dict[str, str] = {}
    inverted: list[str] = []
    vanishing: dict[str, str] = {}
    for name, facts in masks.items():
        if (sums := num_lesion(facts, rule)) is None:
            continue
        lesion, pixels = sums
        if lesion in (0, pixels):
            (empty if lesion == 0 else full)[name] = f"values {listed(_table(facts, rule).values)}"
            continue
        table = _table(facts, rule)
        border = sum(n for v, n in table.border if _is_lesion(facts, rule, v, facts.full_scale))
        if border > sum(n for _, n in table.border) / 2:
            inverted.append(name)
        if table.grid is not None and not any(
            _is_lesion(facts, rule, value, facts.full_scale) for value in table.grid
        ):
            vanishing[name] = f"{lesion} px"
    num_proper = len(masks) - len(empty) - len(full)
    notes = (
        *finding(kinds.MASK_VANISHES, vanishing),
        *(finding(kinds.MASK_INVERTED, inverted) if 2 * len(inverted) > num_proper else ()),
    )
    if masks and (num_proper == 0 or (not stated and num_proper < MIN_PROPER * len(masks))):
        return (*finding(kinds.MASK_TRIVIAL, empty | full), *notes)
    return (
        *finding(kinds.MASK_EMPTY, list(empty)),
        *finding(kinds.MASK_FULL, list(full)),
        *notes,
    )


def _table(facts: MaskFacts, rule: MaskRule) -> Table:
    return table_of(facts, rule) or Table(counts=())


def _sums(tables: Iterable[Table]) -> dict[Value, int]:
    sums: dict[Value, int] = {}
    for table in tables:
        for value, count in table.counts:
            sums[value] = sums.get(value, 0) + count
    return sums


def _shown(value: Value) -> str:
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
    shown = ", ".join(_shown(value) for value in items[:num_shown])
    return shown if len(items) <= num_shown else f"{shown}, ... ({len(items)} values)"
