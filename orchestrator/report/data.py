"""What a report is made of, and the one order in which it shows everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.ranking.grid import Grid
from orchestrator.ranking.places import TieRule
from orchestrator.ranking.podium import Podium, Ranking, rank
from orchestrator.ranking.rows import podium_rows
from orchestrator.ranking.tables import prepare_trials
from orchestrator.report.titles import Titles, choose_titles
from workers.contract import UserError

TRIAL_KEY = ["dataset", "model", "loss", "repeat"]


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """The tables of a store, as the store's readers give them.

    Attributes:
        trials: Table `trials`; at least one row.
        epochs: Table `epochs`; may be empty.
        failures: Table `failures`; may be empty.
        predictions: Table `predictions`; may be empty.
        grid: The grid document: name, datasets, models, losses, repeats; None if unknown.
        titles: What to call labels; None takes the grid's, else the catalogues'.
        ties: Tie rule of the ranking.
        protocol: The protocol_id to show where the store holds several.
    """

    trials: pd.DataFrame
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    grid: Mapping[str, object] | None = None
    titles: Titles | None = None
    ties: TieRule = "split"
    protocol: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """What a report left on disk.

    Attributes:
        page: The page; open it in any browser.
        figures: PNG and SVG files beside it, by name.
    """

    page: Path
    figures: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The same tables checked, joined to one protocol and put in order.

    Attributes:
        name: Title of the page.
        trials: Sorted by dataset, model, loss, repeat; diverged trials have metrics 0.
        epochs: Only those of `trials`, sorted; `failures` and `predictions` likewise.
        losses: Labels, the best first: by dataset, else by model.
        has_grid: False where the expected trials are only inferred from those seen.
    """

    name: str
    trials: pd.DataFrame
    epochs: pd.DataFrame
    failures: pd.DataFrame
    predictions: pd.DataFrame
    grid: Grid
    ranking: Ranking
    titles: Titles
    losses: tuple[str, ...]
    has_grid: bool

    @property
    def main_podium(self) -> Podium:
        """The podium by dataset, or by model where no dataset is known."""
        return self.ranking.podiums[0]

    @property
    def num_present(self) -> int:
        """Number of committed trials, diverged ones included."""
        return len(self.trials)

    @property
    def num_diverged(self) -> int:
        """Number of trials that diverged."""
        return int((column(self.trials, "status") == "diverged").sum())

    def title(self, axis: str, label: object) -> str:
        """Returns what to call a label of `dataset`, `model` or `loss`."""
        return self.titles.of(axis, str(label))


def column(table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Returns a column, all None where the table lacks it."""
    if name in table:
        return table[name]
    return pd.Series([None] * len(table), index=table.index, dtype=object, name=name)


def arrange(data: ReportData) -> Sweep:
    """Checks and orders the tables; the same rows in any order give the same sweep.

    Raises:
        UserError: There is no trial yet, or the trials must not be ranked together.
    """
    if data.trials.empty:
        msg = (
            "report: there is no finished trial yet, so there is nothing to show; "
            "run `podium run CONFIG` first, and `podium status` to see how far it is"
        )
        raise UserError(msg)
    trials = _sorted(prepare_trials(data.trials, protocol=data.protocol))
    ranking = rank(trials, ties=data.ties, expected=data.grid)
    grid = Grid.around(trials, data.grid)
    protocols = set(column(trials, "protocol_id").dropna())
    failures = data.failures
    if protocols and "protocol_id" in failures:
        failures = failures[failures["protocol_id"].isin(protocols)]
    return Sweep(
        name=str((data.grid or {}).get("name") or "Sweep"),
        trials=trials,
        epochs=_sorted(_of_trials(data.epochs, trials), "epoch"),
        failures=_sorted(failures, "attempt"),
        predictions=_sorted(_of_trials(data.predictions, trials), "image"),
        grid=grid,
        ranking=ranking,
        titles=data.titles
        or choose_titles(
            datasets=grid.datasets,
            models=grid.models,
            losses=grid.losses,
            document=data.grid,
        ),
        losses=tuple(row.loss for row in podium_rows(ranking.podiums[0])),
        has_grid=data.grid is not None,
    )


def _of_trials(table: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    if "trial_id" not in table or "trial_id" not in trials:
        return table
    return table[table["trial_id"].isin(set(trials["trial_id"]))]


def _sorted(table: pd.DataFrame, *more: str) -> pd.DataFrame:
    keys = [name for name in (*TRIAL_KEY, *more, "trial_id") if name in table]
    return table.sort_values(keys, kind="stable", ignore_index=True) if keys else table
