"""The critical-difference diagram (Demšar, JMLR 7, 2006, figure 1)."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.ranking.significance import CriticalDifference, Significance
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text, table_texts
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    LINE_HEIGHT,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    NothingToDrawError,
    inch_axes,
    num_lines,
    provisional_text,
    text_width,
    wrap,
)
from orchestrator.report.palette import INK
from orchestrator.wording import decimal_text, metric_title, p_equation_text

_AXIS, _BAR_STEP, _MAX_NAME = 0.5, 0.085, 1.5


def critical_figure(sweep: RankedSweep, tests: Significance) -> Drawn:
    """Draws mean ranks, the best at the left, and bars over losses that do not differ.

    Raises:
        NothingToDrawError: The test was not possible.
    """
    found = tests.critical_difference
    if found is None:
        raise NothingToDrawError(" ".join(tests.refusals) or "the Nemenyi test was not done")
    return Drawn(
        name="critical_difference",
        figure=_draw(sweep, found),
        caption=_caption(sweep, tests, found),
        texts=_texts(sweep, found),
    )


def _draw(sweep: RankedSweep, found: CriticalDifference) -> Figure:
    losses = list(found.mean_ranks)
    width = SINGLE_COLUMN if len(losses) <= 4 else DOUBLE_COLUMN
    widest = min(_MAX_NAME, width * 0.28)
    names = [
        wrap(f"{sweep.title('loss', loss)} ({decimal_text(found.mean_ranks[loss], 2)})", widest)
        for loss in losses
    ]
    margin = max(text_width(line) for name in names for line in name.split("\n")) + 0.16
    row = max(0.2, LINE_HEIGHT * max(map(num_lines, names)) + 0.06)
    num_left = -(-len(losses) // 2)
    first_row = _AXIS + _BAR_STEP * len(found.groups) + 0.2
    figure = Figure(figsize=(width, first_row + row * num_left + 0.04))
    page = inch_axes(figure)

    def at(rank: float) -> float:
        return margin + (width - 2 * margin) * (rank - 1) / max(len(losses) - 1, 1)

    _draw_axis(page, at, len(losses), found.difference)
    for number, group in enumerate(found.groups):
        y = _AXIS + 0.1 + _BAR_STEP * number
        ends = [at(found.mean_ranks[loss]) for loss in (group[0], group[-1])]
        page.plot([ends[0] - 0.03, ends[1] + 0.03], [y, y], color=INK, linewidth=2.6,
                  solid_capstyle="butt")  # fmt: skip
    for number, (loss, name) in enumerate(zip(losses, names, strict=True)):
        on_left = number < num_left
        level = number if on_left else len(losses) - 1 - number
        x, y = at(found.mean_ranks[loss]), first_row + row * (level + 0.4)
        end = margin - 0.06 if on_left else width - margin + 0.06
        page.plot([x, x, end], [_AXIS, y, y], color=INK, linewidth=0.7)
        page.text(end + (-0.04 if on_left else 0.04), y, name, size=SMALL, va="center",
                  ha="right" if on_left else "left", linespacing=1.15)  # fmt: skip
    return figure


def _draw_axis(
    page: Axes, at: Callable[[float], float], num_losses: int, difference: float
) -> None:
    page.plot([at(1), at(num_losses)], [_AXIS, _AXIS], color=INK, linewidth=0.9)
    for rank in range(1, num_losses + 1):
        page.plot([at(rank)] * 2, [_AXIS - 0.05, _AXIS], color=INK, linewidth=0.9)
        page.text(at(rank), _AXIS - 0.07, str(rank), size=SMALL, ha="center", va="bottom")
    # A difference wider than the axis is drawn as wide as the axis; the text beside it says so.
    end = at(min(1 + difference, num_losses))
    page.plot([at(1), end], [0.2, 0.2], color=INK, linewidth=0.9)
    for x in (at(1), end):
        page.plot([x, x], [0.16, 0.24], color=INK, linewidth=0.9)
    wider = " (wider than the axis)" if 1 + difference > num_losses else ""
    page.text(
        at(1),
        0.13,
        f"CD = {decimal_text(difference, 2)}{wider}",
        size=SMALL,
        ha="left",
        va="bottom",
    )


def _caption(sweep: RankedSweep, tests: Significance, found: CriticalDifference) -> str:
    text = f"Mean rank of each loss by {metric_title(sweep.metric)} over {found.num_blocks} dataset"
    text += " × model blocks, the best at the left. Losses under one bar do not differ "
    text += f"significantly (Nemenyi, α = {found.alpha:g}, critical difference "
    text += f"{decimal_text(found.difference, 2)})."
    if tests.friedman is not None:
        statistic = decimal_text(tests.friedman.statistic, 2)
        text += f" Friedman: χ² = {statistic}, {p_equation_text(tests.friedman.p)}."
    return text + provisional_text(sweep.main_podium)


def _texts(sweep: RankedSweep, found: CriticalDifference) -> dict[str, str]:
    def groups_of(loss: str) -> str:
        return " ".join(
            chr(ord("a") + number % 26) * (number // 26 + 1)
            for number, group in enumerate(found.groups)
            if loss in group
        )

    ranks = list(found.mean_ranks.items())
    rows = [
        (loss, rank, groups_of(loss), found.difference, found.num_blocks, found.alpha)
        for loss, rank in ranks
    ]
    columns = ("loss", "mean_rank", "groups", "critical_difference", "num_blocks", "alpha")
    shown = [
        (sweep.title("loss", loss), groups_of(loss), decimal_text(rank, 2)) for loss, rank in ranks
    ]
    caption = (
        f"Mean ranks over {found.num_blocks} blocks; losses that share a letter do not differ "
        f"(Nemenyi, α = {found.alpha:g}, critical difference {decimal_text(found.difference, 2)})."
    )
    table = table_texts(("Loss", "Groups", "Mean rank"), shown, caption, num_names=2)
    return {"csv": csv_text(columns, rows)} | table
