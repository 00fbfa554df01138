"""A heat table as a figure: mean Dice of each loss in each block, the three best marked."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.transforms import Affine2D, Transform

from orchestrator.report.data import Sweep
from orchestrator.report.heat import HeatCell, HeatTable
from orchestrator.report.palette import HEAT_HIGH, HEAT_LOW, INK, MEDALS, MUTED, mix
from orchestrator.report.wording import MISSING, metric_text, points_text

_CELL_WIDTH, _CELL_HEIGHT = 0.92, 0.36


def heat_figure(sweep: Sweep, table: HeatTable) -> Figure:
    """Draws the table; colours run from the lowest to the highest mean of each row."""
    columns, rows = len(table.losses), len(table.rows)
    names = [_short(sweep.title(table.axis, label), 34) for label in table.rows]
    margin = 0.5 + 0.085 * max(len(name) for name in names)
    figure = Figure(figsize=((columns + margin) * _CELL_WIDTH, (rows + 2.6) * _CELL_HEIGHT))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-margin, columns)
    axes.set_ylim(rows + 1.9, -0.9)
    for x, loss in enumerate(table.losses):
        axes.text(
            x + 0.5, -0.25, _short(sweep.title("loss", loss), 12),
            ha="center", va="bottom", fontweight="bold", fontsize=9,
        )  # fmt: skip
        axes.text(
            x + 0.5, rows + 0.55, points_text(table.points[loss]),
            ha="center", va="center", fontweight="bold",
        )  # fmt: skip
    for y, (name, cells) in enumerate(zip(names, table.rows.values(), strict=True)):
        axes.text(-0.12, y + 0.5, name, ha="right", va="center", fontsize=9)
        for x, cell in enumerate(cells):
            _draw_cell(axes, x, y, cell)
    axes.text(-0.12, rows + 0.55, "Points", ha="right", va="center", fontweight="bold")
    axes.text(0, rows + 1.35, _caption(table), ha="left", va="center", fontsize=7.5, color=MUTED)
    return figure


def _draw_cell(axes: Axes, x: int, y: int, cell: HeatCell) -> None:
    if cell.mean is None:
        axes.text(x + 0.5, y + 0.5, MISSING, ha="center", va="center", color=MUTED)
        return
    face = mix(HEAT_LOW, HEAT_HIGH, cell.shade)
    axes.add_patch(Rectangle((x + 0.02, y + 0.04), 0.96, 0.92, color=face, linewidth=0))
    mark = "†" if cell.num_diverged else "°" if cell.num_present < cell.num_expected else ""
    axes.text(
        x + (0.62 if cell.place else 0.5), y + 0.52, metric_text(cell.mean) + mark,
        ha="center", va="center", fontsize=8.5, color=INK,
    )  # fmt: skip
    if cell.place:
        # Axes are not square: a circle in cells needs its height stretched.
        medal = Circle((0, 0), 0.13, facecolor=MEDALS[cell.place - 1], edgecolor="white", lw=0.8)
        medal.set_transform(_round(axes, x + 0.19, y + 0.5))
        axes.add_patch(medal)
        axes.text(
            x + 0.19, y + 0.52, f"{cell.place}{'=' if cell.joint else ''}",
            ha="center", va="center", fontsize=7, fontweight="bold", color="white",
        )  # fmt: skip


def _round(axes: Axes, x: float, y: float) -> Transform:
    return Affine2D().scale(1, _CELL_WIDTH / _CELL_HEIGHT).translate(x, y) + axes.transData


def _caption(table: HeatTable) -> str:
    text = "Mean test Dice. Colour: from the lowest to the highest mean of each row."
    if table.has_diverged:
        text += " † with diverged trials, counted as 0."
    if table.has_partial:
        text += " ° trials missing."
    return text


def _short(name: str, limit: int) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
