"""The podium as a figure for slides: by dataset, by model, and both side by side."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.report.data import RankedSweep
from orchestrator.report.figures.files import csv_text, table_texts
from orchestrator.report.figures.style import (
    LARGE,
    LINE_HEIGHT,
    SINGLE_COLUMN,
    SMALL,
    Drawn,
    axes_at,
    inch_axes,
    num_lines,
    wrap,
)
from orchestrator.report.palette import INK, MEDALS, MUTED, mix
from orchestrator.report.standings import Step, podium_steps
from orchestrator.wording import count_of_text, count_text, decimal_text, points_text

_HEIGHTS = {1: 1.0, 2: 0.72, 3: 0.5}
_CENTRES = {1: 1.75, 2: 0.65, 3: 2.85}
_STEP_WIDTH, _HEAD, _MAX_NAMES = 1.05, 0.5, 4


def podium_figure(sweep: RankedSweep) -> Drawn:
    """Draws one podium for each axis of the ranking."""
    podiums = sweep.ranking.podiums
    steps = {podium.axis: podium_steps(podium) for podium in podiums}
    names = {
        (axis, step.place): _names(sweep, step) for axis, three in steps.items() for step in three
    }
    above = max(
        _HEIGHTS[place] + 0.2 + LINE_HEIGHT * 1.25 * num_lines(text)
        for (_, place), text in names.items()
    )
    height = _HEAD + above
    figure = Figure(figsize=(SINGLE_COLUMN * len(podiums), height))
    page = inch_axes(figure)
    for position, podium in enumerate(podiums):
        left = position * SINGLE_COLUMN
        _draw_head(page, left, podium)
        axes = axes_at(figure, left, _HEAD, SINGLE_COLUMN, above)
        axes.set_axis_off()
        axes.set_xlim(0, SINGLE_COLUMN)
        axes.set_ylim(0, above)
        for step in steps[podium.axis]:
            _draw_step(axes, step, names[podium.axis, step.place])
    return Drawn(name="podium", figure=figure, caption="", texts=_texts(sweep))


def _names(sweep: RankedSweep, step: Step) -> str:
    names = [sweep.title("loss", loss) for loss in step.losses]
    if len(names) > _MAX_NAMES:
        names = [*names[: _MAX_NAMES - 1], f"and {len(names) - _MAX_NAMES + 1} more"]
    return "\n".join(wrap(name, _STEP_WIDTH, LARGE, bold=True) for name in names)


def _draw_head(page: Axes, left: float, podium: Podium) -> None:
    middle = left + SINGLE_COLUMN / 2
    page.text(middle, 0.06, f"By {podium.axis}", size=LARGE, weight="bold", ha="center", va="top")
    coverage = podium.coverage
    trials = count_of_text(coverage.present, coverage.expected, "trial")
    facts = f"{count_text(len(podium.blocks), podium.axis)}, {trials}"
    provisional = ", provisional" if podium.provisional else ""
    page.text(middle, 0.24, facts + provisional, size=SMALL, color=MUTED, ha="center", va="top")


def _draw_step(axes: Axes, step: Step, names: str) -> None:
    centre, height, medal = _CENTRES[step.place], _HEIGHTS[step.place], MEDALS[step.place - 1]
    if not step.losses:
        medal = mix("#FFFFFF", medal, 0.35)
    face = mix("#FFFFFF", medal, 0.22)
    left = centre - _STEP_WIDTH / 2
    axes.add_patch(Rectangle((left, 0), _STEP_WIDTH, height, color=face, linewidth=0))
    axes.add_patch(Rectangle((left, height - 0.045), _STEP_WIDTH, 0.045, color=medal, lw=0))
    axes.text(centre, height - 0.1, str(step.place), size=18, weight="bold", color=INK,
              ha="center", va="top")  # fmt: skip
    if step.points is None:
        return
    word = "point" if step.points == 1 else "points"
    each = " each" if len(step.losses) > 1 else ""
    axes.text(centre, height + 0.04, f"{points_text(step.points)} {word}{each}", size=SMALL,
              color=MUTED, ha="center", va="bottom")  # fmt: skip
    axes.text(centre, height + 0.17, names, size=LARGE, weight="bold", ha="center", va="bottom",
              linespacing=1.15)  # fmt: skip


def _texts(sweep: RankedSweep) -> dict[str, str]:
    columns = ("axis", "place", "loss", "points", "first", "second", "third", "mean")
    rows = [
        (podium.axis, row.place, row.loss, row.points, row.num_first, row.num_second,
         row.num_third, row.mean)
        for podium in sweep.ranking.podiums
        for row in podium_rows(podium)
    ]  # fmt: skip
    shown = [
        (str(axis), sweep.title("loss", loss), str(place), points_text(points),
         f"{first} / {second} / {third}", decimal_text(mean))
        for axis, place, loss, points, first, second, third, mean in rows
    ]  # fmt: skip
    heads = ("Podium by", "Loss", "Place", "Points", "1st / 2nd / 3rd", f"Mean {sweep.metric}")
    return {"csv": csv_text(columns, rows)} | table_texts(heads, shown, "Podium.", num_names=2)
