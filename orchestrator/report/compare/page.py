"""The comparison of two sweeps as one self-contained page."""

from __future__ import annotations

from pathlib import Path

from orchestrator.report.compare.comparison import Comparison, answer_sentence
from orchestrator.report.compare.differences import CellDifference, Difference
from orchestrator.report.rendering import render
from orchestrator.wording import MISSING
from workers.contract import UserError
from workers.durable import replace_file

MAX_CELLS = 10_000
"""Largest number of listed combinations: those with the largest differences."""


def write_comparison(found: Comparison, out: Path) -> None:
    """Writes the page; the same two stores give the same bytes.

    Raises:
        UserError: The name does not end in .html, or the file cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        msg = f"--out {out}: the name must end in .html"
        raise UserError(msg)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, render_comparison(found).encode())
    except OSError as error:
        msg = f"{error.filename or out}: cannot be written: {error.strerror}; choose another --out"
        raise UserError(msg) from error


def render_comparison(found: Comparison) -> str:
    """Returns the page as HTML text; every name in it is escaped."""
    shown, left_out = _shown_cells(found)
    return render(
        "compare.html.j2",
        losses=dict.fromkeys((*found.a.sweep.grid.losses, *found.b.sweep.grid.losses)),
        scripts=("tables.js", "filter.js"),
        data=None,
        found=found,
        sentence=answer_sentence(found),
        cells=shown,
        num_left_out=left_out,
        reach=_reach([entry.difference for entry in found.losses]),
        moved_text=moved_text,
    )


def moved_text(moved: int | None) -> str:
    """Returns how a loss moved, such as `▲ 2`; `same` for 0."""
    if moved is None:
        return MISSING
    return "same" if not moved else f"{'▲' if moved > 0 else '▼'} {abs(moved)}"


def _shown_cells(found: Comparison) -> tuple[tuple[CellDifference, ...], int]:
    if len(found.cells) <= MAX_CELLS:
        return found.cells, 0
    ordered = sorted(found.cells, key=lambda cell: -abs(cell.difference.value))
    return tuple(ordered[:MAX_CELLS]), len(found.cells) - MAX_CELLS


def _reach(differences: list[Difference]) -> float:
    """Returns the largest distance of any interval's end from 0, and at least a little."""
    ends = [0.001]
    for difference in differences:
        ends += [
            abs(end)
            for end in (difference.value, difference.low, difference.high)
            if end is not None
        ]
    return max(ends)
