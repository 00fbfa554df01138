"""Print: every text lies within its figure, none over another, none under 7 points."""

import dataclasses
import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from orchestrator.report.curves import curve_panels
from orchestrator.report.figures.bars import bars_figure
from orchestrator.report.figures.curves import curves_figure
from orchestrator.report.figures.heat import heat_figure
from orchestrator.report.figures.images import datasets_figure, predictions_figure
from orchestrator.report.figures.intervals import intervals_figure
from orchestrator.report.figures.methods import methods_figure, violins_figure
from orchestrator.report.figures.podium import podium_figure
from orchestrator.report.figures.ranks import blob_figure, heatmap_figure, stacked_figure
from orchestrator.report.figures.significance import significance_figure
from orchestrator.report.figures.spaghetti import podium_plot
from orchestrator.report.figures.style import (
    DOUBLE_COLUMN,
    SINGLE_COLUMN,
    add_caption,
    drawing_style,
    num_lines,
    text_width,
    wrap,
)
from orchestrator.report.predictions import examples, examples_like
from orchestrator.report.statistics import compute_statistics
from tests.unit.orchestrator.report.factory import arranged, make_data, renamed

LONG = {
    "loss": {"iou": "a_very_long_loss_name_with_underscores_2025", "dice": "Über $x_1$ & 50 %",
             "bce": r"{\tex} ^~#", "focal": "손실"},
    "model": {"unet": "Mein großes Modell (größer als alle anderen)", "fcn": r"$\alpha$_net"},
    "dataset": {"synthetic-skin": "Äußerst langer Datensatzname mit vielen Wörtern und Zahlen 2025",
                "synthetic-wound": "a_b$c$&d", "synthetic-endoscopy-wide": "x" * 60},
}  # fmt: skip


def holed(data):
    trials = data.trials.copy()
    trials.loc[trials.index[::17], "status"] = "diverged"
    return dataclasses.replace(data, trials=trials.drop(index=trials.index[[1, 40]]))


def small(num_datasets, num_models, num_losses, num_repeats):
    return make_data(num_datasets, num_models, num_losses, num_repeats, num_epochs=3, image_size=24)


CASES = {
    "four losses, two models": lambda: small(6, 2, 4, 2),
    "long names, holes": lambda: holed(renamed(small(6, 3, 10, 2), LONG)),
    "twelve models": lambda: small(6, 12, 10, 1),
    "one of each": lambda: small(1, 1, 1, 1),
}
SLOW = {"twelve models"}


def figures(data):
    sweep = arranged(data)
    found = compute_statistics(sweep)
    shown = examples(sweep)
    panels = [examples_like(sweep, example)[0] for example in shown]
    with drawing_style():
        drawn = [
            datasets_figure(sweep, shown),
            bars_figure(sweep),
            *(heat_figure(sweep, podium, podium.axis) for podium in sweep.ranking.podiums),
            predictions_figure(sweep, panels, "figure3"),
            podium_figure(sweep),
            curves_figure(sweep, curve_panels(sweep)),
        ]
        drawn.append(heatmap_figure(sweep))
        if found.certainty.pairs:
            drawn += [significance_figure(sweep, found), methods_figure(sweep, found.methods),
                      podium_plot(sweep)]  # fmt: skip
        if found.drawn:
            drawn += [draw(sweep, found) for draw in (blob_figure, stacked_figure, violins_figure)]
            drawn.append(intervals_figure(sweep, found.certainty))
        for one in drawn:
            if one.caption:
                add_caption(one)
            yield one


def labels_out_of_view(axes):
    """Returns labels that matplotlib holds and does not draw: of ticks beyond an axis."""
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        for tick in axis.get_major_ticks():
            if not min(limits) <= tick.get_loc() <= max(limits):
                yield from (tick.label1, tick.label2)


def texts_of(figure):
    """Returns [text, box in inches] of all that is written."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    undrawn = {id(label) for axes in figure.axes for label in labels_out_of_view(axes)}
    found = [
        text for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in undrawn
    ]  # fmt: skip
    return [(text, text.get_window_extent(renderer).transformed(figure.dpi_scale_trans.inverted()))
            for text in found]  # fmt: skip


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in CASES],
)
def test_texts_are_complete_separate_and_large_enough(case):
    for drawn in figures(CASES[case]()):
        width, height = drawn.figure.get_size_inches()
        assert SINGLE_COLUMN - 1e-6 <= width <= DOUBLE_COLUMN + 1e-6, drawn.name
        assert height <= 9.6, drawn.name
        with drawing_style():
            texts = texts_of(drawn.figure)
        assert texts
        for text, box in texts:
            assert text.get_fontsize() >= 7
            where = (drawn.name, text.get_text())
            assert box.x0 >= -0.005, where
            assert box.x1 <= width + 0.005, where
            assert box.y0 >= -0.005, where
            assert box.y1 <= height + 0.005, where
        for (first, one), (second, other) in itertools.combinations(texts, 2):
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            along = min(one.y1, other.y1) - max(one.y0, other.y0)
            # Boxes have air above and below the letters.
            assert across < 0.01 or along < 0.03, (drawn.name, first.get_text(), second.get_text())


def test_names_are_wrapped_where_they_may_be():
    with drawing_style():
        assert wrap("DiceFocal", 1) == "DiceFocal"
        assert wrap("DiceFocal", 0.4) == "Dice\nFocal"
        assert wrap("ISIC 2017", 0.4) == "ISIC\n2017"
        assert wrap("iou+focal", 0.35) == "iou+\nfocal"
        assert wrap("Name (3.76)", 0.45) == "Name\n(3.76)"
        lines = wrap("x" * 400, 0.5).split("\n")
        assert len(lines) == 6
        assert lines[-1].endswith("…")
        assert all(text_width(line) < 0.55 for line in lines)
        assert num_lines(wrap(" a\n b ", 1)) == 1
        assert wrap("differ (Nemenyi)", 0.6) == "differ\n(Nemenyi)"
