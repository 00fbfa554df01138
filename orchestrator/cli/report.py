"""`podium report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.cli.output import console, print_json
from orchestrator.cli.results import finished_trials, grid_of, require_results
from orchestrator.ranking.metrics import Metric, as_metric
from orchestrator.ranking.siblings import siblings_query
from orchestrator.ranking.table import prepare_trials
from orchestrator.report.data import ReportData, Sampling
from orchestrator.store import Store
from workers.contract import UserError

if TYPE_CHECKING:
    from orchestrator.ranking.places import TieRule


def report_command(
    results: str,
    out: Path | None,
    *,
    protocol: str | None,
    metric: str,
    ties: str,
    sampling: Sampling,
    as_json: bool,
) -> None:
    """Writes the report of a store and says where it is."""
    from orchestrator.report.page import write_report

    store = Store(results)
    require_results(store)
    data = read_report(store, protocol=protocol, metric=metric, ties=ties, sampling=sampling)
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
    console().print(files.answer, soft_wrap=True, markup=False)
    for note in files.notes:
        console().print(f"Note: {note}", soft_wrap=True, markup=False)
    console().print(f"Report: {files.page}", soft_wrap=True, markup=False)
    if files.figures:
        where = files.figures[0].parent
        console().print(
            f"Figures: {len(files.figures)} files in {where}", soft_wrap=True, markup=False
        )


def read_report(
    store: Store, *, protocol: str | None, metric: str | Metric, ties: str, sampling: Sampling
) -> ReportData:
    """Returns what a report shows of a store.

    Raises:
        UserError: There is no finished trial, or the trials must not be ranked together.
    """
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
        ties=cast("TieRule", ties),
        protocol=protocol,
        sampling=sampling,
        missing=store.missing_details(set(chosen["trial_id"])),
    )


def _default_folder(store: Store) -> Path:
    if "://" in store.name:
        msg = f"{store.name}: --out FOLDER: say where to write the report on this machine"
        raise UserError(msg)
    return Path(store.name) / "report"
