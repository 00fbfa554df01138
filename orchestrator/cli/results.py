"""`podium compact`, `rank` and `report`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from orchestrator.cli.output import console, print_json, print_table
from orchestrator.engine.base import utc_now
from orchestrator.ranking.podium import Podium, Ranking, rank
from orchestrator.ranking.rows import podium_rows
from orchestrator.ranking.tables import prepare_trials, read_table
from orchestrator.report.wording import count_text
from orchestrator.store import Store
from workers.contract import UserError

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.ranking.places import TieRule

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".pq"})


def compact_command(results: str, as_json: bool) -> None:
    """Compacts a store and says what became of its files."""
    store = Store(results)
    _require_results(store)
    summary = store.compact(utc_now())
    if as_json:
        print_json({"tables": [dataclasses.asdict(table) for table in summary.tables]})
        return
    print_table(
        ["table", "rows", "files before", "files after", "bytes before", "bytes after"],
        [
            (
                t.table,
                t.num_rows,
                t.num_files_before,
                t.num_files_after,
                t.bytes_before,
                t.bytes_after,
            )
            for t in summary.tables
        ],
        title=store.place,
        numeric=frozenset({"rows", "files before", "files after", "bytes before", "bytes after"}),
    )


def rank_command(target: str, ties: str, metric: str, protocol: str | None, as_json: bool) -> None:
    """Ranks a store or a table."""
    rule = cast("TieRule", ties)
    path = Path(target)
    if path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir():
        if protocol:
            msg = f"--protocol {protocol}: {target} is a table and holds no protocols"
            raise UserError(msg)
        ranking = rank(read_table(path, metric=metric), metric=metric, ties=rule)
    else:
        store = Store(target)
        _require_results(store)
        trials = prepare_trials(
            _finished_trials(store), metric=metric, protocol=protocol, source=store.place
        )
        ranking = rank(trials, metric=metric, ties=rule, expected=grid_of(store, trials))
    if as_json:
        print_json(ranking.to_json())
    else:
        print_ranking(ranking)


def grid_of(store: Store, trials: pd.DataFrame) -> Mapping[str, object] | None:
    """Returns the newest grid that these trials belong to, or None."""
    protocols = set(trials["protocol_id"]) if "protocol_id" in trials else set()
    documents = [d for d in store.grids() if d.get("protocol_id") in protocols]
    return documents[-1] if documents else None


def print_ranking(ranking: Ranking) -> None:
    """Prints both podiums, their coverage and how to read them."""
    for podium in ranking.podiums:
        _print_podium(podium, ranking.metric)
    for note in ranking.notes:
        console().print(note, soft_wrap=True)


def _print_podium(podium: Podium, metric: str) -> None:
    rows = [
        (
            f"{row.place}{' =' if row.joint else ''}",
            row.loss,
            f"{row.points:g}",
            f"{row.num_first} / {row.num_second} / {row.num_third}",
            None if row.mean is None else f"{row.mean:.4f}",
        )
        for row in podium_rows(podium)
    ]
    coverage = podium.coverage
    state = " (provisional)" if podium.provisional else ""
    print_table(
        ["place", "loss", "points", "1st / 2nd / 3rd", f"mean {metric}"],
        rows,
        title=(
            f"By {podium.axis}: {count_text(len(podium.blocks), podium.axis)}, "
            f"{coverage.present:,} of {count_text(coverage.expected, 'trial')}{state}"
        ),
        numeric=frozenset({"points", f"mean {metric}"}),
    )
    if podium.num_ties:
        console().print(
            f"{count_text(podium.num_ties, 'tie')} on podium places; rule: {podium.ties}",
            soft_wrap=True,
        )


def report_command(results: str, out: Path | None, protocol: str | None) -> None:
    """Writes the report of a store and says where it is."""
    from orchestrator.report.data import ReportData
    from orchestrator.report.write import write_report

    store = Store(results)
    _require_results(store)
    trials = _finished_trials(store)
    chosen = prepare_trials(trials, protocol=protocol, source=store.place)
    data = ReportData(
        trials=trials,
        epochs=store.read("epochs"),
        failures=store.read("failures"),
        predictions=store.read("predictions"),
        grid=grid_of(store, chosen),
        protocol=protocol,
    )
    files = write_report(data, out or _default_folder(store))
    console().print(f"Report: {files.page}", soft_wrap=True)
    console().print(
        f"Figures: {len(files.figures)} files in {files.page.parent / 'figures'}", soft_wrap=True
    )


def _finished_trials(store: Store) -> pd.DataFrame:
    trials = store.read("trials")
    if trials.empty:
        msg = f"{store.place}: no trial is finished yet; podium status {store.place} tells more"
        raise UserError(msg)
    return trials


def _default_folder(store: Store) -> Path:
    if "://" in store.place:
        msg = f"{store.place}: --out FOLDER: say where to write the report on this machine"
        raise UserError(msg)
    return Path(store.place) / "report"


def _require_results(store: Store) -> None:
    if not store.grids() and store.read("trials", ["trial_id"]).empty:
        msg = f"{store.place}: no results here; expected a folder that `podium run` filled"
        raise UserError(msg)
