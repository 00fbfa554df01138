"""`podium compact`, and how the commands on results open them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.output import print_json, print_table
from orchestrator.engine.base import utc_now
from orchestrator.ranking.reading import TABLE_SUFFIXES
from orchestrator.store import Store
from workers.contract import UserError

if TYPE_CHECKING:
    import pandas as pd


def compact_command(results: str, as_json: bool) -> None:
    """Compacts a store and says what became of its files."""
    store = Store(results)
    require_results(store)
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
        title=store.name,
        numeric=frozenset({"rows", "files before", "files after", "bytes before", "bytes after"}),
    )


def is_table(target: str) -> bool:
    """Returns whether a target is a file with a table, and not a place with results."""
    path = Path(target)
    return path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir()


def grid_of(store: Store, trials: pd.DataFrame) -> Mapping[str, object] | None:
    """Returns the newest grid that these trials belong to, or None."""
    protocols = set(trials["protocol_id"]) if "protocol_id" in trials else set()
    documents = [d for d in store.grids() if d.get("protocol_id") in protocols]
    return with_race(store, documents[-1]) if documents else None


def with_race(store: Store, document: Mapping[str, object]) -> Mapping[str, object]:
    """Returns a grid document that also says which trials a race spared, and how sure it was."""
    config = document.get("config")
    if not isinstance(config, Mapping) or config.get("policy") != "race":
        return document
    from orchestrator.sweep import plan_of_document

    plan = plan_of_document(store, document)
    if plan.race is None:
        return document
    spared = [
        [trial.spec.dataset.label, trial.spec.model.label, trial.spec.loss.label, trial.spec.repeat]
        for trial in plan.trials
        if trial.held_back and plan.race.over
    ]
    return {**document, "spared": spared, "race": plan.race.sentence()}


def finished_trials(store: Store) -> pd.DataFrame:
    """Returns the trials of a store.

    Raises:
        UserError: There is none yet.
    """
    trials = store.read("trials")
    if trials.empty:
        msg = f"{store.name}: no trial is finished yet; podium status {store.name} tells more"
        raise UserError(msg)
    return trials


def require_results(store: Store) -> None:
    """Refuses a place that no sweep has filled.

    Raises:
        UserError: Neither a grid nor a trial is there.
    """
    if not store.grids() and store.read("trials", ["trial_id"]).empty:
        msg = f"{store.name}: no results here; expected a folder that `podium run` filled"
        raise UserError(msg)
