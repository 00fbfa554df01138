"""What `rank`, `figures`, `compare` and `report` read: results, or a table in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.images import (
    ImageScores,
    follows_from_counts,
    image_scores,
    images_query,
)
from orchestrator.ranking.metrics import ALL_METRICS, metric_of
from orchestrator.ranking.reading import TABLE_SUFFIXES
from orchestrator.ranking.table import TrialTable, check_metric, check_trials, read_table
from orchestrator.store import TABLES, Store
from workers.contract import UserError

RANKED_COLUMNS = (
    "protocol_id", "dataset", "model", "loss", "repeat", "status", "dataset_fingerprint", "spec",
)  # fmt: skip
"""Columns of the store's trials that a ranking reads, besides the metric."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Trials to rank, and what else is known of them.

    Attributes:
        name: The location of the results, or the file.
        table: The checked trials.
        grid: The newest grid document of these trials; None if there is none, as for a file.
        store: The results; None for a file.
    """

    name: str
    table: TrialTable
    grid: Mapping[str, object] | None = None
    store: Store | None = None

    @property
    def expected(self) -> ExpectedTrials | None:
        """The trials of the grid; None without a grid."""
        return None if self.grid is None else ExpectedTrials.from_document(self.grid)

    @property
    def missing(self) -> tuple[str, ...]:
        """A sentence for each table of the results in which completed trials lack rows."""
        return self.store.missing_details(set(self.table.rows["trial_id"])) if self.store else ()

    def image_scores(self, units: pd.DataFrame | None = None) -> ImageScores | None:
        """Returns the scores of single test images, for the certainty about other images.

        Args:
            units: Columns dataset, image and unit. Images of one patient or video share a unit; an
                image that is not in it is a unit of its own.

        Returns:
            None for a table in a file, and for a metric that does not follow from stored counts.

        Raises:
            UserError: `units` lacks a column, or the results cannot be read.
        """
        metric = self.table.metric.name
        if self.store is None or not follows_from_counts(metric):
            return None
        rows = self.table.rows
        found = self.store.query(images_query(metric), {"protocol": rows["protocol_id"].iloc[0]})
        return image_scores(
            found.to_pandas(), metric=metric, losses=tuple(rows["loss"].unique()), units=units
        )

    def folder(self, name: str) -> Path:
        """Returns the folder of this name in the results, or for a file in the working directory.

        Raises:
            UserError: The results are not on this machine.
        """
        if self.store is None:
            return Path(name)
        if "://" in self.name:
            msg = f"{self.name}: --out FOLDER: say where to write the {name} on this machine"
            raise UserError(msg)
        return Path(self.name) / name


def read_target(
    target: str | Path,
    *,
    metric: str = "dice",
    lower_is_better: bool | None = None,
    protocol: str | None = None,
    columns: Sequence[str] | None = None,
) -> Target:
    """Reads the finished trials of results, or a CSV, TSV or Parquet table, and checks them once.

    Args:
        target: A results folder or URI, or a file.
        metric: The column to rank.
        lower_is_better: Direction of a column whose name does not tell it; None leaves it to the
            name.
        protocol: The protocol_id, or its beginning, if the results have several.
        columns: Columns of the results to read besides the metric; all by default. A file is read
            whole.

    Raises:
        UserError: No finished trial, or a table that cannot be ranked; the message names the file,
            the column, the value and the remedy.
    """
    check_metric(metric)
    measure = metric_of(metric, lower_is_better=lower_is_better)
    path = Path(target)
    if path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir():
        if protocol:
            msg = f"--protocol {protocol}: {target} is a table without protocols; leave it out"
            raise UserError(msg)
        return Target(name=str(target), table=read_table(path, metric=measure))
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        msg = f"{target}: is a configuration; give its results, or a CSV or Parquet table"
        raise UserError(msg)
    store = Store(target)
    require_results(store)
    _check_column(metric)
    trials = store.read("trials", None if columns is None else [*columns, metric])
    if trials.empty:
        msg = f"{store.name}: no trial is finished yet; podium status {store.name} tells more"
        raise UserError(msg)
    table = check_trials(trials, metric=measure, protocol=protocol, source=store.name)
    return Target(name=store.name, table=table, grid=_grid_of(store, table.rows), store=store)


def require_results(store: Store) -> None:
    """Checks that there are results.

    Raises:
        UserError: The location has neither a grid nor a trial.
    """
    if not store.grids() and store.read("trials", ["trial_id"]).empty:
        msg = f"{store.name}: no results here; expected a folder that `podium run` filled"
        raise UserError(msg)


def _check_column(metric: str) -> None:
    if metric not in ALL_METRICS:
        known = ", ".join(ALL_METRICS)
        what = "is text" if metric in TABLES["trials"].column_names else "is no column of a store"
        msg = f"--metric {metric}: {what}; known metrics: {known}"
        raise UserError(msg)


def _grid_of(store: Store, trials: pd.DataFrame) -> Mapping[str, object] | None:
    """Returns the newest grid document of these trials, or None."""
    protocols = set(trials["protocol_id"]) if "protocol_id" in trials else set()
    documents = [d for d in store.grids() if d.get("protocol_id") in protocols]
    return _with_race(store, documents[-1]) if documents else None


def _with_race(store: Store, document: Mapping[str, object]) -> Mapping[str, object]:
    """Returns a grid document with the trials that its race spared and a sentence on the race."""
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
