"""A search as a figure: history, slices through its parameters, and their importance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from orchestrator.report.figures.files import csv_text
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    NORMAL,
    SMALL,
    Drawn,
    axes_at,
    inch_axes,
    wrap,
)
from orchestrator.report.palette import INK, LINE_COLOURS, MUTED, RULE
from orchestrator.tune.results import SearchResult
from orchestrator.wording import decimal_text, plain_text
from workers.catalogue.spaces import Range

_COLUMNS, _LEFT, _HEAD, _HEIGHT, _ROW = 3, 0.48, 0.2, 1.35, 1.95
_TRIED, _BEST, _STOPPED = LINE_COLOURS[0], LINE_COLOURS[1], MUTED


def search_figure(
    finding: SearchResult, importance: Mapping[str, float] | None, name: str
) -> Drawn:
    """Draws history, one slice per parameter, and importance if it is known."""
    keys = list(finding.study.space)
    panels = 1 + len(keys) + (importance is not None and len(keys) > 1)
    rows = -(-panels // _COLUMNS)
    figure = Figure(figsize=(DOUBLE_COLUMN, 0.35 + rows * _ROW))
    page = inch_axes(figure)
    page.text(0.05, 0.05, wrap(f"{finding.study.label}: mean best validation Dice", 6.5, NORMAL),
              size=NORMAL, weight="bold", va="top")  # fmt: skip
    width = (DOUBLE_COLUMN - _COLUMNS * (_LEFT + 0.1)) / _COLUMNS

    def panel(position: int, title: str) -> Axes:
        left = _LEFT + position % _COLUMNS * (width + _LEFT + 0.1)
        top = 0.35 + position // _COLUMNS * _ROW + _HEAD
        axes = axes_at(figure, left, top, width, _HEIGHT)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, size=SMALL, loc="left", pad=4)
        axes.tick_params(length=2.5, pad=2)
        return axes

    _draw_history(panel(0, "History"), finding)
    for position, key in enumerate(keys, start=1):
        _draw_slice(panel(position, key), finding, key)
    if importance is not None and len(keys) > 1:
        _draw_importance(panel(panels - 1, "Importance (PED-ANOVA)"), importance)
    return Drawn(name=name, figure=figure, caption="", texts={"csv": _csv(finding)})


def _draw_history(axes: Axes, finding: SearchResult) -> None:
    ended = finding.ended
    axes.plot([one.number for one, _ in ended], [value for _, value in ended], "o",
              color=_TRIED, markersize=3, label="candidate")  # fmt: skip
    best = list(accumulate((value for _, value in ended), max))
    axes.plot([one.number for one, _ in ended], best, color=_BEST, linewidth=1,
              drawstyle="steps-post", label="best so far")  # fmt: skip
    stopped = [one for one in finding.candidates if one.status == "pruned"]
    if stopped:
        axes.plot([one.number for one in stopped], [_last(list(one.curve())) for one in stopped],
                  "x", color=_STOPPED, markersize=3, label="stopped")  # fmt: skip
    if finding.default is not None:
        axes.axhline(finding.default, color=INK, linewidth=0.6, linestyle=(0, (4, 3)))
    axes.set_xlabel("candidate; dashed: the default", size=SMALL, labelpad=1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right", handlelength=1, borderpad=0)


def _draw_slice(axes: Axes, finding: SearchResult, key: str) -> None:
    domain = finding.study.space[key]
    ended = finding.ended
    where: list[Any]
    if isinstance(domain, Range):
        where = [one.values[key] for one, _ in ended]
        axes.set_xscale("log" if domain.log else "linear")
        if (
            domain.log
        ):  # matplotlib's own labels are formulas, and names here are never read as such
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain_text(value)))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.xaxis.set_major_locator(LogLocator(numticks=4))
        spread = 0.03 * (domain.high - domain.low)
        ends = (domain.low * 0.9, domain.high * 1.1) if domain.log else (
            domain.low - spread, domain.high + spread)  # fmt: skip
        axes.set_xlim(*ends)
    else:
        names = [json.dumps(value) for value in domain.values]
        where = [names.index(json.dumps(one.values[key])) for one, _ in ended]
        axes.set_xticks(range(len(names)), names)
    axes.scatter(where, [value for _, value in ended], s=8, color=_TRIED, linewidths=0)
    best = finding.best
    for position, (one, value) in enumerate(ended):
        if one.number == 0 or (best is not None and one.number == best[0].number):
            colour = _BEST if best is not None and one.number == best[0].number else INK
            axes.scatter([where[position]], [value], s=26, facecolors="none", edgecolors=colour,
                         linewidths=1)  # fmt: skip
    axes.set_xlabel("circled: the best, the default", size=SMALL, labelpad=1)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_importance(axes: Axes, importance: Mapping[str, float]) -> None:
    ordered = sorted(importance.items(), key=lambda item: -item[1])
    axes.barh(range(len(ordered)), [share for _, share in ordered], color=_TRIED, height=0.6)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xlim(0, 1)
    for row, (key, share) in enumerate(ordered):
        axes.text(0.98, row, f"{key} {decimal_text(share, 2)}", size=SMALL, ha="right", va="center",
                  bbox={"facecolor": "white", "edgecolor": RULE, "linewidth": 0.4, "pad": 1.2},
                  )  # fmt: skip
    axes.set_xlabel("share", size=SMALL, labelpad=1)


def _csv(finding: SearchResult) -> str:
    keys = list(finding.study.space)
    rows = [
        (one.number, one.status, one.value, *(one.values[key] for key in keys))
        for one in finding.candidates
    ]
    return csv_text(("number", "status", "val_dice", *keys), rows)


def _last(curve: list[tuple[int, float]]) -> float:
    return curve[-1][1] if curve else 0.0
