"""Figures 2B and 2C: block x loss heat tables, the three best marked, the points below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from orchestrator.ranking.places import TIE_MEANINGS
from orchestrator.ranking.podium import Podium
from orchestrator.ranking.text_tables import block_table, to_latex, to_markdown
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    LINE_HEIGHT,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    inch_axes,
    num_lines,
    provisional_text,
    text_width,
    wrap,
)
from orchestrator.report.heat import HeatCell, HeatTable, heat_table
from orchestrator.report.palette import HEAT_HIGH, HEAT_LOW, INK, mix
from orchestrator.wording import (
    MISSING,
    decimal_text,
    metric_title,
    points_text,
)

_MIN_CELL, _MAX_CELL, _NAME, _EDGE = 0.58, 0.85, 1.3, 0.04
_MARK_WIDTH = 0.06
_BADGES = ((INK, "white"), ("#5F6770", "white"), ("white", INK))
"""Face and digit of the three first places: told apart by lightness, and by the digit itself."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Sizes in inches; the losses stand in bands one below the other where a page is too narrow.

    Attributes:
        names: Wrapped names of the blocks.
        heads: Wrapped names of the losses.
        digits: Decimals of the values; two where they reach 10, as percentages do.
    """

    width: float
    cell: float
    name: float
    names: tuple[str, ...]
    heads: dict[str, str]
    bands: tuple[tuple[str, ...], ...]
    digits: int

    @property
    def row_heights(self) -> list[float]:
        return [max(0.215, LINE_HEIGHT * num_lines(name) + 0.06) for name in self.names]

    @property
    def tops(self) -> list[float]:
        """Where each band begins, and the end of the last."""
        tops = [0.0]
        for band in self.bands:
            tops.append(tops[-1] + self.head_height(band) + sum(self.row_heights) + 0.34)
        return tops

    def head_height(self, band: Sequence[str]) -> float:
        return LINE_HEIGHT * max(num_lines(self.heads[loss]) for loss in band) + 0.08


def heat_figure(sweep: RankedSweep, podium: Podium, name: str) -> Drawn:
    """Draws the table of one axis; colours run from the worst to the best mean of a row."""
    table = heat_table(sweep, podium)
    layout = _lay_out(sweep, table)
    *tops, end = layout.tops
    figure = Figure(figsize=(layout.width, end))
    page = inch_axes(figure)
    for band, top in zip(layout.bands, tops, strict=True):
        _draw_band(page, layout, table, band, top)
    return Drawn(
        name=name,
        figure=figure,
        caption=_caption(sweep, podium, table),
        texts=_texts(sweep, podium, table),
    )


def _lay_out(sweep: RankedSweep, table: HeatTable) -> _Layout:
    least = _MIN_CELL + (_MARK_WIDTH if table.has_diverged or table.has_partial else 0)
    titles = [sweep.title(table.axis, label) for (label,) in table.rows]
    longest = max(text_width(title) for title in titles) + 0.1
    name = min(max(longest, text_width("Points", bold=True) + 0.1), _NAME)
    most = int((DOUBLE_COLUMN - 2 * _EDGE - name) / least + 1e-9)
    num_bands = -(-len(table.losses) // most)
    columns = -(-len(table.losses) // num_bands)
    spare = SINGLE_COLUMN - 2 * _EDGE - name
    cell = min(max(least, spare / columns), _MAX_CELL)
    width = max(SINGLE_COLUMN, name + columns * cell + 2 * _EDGE)
    if width > SINGLE_COLUMN:
        cell = min((DOUBLE_COLUMN - 2 * _EDGE - name) / columns, _MAX_CELL)
        width = name + columns * cell + 2 * _EDGE
    return _Layout(
        width=width,
        cell=cell,
        name=name,
        names=tuple(wrap(title, name - 0.08) for title in titles),
        heads={
            loss: wrap(sweep.title("loss", loss), cell - 0.04, bold=True) for loss in table.losses
        },
        bands=tuple(
            table.losses[start : start + columns] for start in range(0, len(table.losses), columns)
        ),
        digits=2
        if any(abs(cell.mean or 0) >= 10 for row in table.rows.values() for cell in row)
        else 4,
    )


def _draw_band(
    page: Axes, layout: _Layout, table: HeatTable, band: Sequence[str], top: float
) -> None:
    left, y = _EDGE + layout.name, top + layout.head_height(band)
    for column, loss in enumerate(band):
        page.text(
            left + (column + 0.5) * layout.cell, y - 0.04, layout.heads[loss],
            size=SMALL, weight="bold", ha="center", va="bottom", linespacing=1.15,
        )  # fmt: skip
    for name, cells, height in zip(
        layout.names, table.rows.values(), layout.row_heights, strict=True
    ):
        page.text(left - 0.06, y + height / 2, name, size=SMALL, ha="right", va="center",
                  linespacing=1.15)  # fmt: skip
        for column, loss in enumerate(band):
            cell = cells[table.losses.index(loss)]
            _draw_cell(
                page, left + column * layout.cell, y, layout.cell, height, cell, layout.digits
            )
        y += height
    right = left + len(band) * layout.cell
    page.plot([_EDGE, right], [y + 0.03, y + 0.03], color=INK, linewidth=0.7)
    page.text(left - 0.06, y + 0.15, "Points", size=SMALL, weight="bold", ha="right", va="center")
    for column, loss in enumerate(band):
        page.text(
            left + (column + 0.5) * layout.cell, y + 0.15, points_text(table.points[loss]),
            size=SMALL, weight="bold", ha="center", va="center",
        )  # fmt: skip


def _draw_cell(
    page: Axes, x: float, y: float, width: float, height: float, cell: HeatCell, digits: int
) -> None:
    middle = y + height / 2
    if cell.mean is None:
        page.text(x + width / 2, middle, MISSING, size=SMALL, ha="center", va="center")
        return
    face = mix(HEAT_LOW, HEAT_HIGH, cell.shade)
    page.add_patch(
        Rectangle((x + 0.01, y + 0.01), width - 0.02, height - 0.02, color=face, linewidth=0)
    )
    # Value and mark stand at the right, so that the digits of a column are aligned.
    text = decimal_text(cell.mean, digits) + _mark(cell)
    end = x + width / 2 + 0.255 + (_MARK_WIDTH if _mark(cell) else 0)
    page.text(end, middle, text, size=SMALL, ha="right", va="center",
              weight="bold" if cell.place == 1 and not cell.joint else "normal")  # fmt: skip
    if cell.place and cell.num_diverged < cell.num_present:
        _draw_badge(
            page,
            x + width / 2 - (0.19 if cell.joint else 0.215),
            middle,
            cell.place,
            joint=cell.joint,
        )


def _draw_badge(page: Axes, x: float, y: float, place: int, *, joint: bool) -> None:
    face, ink = _BADGES[place - 1]
    half = 0.03 if joint else 0.005
    page.add_patch(
        FancyBboxPatch(
            (x - half, y - 0.005),
            2 * half,
            0.01,
            boxstyle="round,pad=0.056,rounding_size=0.056",
            facecolor=face,
            edgecolor=INK,
            linewidth=0.6,
        )
    )
    page.text(
        x, y, f"{place}{'=' if joint else ''}",
        size=SMALL, weight="bold", color=ink, ha="center", va="center_baseline",
    )  # fmt: skip


def _mark(cell: HeatCell) -> str:
    return "†" if cell.num_diverged else "°" if cell.num_present < cell.num_expected else ""


def _caption(sweep: RankedSweep, podium: Podium, table: HeatTable) -> str:
    other = "models" if table.axis == "dataset" else "datasets"
    measure = podium.measure
    name = metric_title(sweep.metric) + (f" ({measure.stated})" if measure.stated else "")
    text = f"Mean test {name} over {other} and repeats, ranked unrounded."
    text += " Digits in front: the three best of a row; they get 3, 2 and 1 points."
    if podium.num_ties:
        text += f" Equal means (=): {TIE_MEANINGS[podium.ties]}."
    ends = ("highest", "lowest") if measure.lower_is_better else ("lowest", "highest")
    text += f" Shade: from the {ends[0]} to the {ends[1]} mean of a row."
    if table.has_diverged:
        text += f" †: with diverged trials, counted as {'the worst' if measure.stated else 0}."
    if table.has_partial:
        text += " °: trials missing."
    return text + provisional_text(podium)


def _texts(sweep: RankedSweep, podium: Podium, table: HeatTable) -> dict[str, str]:
    columns = (
        table.axis, "loss", sweep.metric, "place", "points", "points_of_loss",
        "num_trials", "num_expected", "num_diverged",
    )  # fmt: skip
    rows = [
        (name, loss, cell.mean, block.places.get(loss), block.points.get(loss),
         podium.points[loss], cell.num_present, cell.num_expected, cell.num_diverged)
        for (name, block), cells in zip(podium.blocks.items(), table.rows.values(), strict=True)
        for loss, cell in zip(table.losses, cells, strict=True)
    ]  # fmt: skip
    shown = block_table(podium, sweep.metric, table.losses)
    return {
        "csv": csv_text(columns, rows),
        "tex": to_latex(shown, title=sweep.title),
        "md": to_markdown(shown, title=sweep.title),
    }
