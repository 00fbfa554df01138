"""The podium as a figure for papers and slides: by dataset and by model side by side."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from orchestrator.ranking.podium import Podium
from orchestrator.report.data import Sweep
from orchestrator.report.palette import INK, MEDALS, MUTED, mix
from orchestrator.report.standings import Step, podium_steps
from orchestrator.report.wording import count_text, points_text

_HEIGHTS = {1: 1.0, 2: 0.72, 3: 0.5}
_CENTRES = {1: 0.0, 2: -1.0, 3: 1.0}
_MAX_NAMES = 4


def podium_figure(sweep: Sweep) -> Figure:
    """Draws one podium an axis that is known."""
    podiums = sweep.ranking.podiums
    num_names = max(
        (min(len(podium_steps(podium)[0].losses), _MAX_NAMES) for podium in podiums), default=1
    )
    top = 1.22 + 0.13 * max(num_names, 1)
    figure = Figure(figsize=(4.2 * len(podiums), 2.1 * top), layout="constrained")
    for position, podium in enumerate(podiums):
        _draw(figure.add_subplot(1, len(podiums), position + 1), sweep, podium, top)
    return figure


def _draw(axes: Axes, sweep: Sweep, podium: Podium, top: float) -> None:
    axes.set_axis_off()
    axes.set_xlim(-1.6, 1.6)
    axes.set_ylim(0, top)
    blocks = count_text(len(podium.blocks), podium.axis)
    provisional = ", provisional" if podium.provisional else ""
    axes.set_title(f"By {podium.axis}", fontsize=12, fontweight="bold", loc="center", pad=16)
    coverage = podium.coverage
    facts = f"{blocks}, {coverage.present:,} of {count_text(coverage.expected, 'trial')}"
    axes.text(0, top, f"{facts}{provisional}", ha="center", va="bottom", fontsize=8, color=MUTED)
    for step in podium_steps(podium):
        _draw_step(axes, sweep, step)


def _draw_step(axes: Axes, sweep: Sweep, step: Step) -> None:
    centre, height, medal = _CENTRES[step.place], _HEIGHTS[step.place], MEDALS[step.place - 1]
    if not step.losses:
        medal = mix("#FFFFFF", medal, 0.35)
    face = mix("#FFFFFF", medal, 0.22)
    axes.add_patch(Rectangle((centre - 0.48, 0), 0.96, height, color=face, linewidth=0))
    axes.add_patch(Rectangle((centre - 0.48, height - 0.045), 0.96, 0.045, color=medal, lw=0))
    axes.text(
        centre, height - 0.14, str(step.place),
        ha="center", va="top", fontsize=22, fontweight="bold", color=medal,
    )  # fmt: skip
    if step.points is None:
        return
    word = "point" if step.points == 1 else "points"
    each = " each" if len(step.losses) > 1 else ""
    axes.text(
        centre, height + 0.05, f"{points_text(step.points)} {word}{each}",
        ha="center", va="bottom", fontsize=8.5, color=MUTED,
    )  # fmt: skip
    names = [sweep.title("loss", loss) for loss in step.losses]
    if len(names) > _MAX_NAMES:
        names = [*names[: _MAX_NAMES - 1], f"and {len(names) - _MAX_NAMES + 1} more"]
    size = 11.5 if len(names) <= 2 else 9
    axes.text(
        centre, height + 0.16, "\n".join(_short(name) for name in names),
        ha="center", va="bottom", fontsize=size, fontweight="bold", color=INK, linespacing=1.25,
    )  # fmt: skip


def _short(name: str, limit: int = 16) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
