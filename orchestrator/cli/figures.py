"""`podium figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.output import console, print_json
from orchestrator.cli.results import is_table, require_results
from orchestrator.ranking.metrics import Metric, metric_of
from orchestrator.ranking.places import tie_rule
from orchestrator.ranking.table import check_metric, read_table
from orchestrator.report.data import ReportData, Sampling, arrange
from orchestrator.report.figures.files import FIGURE_NAMES, stale_figures
from orchestrator.wording import count_text, signs_text
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.report.figures import FigureSet

_FORMATS = ("png", "svg", "pdf")
_TEXTS = ("csv", "tex", "md")


def figures_command(
    target: str,
    out: Path | None,
    *,
    only: str | None,
    formats: str,
    metric: str,
    lower_is_better: bool | None,
    ties: str,
    protocol: str | None,
    dots_per_inch: int,
    captions: bool,
    as_json: bool,
) -> None:
    """Draws the study's figures of a store or of a table of means, and says where they are."""
    names = choose("--only", only, FIGURE_NAMES) if only else list(FIGURE_NAMES)
    kinds = choose("--format", formats, _FORMATS)
    check_metric(metric)
    measure = metric_of(metric, lower_is_better=lower_is_better)
    data, folder = _read(target, measure=measure, ties=ties, protocol=protocol)
    where = out or folder
    if where is None:
        msg = f"{target}: --out FOLDER: say where to write the figures on this machine"
        raise UserError(msg)
    from orchestrator.report.figures import make_figures

    sweep = arrange(data)
    found = make_figures(
        sweep, names=names, formats=kinds, dots_per_inch=dots_per_inch, captions=captions
    )
    _write(found, where, names, kinds)
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
        console().print(f"Note: {signs_text(note)}", soft_wrap=True, markup=False)
    for name, reason in found.left_out.items():
        console().print(f"{name}: left out: {signs_text(reason)}", soft_wrap=True, markup=False)
    for name in sorted({Path(name).stem for name in found.files}):
        suffixes = " ".join(Path(file).suffix for file in found.files if Path(file).stem == name)
        console().print(f"{name}: {suffixes}", soft_wrap=True, markup=False)
    files_text = count_text(len(found.files), "file")
    console().print(f"Figures: {files_text} in {where}", soft_wrap=True, markup=False)


def choose(option: str, text: str, known: Sequence[str]) -> list[str]:
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


def _read(
    target: str, *, measure: Metric, ties: str, protocol: str | None
) -> tuple[ReportData, Path | None]:
    """Returns what to draw, and the folder to draw it in unless another is given."""
    if is_table(target):
        if protocol:
            msg = f"--protocol {protocol}: {target} is a table and holds no protocols"
            raise UserError(msg)
        table = read_table(Path(target), metric=measure)
        return ReportData(trials=table, metric=measure, ties=tie_rule(ties)), Path("figures")
    from orchestrator.cli.report import read_report
    from orchestrator.store import Store

    store = Store(target)
    require_results(store)
    data = read_report(
        store, protocol=protocol, metric=measure, ties=tie_rule(ties), sampling=Sampling()
    )
    return data, None if "://" in store.name else Path(store.name) / "figures"


def _write(found: FigureSet, where: Path, names: Sequence[str], kinds: Sequence[str]) -> None:
    from workers.durable import replace_file

    try:
        where.mkdir(parents=True, exist_ok=True)
        for path in stale_figures(where, found.files, names, [*kinds, *_TEXTS]):
            path.unlink()
        for name, content in found.files.items():
            replace_file(where / name, content)
    except OSError as error:
        msg = (
            f"{error.filename or where}: cannot be written: {error.strerror}; choose another --out"
        )
        raise UserError(msg) from error
