"""Renders the page: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from orchestrator.ranking.places import TIE_MEANINGS
from orchestrator.report.content import Content
from orchestrator.report.drawing import HEIGHT, WIDTH, draw_example, draw_panel
from orchestrator.report.heat import HeatCell
from orchestrator.report.palette import (
    LINE_COLOURS,
    LINE_COLOURS_ON_DARK,
    PREDICTION_COLOUR,
    TRUTH_COLOUR,
    line_styles,
)
from orchestrator.report.standings import podium_steps, shown_metrics
from orchestrator.report.wording import (
    count_text,
    list_text,
    metric_text,
    points_text,
)

_FILTERS = {
    "points": points_text,
    "metric": metric_text,
    "count": count_text,
    "listed": list_text,
}


def render_page(content: Content, figure_names: Sequence[str]) -> str:
    """Returns the page as HTML text; every name in it is escaped.

    Args:
        content: What to show.
        figure_names: Files in the folder figures/ beside the page, to link to.
    """
    sweep = content.sweep
    environment = Environment(
        loader=PackageLoader("orchestrator.report", "templates"),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template("report.html.j2").render(
        content=content,
        sweep=sweep,
        grid=sweep.grid,
        styles=line_styles(sweep.grid.losses),
        line_colours=LINE_COLOURS,
        line_colours_on_dark=LINE_COLOURS_ON_DARK,
        truth_colour=TRUTH_COLOUR,
        prediction_colour=PREDICTION_COLOUR,
        steps={podium.axis: podium_steps(podium) for podium in sweep.ranking.podiums},
        best_metrics=_best(content),
        metrics=shown_metrics(sweep),
        facts=_facts(content),
        panels=[draw_panel(panel) for panel in content.panels],
        panel_size=(WIDTH, HEIGHT),
        examples=[draw_example(example) for example in content.examples],
        tie_meaning=TIE_MEANINGS[sweep.ranking.ties],
        cell_hint=_cell_hint,
        figure_names=figure_names,
    )


def _facts(content: Content) -> list[tuple[str, str]]:
    """Returns the title block: (name, value)."""
    sweep, grid = content.sweep, content.sweep.grid
    sizes = [
        count_text(len(labels), noun)
        for noun, labels in (
            ("dataset", grid.datasets), ("model", grid.models), ("loss", grid.losses),
        )
        if labels
    ]  # fmt: skip
    coverage = sweep.main_podium.coverage
    diverged = f", {sweep.num_diverged:,} diverged" if sweep.num_diverged else ""
    facts = [
        ("Grid", " × ".join([*sizes, count_text(grid.num_repeats, "repeat")])),  # noqa: RUF001
        ("Trials in", f"{coverage.present:,} of {coverage.expected:,}{diverged}"),
        ("Failed attempts", f"{content.holes.num_failed:,}"),
        ("Training time, summed", content.record.total_train),
        ("Results from", content.record.committed),
    ]
    protocol = dict(content.record.groups["Protocol"]).get("Protocol")
    return [*facts, ("Protocol", protocol)] if protocol else facts


def _best(content: Content) -> Mapping[str, float]:
    """Returns the best value of each metric over the losses."""
    best: dict[str, float] = {}
    for standing in content.standings:
        for metric, value in standing.metrics.items():
            if value is not None:
                best[metric] = max(value, best.get(metric, value))
    return best


def _cell_hint(cell: HeatCell) -> str:
    """Returns what a pointer resting on a heat cell tells."""
    trials = f"{cell.num_present} of {count_text(cell.num_expected, 'trial')}"
    diverged = f", {cell.num_diverged} diverged" if cell.num_diverged else ""
    place = f", place {cell.place}{' (joint)' if cell.joint else ''}" if cell.place else ""
    return f"{metric_text(cell.mean, 6)}, {trials}{diverged}{place}"
