"""Which pixels of a dataset's masks are lesion: decided once, over all of its files.

`decide` is a pure function of the facts on the files (`workers.datasets.masks.facts`) and of the
dataset's option `mask`. If the masks do not show which pixels are lesion, they are refused with the
values found and the option that decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from workers.contract import JSONValue
from workers.datasets import kinds
from workers.datasets.files.rasters import RasterSize
from workers.datasets.findings import Finding, finding
from workers.datasets.masks.advice import advised, exchanged
from workers.datasets.masks.evidence import (
    Masks,
    Outcome,
    found_out,
    is_bilevel,
    listed,
    values_of,
)
from workers.datasets.masks.facts import MaskFacts, Value, ValueCounts
from workers.datasets.masks.option import option_misfits
from workers.datasets.masks.rule import MaskRule

MAX_SMALL = 64
"""A lesion with the area of this number of pixels at the network's size does not vanish there."""

MIN_ENCLOSED = 0.9
"""In a single mask with lesion along this fraction of its border, lesion and background can be
exchanged."""

MIN_PROPER = 0.1
"""With a smaller fraction of masks that are neither empty nor full, the dataset is refused."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How a dataset's masks are read.

    Attributes:
        rule: The rule; None if a finding is refused.
        findings: Findings, refusals first.
        sizes: Size of each readable image as stored, by file.
        turns: EXIF orientation that is applied, by file.
        bits: Number of bits that the 16-bit images use.
        marks: Further parts of the fingerprint, for files that are read otherwise than before there
            was a rule for the whole dataset; empty if nothing changed.
    """

    rule: MaskRule | None
    findings: tuple[Finding, ...] = ()
    sizes: Mapping[str, RasterSize] = field(default_factory=dict)
    turns: Mapping[str, int] = field(default_factory=dict)
    bits: int = 16
    marks: tuple[JSONValue, ...] = ()

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that keep all trials of the dataset from being trained."""
        return refusals_in(self.findings)


def refusals_in(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Returns the findings that refuse a dataset."""
    return tuple(one for one in findings if one.kind.severity == "refused")


def decide(
    facts_by_name: Masks,
    option: Mapping[str, JSONValue] | None = None,
    image_size: int | None = None,
) -> Decision:
    """Returns the rule that says which pixels are lesion, and findings on the masks.

    Args:
        facts_by_name: Facts on each mask file, in the order in which findings name them.
        option: The dataset's option `mask`, complete; None if it is not set.
        image_size: The network's size, if small masks were inspected at it.
    """
    broken = {name: facts.reason for name, facts in facts_by_name.items() if facts.reason}
    masks = {name: facts for name, facts in facts_by_name.items() if not facts.reason}
    found = list(finding(kinds.UNREADABLE, broken))
    rule, refusals = _stated(masks, option) if option else found_out(masks)
    found += refusals
    if rule is not None and not refusals_in(refusals):
        found += _counted(masks, rule, image_size, stated=bool(option))
    several = {
        name: f"{facts.header.num_pages} pages"
        for name, facts in masks.items()
        if facts.header and facts.header.num_pages > 1
    }
    found += finding(kinds.MASK_PAGES, several)
    found = [advised(one, masks, partial(_fits, masks)) for one in found]
    found.sort(key=lambda one: one.kind.severity != "refused")
    return Decision(rule=None if refusals_in(found) else rule, findings=tuple(found))


def _fits(masks: Masks, option: Mapping[str, JSONValue], names: tuple[str, ...]) -> bool:
    """Returns whether an option reads all masks, with lesion and background in the named masks."""
    rule, refusals = _stated(masks, option)
    if rule is None or refusals or refusals_in(_counted(masks, rule, None, stated=True)):
        return False
    sums = [num_lesion(masks[name], rule) for name in names]
    return all(one is None or 0 < one[0] < one[1] for one in sums)


def _stated(masks: Masks, option: Mapping[str, JSONValue]) -> Outcome:
    """Returns the rule of the option `mask`, checked against the files."""
    rule = stated_rule(option)
    refused = option_misfits(
        masks, rule, {name: table_of(facts, rule) for name, facts in masks.items()}
    )
    return (None if refused else rule), refused


_PLAIN = ("brightest", "numbers")


def stated_rule(option: Mapping[str, JSONValue]) -> MaskRule:
    """Returns the rule of a complete option `mask`."""
    lesion = option.get("lesion")
    channel = str(option.get("channel") or ("numbers" if lesion else "brightest"))
    threshold = option.get("threshold")
    inverted = bool(option.get("inverted"))
    values = above = None
    if isinstance(lesion, list):
        values = tuple(value for value in lesion if isinstance(value, int | float | str))
        what = listed(values)
    elif isinstance(threshold, int | float):
        above = threshold
        what = f"above {threshold:g}"
    else:
        what = "above half of full scale"
    where = "" if channel in _PLAIN else f" in the channel {channel}"
    rest = ", everything else is background" if values and not inverted else ""
    return MaskRule(
        sentence=f"lesion = {'everything except ' * inverted}{what}{where}{rest}",
        channel=channel,  # type: ignore[arg-type]
        lesion=values,
        above=above,
        inverted=inverted,
    )


def table_of(facts: MaskFacts, rule: MaskRule) -> ValueCounts | None:
    """Returns the table of a file that decides which of its pixels are lesion."""
    if rule.by_colour:
        return facts.tables.get("colour") or _as_colours(facts)
    if rule.channel in ("red", "green", "blue"):
        return facts.tables.get(rule.channel) or facts.tables.get("brightest")
    if rule.channel == "numbers":
        return facts.tables.get("index" if "colour" in facts.tables else "brightest")
    return facts.tables.get(rule.channel)


def _as_colours(facts: MaskFacts) -> ValueCounts | None:
    """Returns the grey levels of a file as colours."""
    table = facts.tables.get("brightest")
    if table is None or facts.full_scale != 255:
        return None

    def colour(value: Value) -> str:
        return f"#{int(value):02x}{int(value):02x}{int(value):02x}"

    return ValueCounts(
        counts=tuple((colour(value), count) for value, count in table.counts),
        border=tuple((colour(value), count) for value, count in table.border),
        grid=None if table.grid is None else tuple(map(colour, table.grid)),
        exact=table.exact,
    )


def num_lesion(facts: MaskFacts, rule: MaskRule) -> tuple[int, int] | None:
    """Returns the lesion's pixels and all pixels of a file; None if its table is not exact."""
    table = table_of(facts, rule)
    if table is None or not (table.exact or (rule.lesion is None and rule.above is None)):
        return None
    full = facts.full_scale
    return (
        sum(count for value, count in table.counts if _is_lesion(facts, rule, value, full)),
        sum(count for _, count in table.counts),
    )


def is_small(facts: MaskFacts, rule: MaskRule, side: int) -> bool:
    """Returns whether a lesion can vanish at the network's size and must be inspected at it."""
    sums = num_lesion(facts, rule)
    return sums is not None and 0 < sums[0] * side**2 < MAX_SMALL * sums[1]


def _is_lesion(facts: MaskFacts, rule: MaskRule, value: Value, full: int | None) -> bool:
    return rule.is_lesion(value, full, is_bit=is_bilevel(facts))


def reads_as_before(facts: MaskFacts, rule: MaskRule, *, index_mask: bool) -> bool:
    """Returns whether the rule gives the pixels that earlier versions read from a file.

    Args:
        facts: Facts on the file.
        rule: The decided rule.
        index_mask: Whether earlier versions read only 0 and 1 as class indices in this file.
    """
    header, table, full = facts.header, table_of(facts, rule), facts.full_scale
    if header is None or table is None or full is None:
        return header is None
    if header.num_pages > 1 or header.mode == "SEPARATED":
        return False
    if not rule.by_colour and table is not facts.tables.get("brightest"):
        return False
    if not table.exact:
        return rule.lesion is None and rule.above is None and not rule.inverted
    index_mask = index_mask and max(values_of(facts, "brightest"), key=float) in (0, 1)

    def before(value: Value) -> bool:
        if isinstance(value, str):
            return max(bytes.fromhex(value[1:])) > 127
        return value == 1 if index_mask else value > full // 2

    return all(before(v) == _is_lesion(facts, rule, v, full) for v in table.values)


def _counted(
    masks: Masks, rule: MaskRule, image_size: int | None, *, stated: bool
) -> tuple[Finding, ...]:
    """Returns findings that follow from the rule: empty, full, inverted and vanishing masks."""
    empty: dict[str, str] = {}
    full: dict[str, str] = {}
    along: dict[str, float] = {}
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
        along[name] = border / sum(n for _, n in table.border)
        if table.grid is not None and not any(
            _is_lesion(facts, rule, value, facts.full_scale) for value in table.grid
        ):
            vanishing[name] = f"{lesion} px"
    text = kinds.MASK_VANISHES.text
    vanishes = replace(kinds.MASK_VANISHES, text=f"{text}, {image_size} px")
    num_proper = len(masks) - len(empty) - len(full)
    notes = (
        *finding(vanishes, vanishing),
        *_exchanged(along, rule),
    )
    is_doubtful = num_proper < MIN_PROPER * len(masks) or 2 * len(full) > len(masks)
    if masks and (num_proper == 0 or (is_doubtful and not stated)):
        return (*finding(kinds.MASK_TRIVIAL, empty | full), *notes)
    return (
        *finding(kinds.MASK_EMPTY, list(empty)),
        *finding(kinds.MASK_FULL, list(full)),
        *notes,
    )


def _exchanged(along: Mapping[str, float], rule: MaskRule) -> tuple[Finding, ...]:
    """Returns the masks that possibly mark the background: most masks, or some unlike the others.

    Args:
        along: Fraction of the border that is lesion, by mask.
        rule: How the masks are read.
    """
    inverted = [name for name, fraction in along.items() if fraction > 0.5]
    if 2 * len(inverted) > len(along):
        return finding(exchanged(rule), inverted)
    some = {n: f"{f:.0%} of it" for n, f in along.items() if f >= MIN_ENCLOSED}
    return finding(kinds.MASK_UNLIKE, some)


def _table(facts: MaskFacts, rule: MaskRule) -> ValueCounts:
    return table_of(facts, rule) or ValueCounts(counts=())
