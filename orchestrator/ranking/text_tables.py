"""Block x loss tables as Markdown, LaTeX (booktabs) and CSV: the three best marked, points below.

Only the text is rounded, never the ranked values.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.ranking.podium import Podium
from orchestrator.safe_text import CsvWriter
from orchestrator.wording import MISSING, decimal_text, points_text

Title = Callable[[str, str], str]
"""Returns the title of a label on an axis: `dataset`, `model`, `loss` or `metric`."""

MARKS = {1: "bold", 2: "underlined", 3: "italic"}
"""How LaTeX and Markdown mark the first three places."""


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
        num_missing: Trials that are missing.
    """

    axis: str
    metric: str
    direction: str
    losses: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    points: tuple[int | float, ...]
    num_missing: int


def block_table(podium: Podium, metric: str, losses: Sequence[str] | None = None) -> BlockTable:
    """Returns the table of a podium by dataset or by model.

    Args:
        podium: The podium by dataset or by model.
        metric: The column of the means.
        losses: Order of the columns; by default that of the podium.
    """
    columns = tuple(losses or podium.points)
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
        num_missing=podium.coverage.expected - podium.coverage.present,
    )


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
    lines += [
        r"\midrule",
        rf"points & {points} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


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
