"""Writes the report, the figures, the comparison of two sweeps and the report of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.ranking.choices import TieName
from orchestrator.ranking.metrics import is_known
from orchestrator.ranking.places import tie_rule
from orchestrator.report.compare.comparison import Comparison
from orchestrator.report.compare.comparison import compare as compare_sides
from orchestrator.report.compare.page import write_comparison
from orchestrator.report.compare.sides import Side, side
from orchestrator.report.data import ReportData, ReportFiles, Sampling, arrange, report_data
from orchestrator.report.figures.files import FIGURE_NAMES, FORMATS, TEXT_SUFFIXES, stale_figures
from orchestrator.target import read_target
from orchestrator.tune.results import fragments
from workers.catalogue import nearest
from workers.contract import UserError
from workers.durable import replace_file

if TYPE_CHECKING:
    from orchestrator.report.search_report import SearchFiles
    from orchestrator.tune.search import Search


def report(
    target: str | Path,
    out: str | Path | None = None,
    *,
    metric: str = "dice",
    lower_is_better: bool | None = None,
    protocol: str | None = None,
    ties: TieName = "split",
    margin: float = 0.005,
    num_draws: int = 2000,
    seed: int = 0,
) -> ReportFiles:
    """Writes one self-contained HTML page, and its figures as files.

    Args:
        target: Results, or a CSV or Parquet table with dataset and/or model, loss and the metric.
        out: Folder to write; by default `report` in the results, or in the working directory for a
            table.
        metric: The column to rank by.
        lower_is_better: Direction of a column whose name does not tell it.
        protocol: The protocol_id, or its beginning, if the results have several.
        ties: Rule for the points of tied places.
        margin: Differences up to this count as equivalent.
        num_draws: Drawn new sweeps, for the probabilities of the podium.
        seed: Seed of the draws.

    Raises:
        UserError: There is no finished trial, the trials cannot be ranked together, or the folder
            cannot be written.
    """
    from orchestrator.report.page import write_report  # with matplotlib, which `compare` needs not

    read = read_target(target, metric=metric, lower_is_better=lower_is_better, protocol=protocol)
    sampling = Sampling(num_draws=num_draws, seed=seed, margin=margin)
    data = report_data(read, ties=tie_rule(ties), sampling=sampling)
    return write_report(data, Path(out) if out else read.folder("report"))


@dataclass(frozen=True, kw_only=True)
class FigureFiles:
    """The files that `figures` wrote.

    Attributes:
        folder: The folder.
        names: Names of the files in it.
        left_out: Why a figure was not drawn, by its name.
        notes: Notes on the ranking, on missing rows, and on letters without a glyph.
    """

    folder: Path
    names: tuple[str, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]


def figures(
    target: str | Path,
    out: str | Path | None = None,
    *,
    only: Sequence[str] = FIGURE_NAMES,
    formats: Sequence[str] = FORMATS,
    metric: str = "dice",
    lower_is_better: bool | None = None,
    ties: TieName = "split",
    protocol: str | None = None,
    dots_per_inch: int = 300,
    captions: bool = True,
) -> FigureFiles:
    """Draws the study's figures, each with its data as files.

    Args:
        target: See `report`.
        out: Folder to write; by default `figures` in the results, or in the working directory for
            a table.
        only: Names of the figures, from `orchestrator.report.figures.files.FIGURE_NAMES`.
        formats: Any of `png`, `svg`, `pdf`.
        metric: See `report`.
        lower_is_better: See `report`.
        ties: See `report`.
        protocol: See `report`.
        dots_per_inch: Resolution of PNG files.
        captions: Whether each figure has a sentence below it that explains it.

    Raises:
        UserError: See `report`.
    """
    from orchestrator.report.figures.drawing import make_figures

    for name, known in [*((n, FIGURE_NAMES) for n in only), *((n, FORMATS) for n in formats)]:
        if name not in known:
            msg = f"{name}: unknown; {nearest(name, known)}"
            raise UserError(msg)
    read = read_target(target, metric=metric, lower_is_better=lower_is_better, protocol=protocol)
    folder = Path(out) if out else read.folder("figures")
    sweep = arrange(report_data(read, ties=tie_rule(ties), sampling=Sampling()))
    found = make_figures(
        sweep, names=only, formats=formats, dots_per_inch=dots_per_inch, captions=captions
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in stale_figures(folder, found.files, only, [*formats, *TEXT_SUFFIXES]):
            path.unlink()
        for name, content in found.files.items():
            replace_file(folder / name, content)
    except OSError as error:
        place = error.filename or folder
        msg = f"{place}: cannot be written: {error.strerror}; choose another --out"
        raise UserError(msg) from error
    return FigureFiles(
        folder=folder,
        names=tuple(found.files),
        left_out=found.left_out,
        notes=(*sweep.ranking.notes, *sweep.missing, *found.notes),
    )


def compare(
    a: str | Path,
    b: str | Path,
    out: str | Path | None = None,
    *,
    metric: str = "dice",
    metric_b: str | None = None,
    lower_is_better: bool | None = None,
    protocol_a: str | None = None,
    protocol_b: str | None = None,
    ties: TieName = "split",
) -> Comparison:
    """Compares two sweeps: podiums, differences and settings.

    Args:
        a: Results, or a CSV or Parquet table.
        b: Other results or another table; the same one is allowed.
        out: File of one self-contained HTML page; by default none is written.
        metric: The column to rank by.
        metric_b: The column to rank B by, if it has another name.
        lower_is_better: Direction of the columns whose names do not tell it.
        protocol_a: The protocol_id of A, or its beginning, if A has several.
        protocol_b: The same for B.
        ties: See `report`.

    Raises:
        UserError: See `report`.
    """
    metrics = (metric, metric_b or metric)
    unclear = [name for name in metrics if not is_known(name)]
    directions = dict.fromkeys(unclear or metrics, lower_is_better)
    sides = [
        _side(letter, str(target), name, directions.get(name), protocol, ties)
        for letter, target, name, protocol in zip(
            "AB", (a, b), metrics, (protocol_a, protocol_b), strict=True
        )
    ]
    found = compare_sides(sides[0], sides[1])
    if out is not None:
        write_comparison(found, Path(out))
    return found


def _side(
    letter: str,
    target: str,
    metric: str,
    lower_is_better: bool | None,
    protocol: str | None,
    ties: TieName,
) -> Side:
    try:
        read = read_target(
            target, metric=metric, lower_is_better=lower_is_better, protocol=protocol
        )
        data = ReportData(
            trials=read.table, grid=read.grid, ties=tie_rule(ties), missing=read.missing
        )
        return side(letter, target, data)
    except UserError as error:
        # The messages name the options of `podium rank`; here each side has its own options.
        option = {"A": "--metric ", "B": "--metric-b "}[letter]
        text = str(error).replace("--protocol", f"--protocol-{letter.lower()}")
        raise UserError(text.replace("--metric ", option)) from error


def report_search(search: Search, out: str | Path | None = None) -> SearchFiles:
    """Writes the report of searches: a page, its figures, and the best losses for a configuration.

    Args:
        search: From `orchestrator.tune.search.open_search`.
        out: Folder to write; by default `tuned` in the results.

    Raises:
        UserError: The folder cannot be written.
    """
    from orchestrator.report.search_report import write_search_report
    from orchestrator.tune.sampler import importances  # Optuna is for searches only

    results = search.results()
    return write_search_report(
        search.config.name,
        results,
        [importances(one.study, one.candidates) for one in results],
        fragments(results),
        Path(out) if out else search.folder(),
    )
