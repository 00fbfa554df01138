"""`podium report` and `podium figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.results import finished_trials, grid_of, is_table, require_results
from orchestrator.cli.shared import (
    HigherOption,
    JsonOption,
    LowerOption,
    MetricOption,
    ProtocolOption,
    ResultsArgument,
    TableArgument,
    TiesOption,
    local_path,
    lower_is_better,
    print_json,
    print_line,
)
from orchestrator.wording import count_text, signs_text
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.ranking.metrics import Metric
    from orchestrator.report.data import ReportData, Sampling
    from orchestrator.report.figures import FigureSet
    from orchestrator.store import Store


def report(
    results: ResultsArgument,
    out: Annotated[
        Path | None,
        typer.Option(parser=local_path, help="Folder to write; by default RESULTS/report."),
    ] = None,
    protocol: ProtocolOption = None,
    metric: MetricOption = "dice",
    ties: TiesOption = "split",
    margin: Annotated[
        float, typer.Option(min=0, help="Differences up to this count as equivalent.")
    ] = 0.005,
    samples: Annotated[
        int, typer.Option(min=100, max=100_000, help="Bootstrap samples of the certainty.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write one self-contained HTML page, and its figures as files."""
    from orchestrator.report.data import Sampling
    from orchestrator.report.page import write_report
    from orchestrator.store import Store

    store = Store(results)
    require_results(store)
    sampling = Sampling(num_samples=samples, seed=seed, margin=margin)
    data = _read_results(store, protocol=protocol, metric=metric, ties=ties, sampling=sampling)
    files = write_report(data, out or _default_folder(store))
    if as_json:
        print_json(
            {
                "page": str(files.page),
                "figures": [str(path) for path in files.figures],
                "answer": files.answer,
                "notes": list(files.notes),
            }
        )
        return
    print_line(files.answer)
    for note in files.notes:
        print_line(f"Note: {note}")
    print_line(f"Report: {files.page}")
    if files.figures:
        where = files.figures[0].parent
        print_line(f"Figures: {len(files.figures)} files in {where}")


def _read_results(
    store: Store, *, protocol: str | None, metric: str | Metric, ties: str, sampling: Sampling
) -> ReportData:
    """Returns the data of a report on a store.

    Raises:
        UserError: There is no finished trial, or the trials must not be ranked together.
    """
    from orchestrator.ranking.metrics import as_metric
    from orchestrator.ranking.places import tie_rule
    from orchestrator.ranking.siblings import siblings_query
    from orchestrator.ranking.table import prepare_trials
    from orchestrator.report.data import ReportData

    trials = finished_trials(store)
    chosen = prepare_trials(trials, metric=metric, protocol=protocol, source=store.name)
    return ReportData(
        trials=trials,
        epochs=store.read("epochs"),
        failures=store.read("failures"),
        predictions=store.read("predictions"),
        siblings=store.query(siblings_query(as_metric(metric).name)).to_pandas(),
        grid=grid_of(store, chosen),
        metric=metric,
        ties=tie_rule(ties),
        protocol=protocol,
        sampling=sampling,
        missing=store.missing_details(set(chosen["trial_id"])),
    )


def _default_folder(store: Store) -> Path:
    if "://" in store.name:
        msg = f"{store.name}: --out FOLDER: say where to write the report on this machine"
        raise UserError(msg)
    return Path(store.name) / "report"


def figures(
    target: TableArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            help="Folder to write; by default RESULTS/figures, for a table ./figures.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Some of 1, 2a, 2b, 2c, 3, podium, critical_difference, intervals, curves.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="KINDS", help="Some of png, svg, pdf.")
    ] = "png,svg,pdf",
    metric: MetricOption = "dice",
    lower: LowerOption = False,
    higher: HigherOption = False,
    ties: TiesOption = "split",
    protocol: ProtocolOption = None,
    dpi: Annotated[int, typer.Option(min=50, max=1200, help="Dots per inch of PNG files.")] = 300,
    captions: Annotated[
        bool, typer.Option(help="Write below each figure what it shows, or leave that to the text.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Draw the study's figures from these results, each with its data as files."""
    from orchestrator.ranking.metrics import metric_of
    from orchestrator.ranking.table import check_metric
    from orchestrator.report.data import arrange
    from orchestrator.report.figures import make_figures
    from orchestrator.report.figures.files import FIGURE_NAMES, FORMATS

    names = _choose("--only", only, FIGURE_NAMES) if only else list(FIGURE_NAMES)
    kinds = _choose("--format", formats, FORMATS)
    check_metric(metric)
    measure = metric_of(metric, lower_is_better=lower_is_better(lower, higher))
    data, folder = _read_target(target, measure=measure, ties=ties, protocol=protocol)
    where = out or folder
    if where is None:
        msg = f"{target}: --out FOLDER: say where to write the figures on this machine"
        raise UserError(msg)
    sweep = arrange(data)
    found = make_figures(sweep, names=names, formats=kinds, dots_per_inch=dpi, captions=captions)
    _write_figures(found, where, names, kinds)
    notes = [*sweep.ranking.notes, *sweep.missing, *found.notes]
    if as_json:
        files = [str(where / name) for name in found.files]
        print_json(
            {
                "folder": str(where),
                "files": files,
                "left_out": dict(found.left_out),
                "notes": notes,
            }
        )
        return
    for note in notes:
        print_line(f"Note: {signs_text(note)}")
    for name, reason in found.left_out.items():
        print_line(f"{name}: left out: {signs_text(reason)}")
    for name in sorted({Path(name).stem for name in found.files}):
        suffixes = " ".join(Path(file).suffix for file in found.files if Path(file).stem == name)
        print_line(f"{name}: {suffixes}")
    files_text = count_text(len(found.files), "file")
    print_line(f"Figures: {files_text} in {where}")


def _choose(option: str, text: str, known: Sequence[str]) -> list[str]:
    """Returns the known names that a comma-separated text chooses, in the order of `known`.

    `2b` is short for `figure2b`.

    Raises:
        UserError: A name is unknown, or there is none.
    """
    chosen = set()
    for part in text.split(","):
        word = part.strip().lower()
        name = word if word in known else f"figure{word.removeprefix('figure').strip()}"
        if name not in known:
            msg = f"{option} {text}: {part.strip()!r} is not known; choose from {', '.join(known)}"
            raise UserError(msg)
        chosen.add(name)
    return [name for name in known if name in chosen]


def _read_target(
    target: str, *, measure: Metric, ties: str, protocol: str | None
) -> tuple[ReportData, Path | None]:
    """Returns what to draw, and the folder to draw it in unless another is given."""
    from orchestrator.ranking.places import tie_rule
    from orchestrator.ranking.table import read_table
    from orchestrator.report.data import ReportData, Sampling
    from orchestrator.store import Store

    if is_table(target):
        if protocol:
            msg = f"--protocol {protocol}: {target} is a table and holds no protocols"
            raise UserError(msg)
        table = read_table(Path(target), metric=measure)
        return ReportData(trials=table, metric=measure, ties=tie_rule(ties)), Path("figures")
    store = Store(target)
    require_results(store)
    data = _read_results(store, protocol=protocol, metric=measure, ties=ties, sampling=Sampling())
    return data, None if "://" in store.name else Path(store.name) / "figures"


def _write_figures(
    found: FigureSet, where: Path, names: Sequence[str], kinds: Sequence[str]
) -> None:
    from orchestrator.report.figures.files import TEXT_SUFFIXES, stale_figures
    from workers.durable import replace_file

    try:
        where.mkdir(parents=True, exist_ok=True)
        for path in stale_figures(where, found.files, names, [*kinds, *TEXT_SUFFIXES]):
            path.unlink()
        for name, content in found.files.items():
            replace_file(where / name, content)
    except OSError as error:
        msg = (
            f"{error.filename or where}: cannot be written: {error.strerror}; choose another --out"
        )
        raise UserError(msg) from error
