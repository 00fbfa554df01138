"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

MISSING = "–"  # noqa: RUF001 - an en dash is what a table shows for "no value"


def points_text(points: float) -> str:
    """Returns 8 as `8`, 7.5 as `7.5` and 1/3 as `0.33`."""
    fraction = Fraction(points).limit_denominator(1000)
    whole, rest = divmod(fraction.numerator, fraction.denominator)
    if not rest:
        return str(whole)
    if 10 % fraction.denominator == 0:
        return f"{points:.1f}"
    return f"{points:.2f}"


def metric_text(value: float | None, digits: int = 4) -> str:
    """Returns a metric with fixed digits, or the mark for a missing value."""
    return MISSING if value is None else f"{value:.{digits}f}"


def count_text(number: int, noun: str) -> str:
    """Returns `1 trial`, `1,200 trials`, `2 losses`, `3 repeats`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {plural}"


def duration_text(seconds: float) -> str:
    """Returns a duration in the two largest units that matter."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 100:
        return f"{hours} h {minutes} min"
    return f"{hours:,} h"


def bytes_text(num_bytes: float) -> str:
    """Returns a size in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"


def list_text(items: Sequence[str], limit: int = 4) -> str:
    """Returns `a`, `a and b`, `a, b and c`, or `a, b, c and 7 more`."""
    shown = list(items)
    if len(shown) > limit:
        shown = [*shown[: limit - 1], f"{len(shown) - limit + 1} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
