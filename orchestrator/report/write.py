"""Writes a report: the page and its figures, each file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from orchestrator.report.content import collect
from orchestrator.report.data import ReportData, ReportFiles, arrange
from orchestrator.report.figures import draw_figures
from orchestrator.report.figures_files import stale_figures
from orchestrator.report.page import render_page
from workers.contract import UserError


def write_report(data: ReportData, out: Path) -> ReportFiles:
    """Writes out/index.html and out/figures with their data; the same store, the same bytes.

    Figures of an earlier report that have nothing to show any more are removed.

    Raises:
        UserError: There is no trial yet, trials must not be ranked together, or the folder
            cannot be written.
    """
    content = collect(arrange(data))
    drawn = draw_figures(content)
    figures = drawn.files
    page = render_page(content, list(figures))
    folder = out / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in stale_figures(folder, figures):
            path.unlink(missing_ok=True)
        for name, content_bytes in figures.items():
            write_file(folder / name, content_bytes)
        write_file(out / "index.html", page.encode())
    except OSError as error:
        msg = f"{error.filename or out}: cannot be written: {error.strerror}; choose another --out"
        raise UserError(msg) from error
    return ReportFiles(
        page=out / "index.html",
        figures=tuple(folder / name for name in figures),
        answer=content.answer.sentence,
        notes=(*content.sweep.missing, *drawn.notes),
    )


def write_file(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, readable for everyone.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes files that nobody else may read
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
