"""The report of `podium tune`: one self-contained page, figures, and the best parameters."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from orchestrator.report.figures.search import search_figure
from orchestrator.report.figures.style import drawing_style, save
from orchestrator.report.rendering import render
from orchestrator.tune.results import SearchResult
from orchestrator.tune.studies import Candidate
from workers.contract import UserError
from workers.durable import replace_file

MAX_LISTED = 10
"""Candidates of a search that the page lists, the best first."""


@dataclass(frozen=True, kw_only=True)
class SearchFiles:
    """The files of the report."""

    page: Path
    figures: tuple[Path, ...]
    fragments: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """One search on the page."""

    finding: SearchResult
    picture: Markup
    importance: Mapping[str, float] | None
    listed: tuple[tuple[Candidate, float], ...]


def write_search_report(
    name: str,
    findings: Sequence[SearchResult],
    importances: Sequence[Mapping[str, float] | None],
    fragments: Mapping[str, str],
    out: Path,
) -> SearchFiles:
    """Writes out/index.html, out/figures and the fragments; the same store, the same bytes.

    Args:
        name: What the search is called.
        findings: Of every search.
        importances: Of the parameters of each, or None.
        fragments: Text by file name.
        out: The folder.

    Raises:
        UserError: The folder cannot be written.
    """
    shown: list[_Shown] = []
    figures: dict[str, bytes] = {}
    with drawing_style():
        for number, (finding, importance) in enumerate(zip(findings, importances, strict=True)):
            files = save(
                search_figure(finding, importance, _file_name(number, finding)), ("png", "svg"), 200
            )
            figures |= files
            png = next(data for key, data in files.items() if key.endswith(".png"))
            best_first = sorted(finding.ended, key=lambda pair: (-pair[1], pair[0].number))
            shown.append(
                _Shown(
                    finding=finding,
                    picture=Markup("data:image/png;base64," + base64.b64encode(png).decode()),
                    importance=importance,
                    listed=tuple(best_first[:MAX_LISTED]),
                )
            )
    page = render(
        "search.html.j2", losses=(), scripts=(), data=None, name=name, shown=shown,
        fragments=fragments,
    )  # fmt: skip
    folder = out / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for key, content in figures.items():
            replace_file(folder / key, content)
        for key, text in fragments.items():
            replace_file(out / key, text.encode())
        replace_file(out / "index.html", page.encode())
    except OSError as error:
        msg = f"{error.filename or out}: cannot be written: {error.strerror}; choose another --out"
        raise UserError(msg) from error
    return SearchFiles(
        page=out / "index.html",
        figures=tuple(folder / key for key in figures),
        fragments=tuple(out / key for key in fragments),
    )


def _file_name(number: int, finding: SearchResult) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "-", finding.study.label).strip("-")[:60]
    return f"search-{number + 1}-{words or 'loss'}"
