"""Tables for papers, as Markdown, LaTeX (booktabs) and CSV.

One table has a row per block, with the three best losses marked and the points below; the other has
a row per loss, with its difference to the best mean. Only the text is rounded, never the values.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.ranking.certainty import Certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.pairs import Interval
from orchestrator.ranking.podium import Podium
from orchestrator.ranking.podium_chances import PodiumCertainty
from orchestrator.safe_text import CsvWriter
from orchestrator.wording import (
    MISSING,
    decimal_text,
    interval_text,
    p_value_text,
    percent_text,
    points_text,
    probability_text,
    signed_text,
)

Title = Callable[[str, str], str]
"""Returns the title of a label on an axis: `dataset`, `model`, `loss` or `metric`."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One block and one loss.

    Attributes:
        mean: Unrounded; None without any trial.
        place: 1, 2 or 3; None for all other places. Tied losses share a place.
    """

    mean: float | None
    place: int | None


@dataclass(frozen=True, kw_only=True)
class BlockTable:
    """One podium as a table.

    Attributes:
        axis: `dataset` or `model`.
        metric: The column of the means.
        direction: The better direction; empty for a metric of the store.
        losses: Labels of the columns.
        rows: Label of a block and its cells, in the order of `losses`.
        points: Points of each loss, in the same order.
        points_intervals: Interval of the points of each loss in a new sweep, in the same order;
            empty without certainty.
        interval_name: What these intervals are.
        num_missing: Trials that are missing.
    """

    axis: str
    metric: str
    direction: str
    losses: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    points: tuple[int | float, ...]
    points_intervals: tuple[str, ...]
    interval_name: str
    num_missing: int


def block_table(
    podium: Podium,
    metric: str,
    losses: Sequence[str] | None = None,
    certainty: Certainty | None = None,
) -> BlockTable:
    """Returns the table of a podium by dataset or by model.

    Args:
        podium: The podium by dataset or by model.
        metric: The column of the means.
        losses: Order of the columns; by default that of the podium.
        certainty: Gives a row with the intervals of the points.
    """
    columns = tuple(losses or podium.points)
    known = certainty.podiums.get(podium.axis) if certainty else None
    intervals = points_intervals(known) if known else {}
    return BlockTable(
        axis=podium.axis,
        metric=metric,
        direction=podium.measure.stated,
        losses=columns,
        rows=tuple(
            (
                name,
                tuple(
                    Cell(
                        mean=block.means.get(loss),
                        place=place
                        if (place := block.places.get(loss, 4)) <= 3 and loss not in block.diverged
                        else None,
                    )
                    for loss in columns
                ),
            )
            for name, block in podium.blocks.items()
        ),
        points=tuple(podium.points[loss] for loss in columns),
        points_intervals=tuple(intervals.get(loss, MISSING) for loss in columns)
        if intervals
        else (),
        interval_name=f"{percent_text(certainty.level)}, new sweep" if certainty else "",
        num_missing=podium.coverage.expected - podium.coverage.present,
    )


def points_intervals(known: PodiumCertainty) -> dict[str, str]:
    """Returns the interval of the points of each loss in a new sweep, as text."""
    return {
        entry.loss: f"{points_text(interval.low)} to {points_text(interval.high)}"
        for entry in known.losses
        if (interval := entry.points_interval) is not None
    }


def to_markdown(table: BlockTable, *, title: Title) -> str:
    """Returns a Markdown table: 1st bold, 2nd underlined, 3rd in italics."""
    heads = [escape_markdown(title("loss", loss)) for loss in table.losses]
    lines = [
        f"| {table.axis} | {' | '.join(heads)} |",
        f"| --- |{' ---: |' * len(heads)}",
    ]
    wraps = {1: "**{}**", 2: "<u>{}</u>", 3: "*{}*", None: "{}"}
    for name, cells in table.rows:
        texts = (wraps[cell.place].format(_mean_text(cell)) for cell in cells)
        lines.append(f"| {escape_markdown(title(table.axis, name))} | {' | '.join(texts)} |")
    lines.append(f"| points | {' | '.join(points_text(points) for points in table.points)} |")
    if table.points_intervals:
        lines.append(f"| {table.interval_name} | {' | '.join(table.points_intervals)} |")
    if table.direction:
        lines += ["", f"{escape_markdown(title('metric', table.metric))}: {table.direction}."]
    return "\n".join(lines) + "\n"


def to_latex(table: BlockTable, *, title: Title) -> str:
    r"""Returns a LaTeX table environment that needs only `\usepackage{booktabs}`."""
    heads = [escape_latex(title("loss", loss)) for loss in table.losses]
    wraps = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", 3: r"\textit{{{}}}", None: "{}"}
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_caption(table, title)}}}",
        rf"\label{{tab:podium-{table.axis}-{re.sub('[^a-z0-9]+', '-', table.metric.lower())}}}",
        rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
        r"\toprule",
        rf"{table.axis} & {' & '.join(heads)} \\",
        r"\midrule",
    ]
    for name, cells in table.rows:
        texts = (wraps[cell.place].format(_mean_text(cell, "--")) for cell in cells)
        lines.append(rf"{escape_latex(title(table.axis, name))} & {' & '.join(texts)} \\")
    points = " & ".join(points_text(points) for points in table.points)
    lines += [r"\midrule", rf"points & {points} \\"]
    if table.points_intervals:
        intervals = " & ".join(table.points_intervals)
        lines.append(rf"{escape_latex(table.interval_name)} & {intervals} \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def loss_heads(certainty: Certainty, podium: Podium) -> tuple[str, ...]:
    """Returns the heads of the columns of `loss_rows`."""
    level = percent_text(certainty.level)
    return (
        "loss", f"mean {podium.measure.name}", "behind", f"{level} interval", f"{level}, all pairs",
        "p (Tukey)", "P(truly best)", "may be best",
    )  # fmt: skip


def loss_rows(certainty: Certainty, podium: Podium) -> list[tuple[str, ...]]:
    """Returns the label of each loss and the texts of its cells, the best mean first.

    `behind` is the best mean minus that of the loss, with the intervals and the p-value.

    Args:
        certainty: Of the differences between the losses, without a refusal.
        podium: Any podium of the same trials, for the means.
    """
    best = certainty.pairs[0].first
    pairs = {pair.second: pair for pair in certainty.pairs if pair.first == best}

    def cells(loss: str) -> tuple[str, ...]:
        pair = pairs.get(loss)
        p_best = certainty.p_best.get(loss)
        return (
            decimal_text(podium.means[loss]),
            signed_text(pair.difference) if pair else MISSING,
            span(pair.interval if pair else None),
            span(pair.simultaneous if pair else None),
            MISSING if pair is None or pair.p_tukey is None else p_value_text(pair.p_tukey),
            MISSING if p_best is None else probability_text(p_best),
            "yes" if loss in certainty.group else "no",
        )

    return [(loss, *cells(loss)) for loss in (best, *pairs)]


def span(interval: Interval | None) -> str:
    """Returns an interval of a difference as text, or the mark for a missing value."""
    return MISSING if interval is None else interval_text(interval.low, interval.high)


def losses_to_markdown(certainty: Certainty, podium: Podium, *, title: Title) -> str:
    """Returns a Markdown table with a row per loss, the best mean first."""
    heads = [escape_markdown(head) for head in loss_heads(certainty, podium)]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    lines += [
        f"| {escape_markdown(title('loss', loss))} | {' | '.join(cells)} |"
        for loss, *cells in loss_rows(certainty, podium)
    ]
    return "\n".join([*lines, "", _losses_caption(certainty)]) + "\n"


def losses_to_latex(certainty: Certainty, podium: Podium, *, title: Title) -> str:
    r"""Returns a LaTeX table with a row per loss; it needs only `\usepackage{booktabs}`."""
    heads = [escape_latex(head) for head in loss_heads(certainty, podium)]
    metric = re.sub("[^a-z0-9]+", "-", podium.measure.name.lower())
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escape_latex(_losses_caption(certainty))}}}",
        rf"\label{{tab:losses-{metric}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        rf"{' & '.join(heads)} \\",
        r"\midrule",
    ]
    for loss, *texts in loss_rows(certainty, podium):
        cells = " & ".join(_latex_cell(text) for text in texts)
        lines.append(rf"{escape_latex(title('loss', loss))} & {cells} \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _losses_caption(certainty: Certainty) -> str:
    return (
        f"How far each loss is behind the best mean, for {ESTIMANDS[certainty.estimand]}: "
        f"{percent_text(certainty.level)} interval of one pair and of all pairs at the same time, "
        "p-value of Tukey's test, and whether the loss cannot be told apart from the best."
    )


def _latex_cell(text: str) -> str:
    return "--" if text == MISSING else escape_latex(text)


def to_csv(tables: Sequence[BlockTable]) -> str:
    """Returns one row per block and loss, unrounded, and one row per loss with its points."""
    out = io.StringIO()
    writer = CsvWriter(out)
    writer.writerow(["axis", "block", "loss", "metric", "mean", "place", "points"])
    for table in tables:
        for name, cells in table.rows:
            for loss, cell in zip(table.losses, cells, strict=True):
                mean = "" if cell.mean is None else repr(cell.mean)
                writer.writerow([table.axis, name, loss, table.metric, mean, cell.place, ""])
        for loss, points in zip(table.losses, table.points, strict=True):
            writer.writerow([table.axis, "", loss, table.metric, "", "", points])
    return out.getvalue()


_SIGNS = {
    "×": r"\times", "−": "-", "±": r"\pm", "≤": r"\leq", "≥": r"\geq", "≈": r"\approx",
    "²": "^2", "°": r"^\circ", "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta",
    "ε": r"\varepsilon", "λ": r"\lambda", "μ": r"\mu", "σ": r"\sigma", "τ": r"\tau",
    "χ": r"\chi", "Δ": r"\Delta",
}  # fmt: skip
"""Signs that the usual fonts of LaTeX lack, as commands of its mathematics mode."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{sign: rf"\ensuremath{{{command}}}" for sign, command in _SIGNS.items()},
}


def escape_latex(text: str) -> str:
    """Returns text that LaTeX prints unchanged; line breaks become blanks."""
    return "".join(_LATEX.get(mark, mark) for mark in " ".join(text.split()))


def escape_markdown(text: str) -> str:
    """Returns text that a Markdown table prints unchanged; line breaks become blanks."""
    return re.sub(r"([\\`*_{}\[\]<>|~&#])", r"\\\1", " ".join(text.split()))


def _caption(table: BlockTable, title: Title) -> str:
    text = f"Mean {escape_latex(title('metric', table.metric))} by {table.axis}"
    better = f"{table.direction}; " if table.direction else ""
    text += f" ({better}best bold, second underlined, third italic) and podium points."
    if table.num_missing:
        text += f" Provisional: {table.num_missing} trials are missing."
    return text


def _mean_text(cell: Cell, missing: str = MISSING) -> str:
    return missing if cell.mean is None else decimal_text(cell.mean)
