"""How numbers and lists are written for people: in the terminal, on pages, in figures and in LaTeX.

Each kind of number has one function. JSON and CSV keep the numbers themselves. LaTeX escapes the
texts (`escape_latex`); scripts of pages get texts, or the digits in `FOR_SCRIPTS`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from workers.contract import JSONValue

MISSING = "–"  # noqa: RUF001 - an en dash is what a table shows for "no value"

METRIC_DIGITS = 4
"""Decimals of a metric: differences between losses are often in the third."""

FOR_SCRIPTS: dict[str, JSONValue] = {
    "missing": MISSING,
    "metric_digits": METRIC_DIGITS,
    "tooltip_digits": 6,
    "curve_digits": 3,
}
"""What the page's scripts need to write numbers that they compute, as `data.wording`."""

_METRIC_TITLES = {
    "dice": "Dice", "iou": "IoU", "recall": "Recall", "precision": "Precision",
    "best_val_dice": "Best validation Dice",
}  # fmt: skip


def metric_title(metric: str) -> str:
    """Returns `dice` as `Dice`, `iou_pooled` as `IoU, pooled`, and a user's column unchanged."""
    name = metric.removesuffix("_pooled")
    if name not in _METRIC_TITLES:
        return metric
    return f"{_METRIC_TITLES[name]}{', pooled' if name != metric else ''}"


def probability_text(probability: float, decimals: int = 0) -> str:
    """Returns 0.414 as `41 %`, 0.996 and 1 as `>99 %`, 0.004 and 0 as `<1 %`.

    Probabilities here are fractions of random draws: even all draws are no certainty.

    Args:
        probability: From 0 to 1.
        decimals: With 1, the ends are `>99.9 %` and `<0.1 %`.
    """
    percent = f"{100 * probability:.{decimals}f}"
    step = 10.0**-decimals
    if float(percent) >= 100:
        return f">{100 - step:.{decimals}f} %"
    return f"{percent} %" if float(percent) > 0 else f"<{step:.{decimals}f} %"


def percent_text(fraction: float, decimals: int | None = None) -> str:
    """Returns a fraction that is known exactly, such as a confidence level: 0.95 as `95 %`.

    Args:
        fraction: 1 is `100 %`.
        decimals: None for as many as the fraction has.
    """
    percent = 100 * fraction
    return f"{percent:g} %" if decimals is None else f"{percent:.{decimals}f} %"


def points_text(points: float) -> str:
    """Returns 8 as `8`, 7.5 as `7.5` and 1/3 as `0.33`."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def decimal_text(value: float | None, digits: int = METRIC_DIGITS) -> str:
    """Returns a metric or a statistic with fixed decimals, or the mark for a missing value."""
    return MISSING if value is None else f"{value:.{digits}f}"


def signed_text(value: float, digits: int = METRIC_DIGITS) -> str:
    """Returns a difference with `+` or `−`; one that rounds to 0 has no sign."""
    text = f"{abs(value):.{digits}f}"
    return text if not float(text) else f"{'+' if value > 0 else '−'}{text}"


def interval_text(low: float, high: float) -> str:
    """Returns an interval of a difference: `−0.0312 to +0.0622`."""
    return f"{signed_text(low)} to {signed_text(high)}"


def p_value_text(p: float) -> str:
    """Returns a p-value for a table: `0.012`, or `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_equation_text(p: float) -> str:
    """Returns a p-value for a sentence: `p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def count_text(number: int, noun: str) -> str:
    """Returns `1 trial`, `1,200 trials`, `2 losses`, `3 repeats`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {plural}"


def count_of_text(number: int, total: int, noun: str) -> str:
    """Returns `1,200 of 3,600 trials`."""
    return f"{number:,} of {count_text(total, noun)}"


def mean_count_text(mean: float) -> str:
    """Returns a mean of counts: `122`, `121.8`."""
    return f"{mean:,.1f}".removesuffix(".0")


def duration_text(seconds: float | None) -> str:
    """Returns `0.25 s`, `3.4 s`, `42 s`, `3 min 5 s` or `2 d 4 h`: at most two units."""
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{round(max(seconds, 0.0), 2):.2g} s"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size:,} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def hours_text(hours: float) -> str:
    """Returns hours of devices: `0.042`, `3.7`, `1,204`."""
    if hours >= 100:
        return f"{hours:,.0f}"
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def bytes_text(num_bytes: float | None) -> str:
    """Returns a size in binary units, or the mark for a missing value."""
    if num_bytes is None:
        return MISSING
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"


def plain_text(value: float | None) -> str:
    """Returns a number without needless digits, or the mark for a missing value."""
    return MISSING if value is None else f"{value:g}"


def parameter_text(value: JSONValue) -> str:
    """Returns the value of a parameter: a number with three digits, text as it is."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)


def number_text(value: float | None) -> str:
    """Returns a number for a program, with every digit; empty for a missing value."""
    return "" if value is None else repr(float(value))


def list_text(items: Sequence[str], limit: int = 4) -> str:
    """Returns `a`, `a and b`, `a, b and c`, or `a, b, c and 7 more`."""
    shown = list(items)
    if len(shown) > limit:
        shown = [*shown[: limit - 1], f"{len(shown) - limit + 1} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def signs_text(text: str) -> str:
    """Returns a sentence of the ranking with `×`, for which JSON and the terminal have `x`."""
    return text.replace("dataset x model", "dataset × model").replace("model x ", "model × ")


def sentence_text(text: str) -> str:
    """Returns a message of a command as a sentence of a page."""
    return f"{text[:1].upper()}{text[1:]}."
