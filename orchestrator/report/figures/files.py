"""Names of figure files, and the data of a figure as CSV, LaTeX and Markdown."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from orchestrator.ranking.text_tables import escape_latex, escape_markdown
from orchestrator.safe_text import CsvWriter

FIGURE_NAMES = (
    "figure1", "figure2a", "figure2b", "figure2c", "figure3",
    "podium", "blob_plot", "significance_map", "intervals", "stacked_ranks", "tau_violins",
    "ranking_heatmap", "podium_plot", "line_plot", "curves",
)  # fmt: skip
"""Every figure; `figure3` also exists for each dataset, as `figure3_DATASET`."""

FORMATS = ("png", "svg", "pdf")
TEXT_SUFFIXES = ("csv", "tex", "md")
"""Files of the data of a figure."""

_EARLIER = (
    "heat_by_dataset", "heat_by_model", "learning_curves", "predictions", "critical_difference",
)  # fmt: skip


def stale_figures(
    folder: Path,
    files: Collection[str],
    names: Collection[str] = (*FIGURE_NAMES, *_EARLIER),
    suffixes: Collection[str] = (*FORMATS, *TEXT_SUFFIXES),
) -> list[Path]:
    """Returns files of earlier figures that do not belong to the new ones.

    Args:
        folder: Where the figures are.
        files: Names of the new files.
        names: Figures that were drawn.
        suffixes: Kinds of file that were written.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.name not in files
        and path.suffix[1:] in suffixes
        and (path.stem in names or ("figure3" in names and path.stem.startswith("figure3_")))
    )


def file_stem(prefix: str, label: str, taken: Collection[str]) -> str:
    """Returns prefix_label as a file name of plain letters that is not taken yet."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", label).strip("-.")[:60] or "dataset"
    stem, number = f"{prefix}_{plain}", 2
    while stem.lower() in {name.lower() for name in taken}:
        stem, number = f"{prefix}_{plain}-{number}", number + 1
    return stem


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a CSV table; None is an empty field, a number has all its digits."""
    out = io.StringIO()
    writer = CsvWriter(out)
    writer.writerow(columns)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return out.getvalue()


def _plain(value: object) -> object:
    return repr(float(value)) if isinstance(value, float) else value


def table_texts(
    columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, num_names: int = 1
) -> dict[str, str]:
    """Returns a table as LaTeX (booktabs) and Markdown.

    Args:
        columns: Heads.
        rows: Texts of the cells.
        caption: Of the LaTeX table.
        num_names: Columns of names at the left; the others are numbers.
    """
    num_values = len(columns) - num_names
    lines = [
        f"| {' | '.join(escape_markdown(name) for name in columns)} |",
        f"|{' --- |' * num_names}{' ---: |' * num_values}",
        *(f"| {' | '.join(escape_markdown(cell) for cell in row)} |" for row in rows),
    ]
    latex = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * num_names}{'r' * num_values}}}",
        r"\toprule",
        _latex_row(columns),
        r"\midrule",
        *(_latex_row(row) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return {"tex": "\n".join(latex) + "\n", "md": "\n".join(lines) + "\n"}


def _latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(escape_latex(cell) for cell in cells)} \\"
