"""Renders the page: one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.images import follows_from_counts
from orchestrator.ranking.places import TIE_MEANINGS
from orchestrator.ranking.podium import Podium
from orchestrator.ranking.sentences import best_set_sentence, headline, null_sentence
from orchestrator.ranking.siblings import MIN_IMAGES
from orchestrator.report.curves import HEIGHT, WIDTH, curve_data, draw_panel
from orchestrator.report.data import RankedSweep, ReportData, ReportFiles, arrange
from orchestrator.report.figures.drawing import draw_figures
from orchestrator.report.figures.files import stale_figures
from orchestrator.report.figures.ranks import LEAST_SHARE
from orchestrator.report.heat import HeatCell, HeatView, heat_metrics, heat_views, place_text
from orchestrator.report.palette import PREDICTION_COLOUR, TRUTH_COLOUR
from orchestrator.report.predictions import draw_examples
from orchestrator.report.rendering import embedded_json, render
from orchestrator.report.sections import Sections, compute_sections
from orchestrator.report.standings import other_ways_matter, podium_steps, shown_metrics
from orchestrator.wording import (
    FOR_SCRIPTS,
    MISSING,
    count_text,
    duration_text,
    list_text,
    p_equation_text,
)
from workers.contract import UserError
from workers.durable import replace_file

SCRIPTS = ("tables.js", "heat.js", "curves.js", "copy.js")


RANK_PICTURES = {
    "ranking_heatmap": "Ranking heat map: places in the blocks",
    "podium_plot": "Podium plot: values in the blocks, sorted by place",
    "line_plot": "Line plot: places by other ranking methods",
    "stacked_ranks": "Stacked frequencies: places in new sweeps",
    "tau_violins": "Violins: how similar new sweeps are to this sweep",
}
"""Figures that the page shows in a folded section, with their titles."""


def render_page(sections: Sections, figures: Mapping[str, bytes]) -> str:
    """Returns the page as HTML text; every name in it is escaped.

    Args:
        sections: What to show.
        figures: Files in the folder figures/ beside the page: some are shown, all are linked.
    """
    sweep = sections.sweep
    statistics = sections.statistics
    certainty = statistics.certainty
    drawn_podiums = [drawn for drawn in statistics.drawn if drawn.axis != "both"]
    views = heat_views(sweep)
    curves = curve_data(sweep)
    return render(
        "report.html.j2",
        losses=sweep.grid.losses,
        scripts=SCRIPTS,
        data=embedded_json(_script_data(sweep, views, curves)),
        sections=sections,
        sweep=sweep,
        grid=sweep.grid,
        truth_colour=TRUTH_COLOUR,
        prediction_colour=PREDICTION_COLOUR,
        steps={podium.axis: podium_steps(podium) for podium in sweep.ranking.podiums},
        clean_steps={podium.axis: podium_steps(podium) for podium in _clean_podiums(sections)},
        least_images=MIN_IMAGES,
        metric_counts=follows_from_counts(sweep.metric),
        titled=lambda labels: list_text([sweep.title("dataset", label) for label in labels]),
        best_metrics=_best(sections),
        metrics=shown_metrics(sweep),
        other_ways_matter=other_ways_matter(sweep),
        facts=_facts(sections),
        views=views,
        heat_metrics=heat_metrics(sweep),
        about=ESTIMANDS[certainty.estimand],
        level=certainty.level,
        num_draws=certainty.num_draws,
        drawn_podiums=drawn_podiums,
        largest_share=max((float(drawn.shares.max()) for drawn in drawn_podiums), default=1.0),
        least_share=LEAST_SHARE,
        nulls={axis: null_sentence(found) for axis, found in certainty.podiums.items()},
        group_sentences=_group_sentences(sweep, certainty),
        titles_of=lambda losses: (
            list_text([sweep.title("loss", loss) for loss in losses]) or MISSING
        ),
        changed_leads={
            podium: [lead for found in statistics.leads.changes(podium).values() for lead in found]
            for podium in statistics.leads.leaders
        },
        rank_pictures=_rank_pictures(figures),
        panels=[draw_panel(panel) for panel in sections.panels],
        panel_size=(WIDTH, HEIGHT),
        has_curves=bool(curves),
        curve_step=curves.get("step", 1),
        examples=draw_examples(sections.examples),
        tie_meaning=TIE_MEANINGS[sweep.ranking.ties],
        cell_hint=_cell_hint,
        place_text=place_text,
        figures=_by_figure(list(figures)),
    )


def _script_data(
    sweep: RankedSweep, views: Sequence[HeatView], curves: dict[str, Any]
) -> dict[str, Any]:
    """Returns what the page's script reads."""
    return {
        "heat": {view.axis: dict(view.values) for view in views},
        "curves": curves,
        "wording": FOR_SCRIPTS,
        "titles": {
            axis: [sweep.title(axis, label) for label in sweep.grid.blocks(axis)]
            for axis in ("dataset", "model", "loss")
        },
    }


def _facts(sections: Sections) -> list[tuple[str, str]]:
    """Returns the title block: (name, value)."""
    sweep, grid = sections.sweep, sections.sweep.grid
    sizes = [
        count_text(len(labels), noun)
        for noun, labels in (
            ("dataset", grid.datasets), ("model", grid.models), ("loss", grid.losses),
        )
        if labels
    ]  # fmt: skip
    coverage = sweep.main_podium.coverage
    diverged = f", {sweep.num_diverged:,} diverged" if sweep.num_diverged else ""
    total = sections.costs.total
    facts = [
        ("Grid", " × ".join([*sizes, count_text(grid.num_repeats, "repeat")])),
        ("Finished trials", f"{coverage.present:,} of {coverage.expected:,}{diverged}"),
    ]
    if not sweep.recorded:
        return facts
    facts += [
        ("Failed attempts", f"{sections.missing.num_failed:,}"),
        ("Training time, summed", duration_text(total.total_seconds) if total else MISSING),
        ("Results from", sections.record.committed),
    ]
    protocol = dict(sections.record.groups["Protocol"]).get("Protocol")
    return [*facts, ("Protocol", protocol)] if protocol else facts


def _clean_podiums(sections: Sections) -> Sequence[Podium]:
    ranking = sections.siblings.ranking
    return ranking.podiums if ranking else ()


def _group_sentences(sweep: RankedSweep, certainty: Certainty) -> list[str]:
    """Returns what is known of the losses beside the group."""
    sentences = []
    if certainty.p_all_equal is not None:
        sentences.append(
            "Test that all losses are equal (all pairs at once): "
            f"{p_equation_text(certainty.p_all_equal)}."
        )
    if certainty.best_set:
        sentences.append(best_set_sentence(certainty, lambda loss: sweep.title("loss", loss)))
    if certainty.wild:
        names = list_text([sweep.title("loss", loss) for loss in certainty.wild])
        sentences.append(
            f"Scores of {names} vary over datasets and networks more than those of the other "
            "losses. Their intervals use this variance alone."
        )
    if certainty.if_missing is not None:
        other = headline(certainty.if_missing, lambda loss: sweep.title("loss", loss))
        sentences.append(f"The same if the diverged trials were missing: {other}")
    return sentences


def _rank_pictures(figures: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Returns (title, data URI) of the pictures in the folded section."""
    return [
        (title, f"data:image/svg+xml;base64,{base64.b64encode(content).decode('ascii')}")
        for name, title in RANK_PICTURES.items()
        if (content := figures.get(f"{name}.svg"))
    ]


def _by_figure(names: Sequence[str]) -> Mapping[str, list[str]]:
    """Returns {figure: its files}, so that one line a figure lists all its forms."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(name.rsplit(".", 1)[0], []).append(name)
    return groups


def _best(sections: Sections) -> Mapping[str, float]:
    """Returns the best value of each metric over the losses."""
    best: dict[str, float] = {}
    for standing in sections.standings:
        for metric, value in standing.metrics.items():
            if value is not None:
                best[metric] = max(value, best.get(metric, value))
    return best


def _cell_hint(cell: HeatCell) -> str:
    """Returns what a pointer resting on a heat cell tells besides its mean."""
    trials = f"{cell.num_present} of {count_text(cell.num_expected, 'trial')}"
    diverged = f", {cell.num_diverged} diverged" if cell.num_diverged else ""
    return f"{trials}{diverged}{f', place {place_text(cell)}' if cell.place else ''}"


def write_report(data: ReportData, out: Path) -> ReportFiles:
    """Writes out/index.html and out/figures with their data; the same store, the same bytes.

    Figures of an earlier report that have nothing to show any more are removed.

    Raises:
        UserError: There is no trial yet, trials must not be ranked together, or the folder
            cannot be written.
    """
    sections = compute_sections(arrange(data))
    drawn = draw_figures(sections)
    figures = drawn.files
    page = render_page(sections, figures)
    folder = out / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in stale_figures(folder, figures):
            path.unlink(missing_ok=True)
        for name, content in figures.items():
            replace_file(folder / name, content)
        replace_file(out / "index.html", page.encode())
    except OSError as error:
        msg = f"{error.filename or out}: cannot be written: {error.strerror}; choose another --out"
        raise UserError(msg) from error
    return ReportFiles(
        page=out / "index.html",
        figures=tuple(folder / name for name in figures),
        answer=sections.answer.text,
        notes=(*sections.sweep.missing, *drawn.notes),
    )
