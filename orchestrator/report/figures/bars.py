"""Figure 2A: the losses by each metric as bars, compound dark, single light and hatched."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text, table_texts
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    NORMAL,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    axes_at,
    inch_axes,
    provisional_text,
    rows_of,
    text_width,
    wrap,
)
from orchestrator.report.palette import COMPOUND_COLOUR, INK, OTHER_COLOUR, SINGLE_COLOUR
from orchestrator.report.standings import LossKind, LossMean, bar_metrics, loss_means
from orchestrator.wording import MISSING, decimal_text, metric_title

_LOOKS: dict[LossKind, tuple[str, str, str]] = {
    "compound": (COMPOUND_COLOUR, "", "compound loss"),
    "single": (SINGLE_COLOUR, "//////", "single loss"),
    "unknown": (OTHER_COLOUR, "", "loss of another kind"),
}
_MAX_NAME, _VALUE, _HEAD, _FOOT, _GAP = 1.4, 0.46, 0.26, 0.4, 0.14
_ROW, _THICKNESS, _LEGEND = 0.165, 0.12, 0.22


def bars_figure(sweep: RankedSweep) -> Drawn:
    """Draws one panel per metric, each sorted by its values."""
    bars = {metric: loss_means(sweep, metric) for metric in bar_metrics(sweep)}
    return Drawn(
        name="figure2a",
        figure=_draw(sweep, bars),
        caption=_caption(sweep, bars),
        texts=_texts(sweep, bars),
    )


def axis_start(values: Sequence[float]) -> float:
    """Returns where the axis of the bars begins: at 0, unless differences would be invisible.

    Args:
        values: Means and ends of whiskers.
    """
    low, high = min(values), max(values)
    if low == high:
        return min(0.0, low)
    spread = max(high - low, 1e-3)
    if low <= 0 or spread > 0.2 * high:
        return min(0.0, low)
    step = 10.0 ** math.floor(math.log10(spread))
    return max(0.0, round(math.floor((low - 0.25 * spread) / step) * step, 9))


def _draw(sweep: RankedSweep, bars: dict[str, list[LossMean]]) -> Figure:
    columns = min(len(bars), 2)
    width = SINGLE_COLUMN if columns == 1 else DOUBLE_COLUMN
    names = {
        bar.loss: wrap(sweep.title("loss", bar.loss), _MAX_NAME)
        for entries in bars.values()
        for bar in entries
    }
    widest = max(text_width(line) for name in names.values() for line in name.split("\n"))
    rows_by_metric = {
        metric: rows_of([names[bar.loss] for bar in entries], _ROW)
        for metric, entries in bars.items()
    }
    panel = _HEAD + max(tall for _, tall in rows_by_metric.values()) + _FOOT
    rows = -(-len(bars) // columns)
    figure = Figure(figsize=(width, rows * panel + _LEGEND))
    page = inch_axes(figure)
    for position, (metric, entries) in enumerate(bars.items()):
        left = position % columns * width / columns
        top = position // columns * panel
        page.text(left + 0.05, top + 0.05, metric_title(metric),
                  size=NORMAL, weight="bold", va="top")  # fmt: skip
        across = width / columns - widest - 0.1 - _VALUE - (_GAP if columns > 1 else 0)
        middles, tall = rows_by_metric[metric]
        axes = axes_at(figure, left + widest + 0.1, top + _HEAD, across, tall)
        axes.set_ylim(tall, 0)
        axes.set_yticks(middles, [names[bar.loss] for bar in entries])
        _draw_panel(axes, metric_title(metric), entries, middles)
    _draw_legend(page, bars, rows * panel + 0.02)
    return figure


def _draw_panel(
    axes: Axes,
    title: str,
    entries: Sequence[LossMean],
    middles: Sequence[float],
) -> None:
    ends = [
        value for bar in entries for value in (bar.mean, bar.low, bar.high) if value is not None
    ]
    start, top = axis_start(ends), max(ends)
    span = max(top - start, 1e-3)
    axes.set_xlim(start, start + 1.06 * span)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="y", length=0, pad=3)
    axes.tick_params(axis="x", length=2.5, pad=2)
    begins = f"{title}, axis from {start:g}" if start else title
    axes.set_xlabel(begins, size=SMALL, labelpad=1)
    for row, bar in zip(middles, entries, strict=True):
        colour, hatch, _ = _LOOKS[bar.kind]
        axes.barh(
            row, bar.mean - start, left=start, height=_THICKNESS, color=colour, hatch=hatch,
            edgecolor=COMPOUND_COLOUR, linewidth=0.6,
        )  # fmt: skip
        if bar.low is not None and bar.high is not None:
            _draw_whisker(axes, row, bar.low, bar.high)
        axes.annotate(
            decimal_text(bar.mean), (1.02, row), xycoords=("axes fraction", "data"),
            size=SMALL, va="center", annotation_clip=False,
        )  # fmt: skip
    if start:
        _draw_break(axes)


def _draw_whisker(axes: Axes, row: float, low: float, high: float) -> None:
    """Draws a line that is visible on dark and on light bars."""
    for colour, width, cap in (("white", 2.2, 3.4), (INK, 0.9, 2.4)):
        axes.plot(
            [low, high], [row, row], color=colour, linewidth=width, marker="|",
            markersize=2 * cap, markeredgewidth=width, zorder=3, clip_on=False,
        )  # fmt: skip


def _draw_break(axes: Axes) -> None:
    """Marks the axis as broken: two strokes across its left end."""
    for points in (3, 6):
        axes.annotate(
            "", (points + 1.5, 2.5), xytext=(points - 1.5, -2.5), xycoords="axes points",
            textcoords="axes points", annotation_clip=False, zorder=5,
            arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.9,
                        "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def _draw_legend(page: Axes, bars: dict[str, list[LossMean]], top: float) -> None:
    kinds = {bar.kind for entries in bars.values() for bar in entries}
    if kinds == {"unknown"}:
        return
    handles = [
        Patch(facecolor=face, hatch=hatch, edgecolor=COMPOUND_COLOUR, linewidth=0.6, label=label)
        for kind, (face, hatch, label) in _LOOKS.items()
        if kind in kinds
    ]
    height = page.get_ylim()[0]
    page.legend(
        handles=handles, loc="upper center", ncols=len(handles), frameon=False, fontsize=SMALL,
        bbox_to_anchor=(0.5, 1 - top / height), borderpad=0, borderaxespad=0,
    )  # fmt: skip


def _caption(sweep: RankedSweep, bars: dict[str, list[LossMean]]) -> str:
    first = "best" if sweep.ranking.measure.lower_is_better else "highest"
    text = f"Mean over all datasets, models and repeats, the {first} first."
    provisional = provisional_text(sweep.main_podium)
    if any(bar.low is not None for entries in bars.values() for bar in entries):
        text += " Whiskers: the lowest and the highest repeat"
        text += ", over the combinations that each has." if provisional else "."
    if any(_is_broken(entries) for entries in bars.values()):
        text += " An axis with two strokes does not begin at 0; compare values, not lengths."
    return text + provisional


def _is_broken(entries: Sequence[LossMean]) -> bool:
    ends = [
        value for bar in entries for value in (bar.mean, bar.low, bar.high) if value is not None
    ]
    return axis_start(ends) > 0


def _texts(sweep: RankedSweep, bars: dict[str, list[LossMean]]) -> dict[str, str]:
    rows = [
        (metric, place, bar.loss, bar.kind, bar.mean, bar.low, bar.high)
        for metric, entries in bars.items()
        for place, bar in enumerate(entries, start=1)
    ]
    columns = ("metric", "position", "loss", "kind", "mean", "lowest_repeat", "highest_repeat")
    by_loss = {
        metric: {bar.loss: decimal_text(bar.mean) for bar in entries}
        for metric, entries in bars.items()
    }
    shown = [
        (sweep.title("loss", bar.loss), bar.kind,
         *(values.get(bar.loss, MISSING) for values in by_loss.values()))
        for bar in next(iter(bars.values()))
    ]  # fmt: skip
    heads = ("Loss", "Kind", *(metric_title(metric) for metric in bars))
    caption = f"Mean over all datasets, models and repeats.{provisional_text(sweep.main_podium)}"
    return {"csv": csv_text(columns, rows)} | table_texts(heads, shown, caption, num_names=2)
