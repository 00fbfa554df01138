"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

MISSING = "–"  # noqa: RUF001 - an en dash is what a table shows for "no value"

_METRIC_TITLES = {
    "dice": "Dice", "iou": "IoU", "recall": "Recall", "precision": "Precision",
    "best_val_dice": "Best validation Dice",
}  # fmt: skip


def metric_title(metric: str) -> str:
    """Returns `dice` as `Dice`, `iou_pooled` as `IoU, pooled`; a column of one's own as it is."""
    name = metric.removesuffix("_pooled")
    if name not in _METRIC_TITLES:
        return metric
    return f"{_METRIC_TITLES[name]}{', pooled' if name != metric else ''}"


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


def percent_text(share: float) -> str:
    """Returns 0.414 as `41 %`; what no sample contradicts is `over 99 %`, not certain."""
    if share >= 0.995:
        return "over 99 %"
    return "under 1 %" if share <= 0.005 else f"{share * 100:.0f} %"


def short_percent_text(share: float) -> str:
    """Returns 0.414 as `41 %`, and what no sample contradicts as `>99 %`."""
    return percent_text(share).replace("over ", ">").replace("under ", "<")


def signed_text(value: float, digits: int = 4) -> str:
    """Returns a difference with its sign; what rounds to nothing has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if not float(text) else text


def signs_text(text: str) -> str:
    """Returns a sentence of the ranking with the signs that people read, as JSON has it without."""
    return text.replace("dataset x model", "dataset × model").replace("model x ", "model × ")


def minus_text(text: str) -> str:
    """Returns numbers as text with the sign that is as wide as a plus."""
    return text.replace("-", "−")


def sentence_text(text: str) -> str:
    """Returns a message of a command as a sentence of a page."""
    return f"{text[:1].upper()}{text[1:]}."


def count_text(number: int, noun: str) -> str:
    """Returns `1 trial`, `1,200 trials`, `2 losses`, `3 repeats`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {plural}"


def mean_count_text(mean: float) -> str:
    """Returns a mean of counts: `122`, `121.8`."""
    return f"{mean:,.1f}".removesuffix(".0")


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
    return f"{seconds / 3600:,.0f} h"


def hours_text(hours: float) -> str:
    """Returns hours with as many digits as they deserve: `0.042`, `3.7`, `1,204`."""
    if hours >= 100:
        return f"{hours:,.0f}"
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def plain_text(value: float | None) -> str:
    """Returns a number without needless digits, or the mark for a missing value."""
    return MISSING if value is None else f"{value:g}"


def number_text(value: float | None) -> str:
    """Returns a number for a program, to the last digit; nothing where it is missing."""
    return "" if value is None else repr(float(value))


def p_value_text(p: float) -> str:
    """Returns `= 0.012`, or `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


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
