"""Every figure of the study, drawn from any results; equal results give equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.ranking.podium import Podium
from orchestrator.report.curves import CurvePanel, curve_panels
from orchestrator.report.data import RankedSweep, column
from orchestrator.report.figures.bars import bars_figure
from orchestrator.report.figures.curves import curves_figure
from orchestrator.report.figures.files import FIGURE_NAMES, FORMATS, file_stem
from orchestrator.report.figures.fonts import lacking_note
from orchestrator.report.figures.heat import heat_figure
from orchestrator.report.figures.images import datasets_figure, predictions_figure
from orchestrator.report.figures.intervals import intervals_figure
from orchestrator.report.figures.methods import methods_figure, violins_figure
from orchestrator.report.figures.podium import podium_figure
from orchestrator.report.figures.ranks import blob_figure, heatmap_figure, stacked_figure
from orchestrator.report.figures.significance import significance_figure
from orchestrator.report.figures.spaghetti import podium_plot
from orchestrator.report.figures.style import (
    Drawn,
    NothingToDrawError,
    add_caption,
    drawing_style,
    save,
    unknown_letters,
)
from orchestrator.report.predictions import Example, examples, examples_like
from orchestrator.report.sections import Sections
from orchestrator.report.statistics import Statistics, compute_statistics

DOTS_PER_INCH = 300


@dataclass(frozen=True, kw_only=True)
class FigureSet:
    """What was drawn, and what was left out.

    Attributes:
        files: Bytes by file name.
        left_out: By figure why it was left out.
        notes: Sentences on how they were drawn.
    """

    files: Mapping[str, bytes]
    left_out: Mapping[str, str]
    notes: tuple[str, ...] = ()


class _Source:
    """What figures need, taken from a report or computed when the first figure asks for it."""

    def __init__(self, sweep: RankedSweep, report: Sections | None = None) -> None:
        self.sweep = sweep
        self._report = report

    @cached_property
    def statistics(self) -> Statistics:
        return self._report.statistics if self._report else compute_statistics(self.sweep)

    @cached_property
    def curves(self) -> Sequence[CurvePanel]:
        return self._report.panels if self._report else curve_panels(self.sweep)

    @cached_property
    def examples(self) -> Sequence[Example]:
        found = self._report.examples if self._report else examples(self.sweep)
        if not found:
            msg = "the results keep no test image with its raw output (table predictions)"
            raise NothingToDrawError(msg)
        return found


def draw_figures(report: Sections) -> FigureSet:
    """Draws every figure that the results have data for."""
    return _make(_Source(report.sweep, report), FIGURE_NAMES, FORMATS, DOTS_PER_INCH)


def make_figures(
    sweep: RankedSweep,
    *,
    names: Collection[str] = FIGURE_NAMES,
    formats: Sequence[str] = FORMATS,
    dots_per_inch: int = DOTS_PER_INCH,
    captions: bool = True,
) -> FigureSet:
    """Draws the named figures.

    Args:
        sweep: The results.
        names: Of `FIGURE_NAMES`.
        formats: Of `FORMATS`; the data beside a figure is always written.
        dots_per_inch: Of PNG files.
        captions: Whether each figure says below itself what it shows.
    """
    return _make(_Source(sweep), names, formats, dots_per_inch, captions=captions)


def _make(
    source: _Source,
    names: Collection[str],
    formats: Sequence[str],
    dots_per_inch: int,
    *,
    captions: bool = True,
) -> FigureSet:
    files: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    unknown: frozenset[str] = frozenset()
    with drawing_style(_names(source.sweep)):
        for name in FIGURE_NAMES:
            if name not in names:
                continue
            try:
                for drawn in _FIGURES[name](source):
                    if captions and drawn.caption:
                        add_caption(drawn)
                    unknown |= unknown_letters(drawn)
                    files |= save(drawn, formats, dots_per_inch)
            except NothingToDrawError as reason:
                left_out[name] = str(reason)
    notes = (lacking_note(unknown),) if unknown else ()
    return FigureSet(files=files, left_out=left_out, notes=notes)


def _names(sweep: RankedSweep) -> Iterator[str]:
    """Yields the names that figures show."""
    for axis in ("dataset", "model", "loss"):
        yield from (sweep.title(axis, label) for label in sweep.grid.blocks(axis))
    yield from map(str, column(sweep.predictions, "image").unique())
    yield sweep.metric


def _datasets(source: _Source) -> Iterator[Drawn]:
    if "dataset" not in source.sweep.trials:
        msg = "the results know no dataset"
        raise NothingToDrawError(msg)
    yield datasets_figure(source.sweep, source.examples)


def _heat(source: _Source, podium: Podium | None, axis: str, name: str) -> Iterator[Drawn]:
    if podium is None:
        msg = f"the results know no {axis}"
        raise NothingToDrawError(msg)
    yield heat_figure(source.sweep, podium, name)


def _panels(source: _Source) -> Iterator[Drawn]:
    """Yields the overview, one image a dataset, and every dataset's kept images."""
    by_dataset = {
        example.dataset: examples_like(source.sweep, example) for example in source.examples
    }
    if len(by_dataset) == 1:
        yield predictions_figure(source.sweep, next(iter(by_dataset.values())), "figure3")
        return
    yield predictions_figure(source.sweep, [panels[0] for panels in by_dataset.values()], "figure3")
    taken: set[str] = set()
    for dataset, panels in by_dataset.items():
        stem = file_stem("figure3", dataset, taken)
        taken.add(stem)
        yield predictions_figure(source.sweep, panels, stem)


_FIGURES: Mapping[str, Callable[[_Source], Iterator[Drawn]]] = {
    "figure1": _datasets,
    "figure2a": lambda source: iter([bars_figure(source.sweep)]),
    "figure2b": lambda source: _heat(
        source, source.sweep.ranking.by_dataset, "dataset", "figure2b"
    ),
    "figure2c": lambda source: _heat(source, source.sweep.ranking.by_model, "model", "figure2c"),
    "figure3": _panels,
    "podium": lambda source: iter([podium_figure(source.sweep)]),
    "blob_plot": lambda source: iter([blob_figure(source.sweep, source.statistics)]),
    "significance_map": lambda source: iter([significance_figure(source.sweep, source.statistics)]),
    "intervals": lambda source: iter([intervals_figure(source.sweep, source.statistics.certainty)]),
    "stacked_ranks": lambda source: iter([stacked_figure(source.sweep, source.statistics)]),
    "tau_violins": lambda source: iter([violins_figure(source.sweep, source.statistics)]),
    "ranking_heatmap": lambda source: iter([heatmap_figure(source.sweep)]),
    "podium_plot": lambda source: iter([podium_plot(source.sweep)]),
    "line_plot": lambda source: iter([methods_figure(source.sweep, source.statistics.methods)]),
    "curves": lambda source: iter([curves_figure(source.sweep, source.curves)]),
}
