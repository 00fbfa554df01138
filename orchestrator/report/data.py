"""The tables of a report, and the same checked, ranked and put in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.ranking.choices import TieRule
from orchestrator.ranking.coverage import Grid
from orchestrator.ranking.metrics import Metric, metric_of
from orchestrator.ranking.podium import Podium, Ranking, rank
from orchestrator.ranking.protocols import changed_code
from orchestrator.ranking.results import podium_rows
from orchestrator.ranking.table import prepare_trials
from orchestrator.titles import Titles, choose_titles
from orchestrator.wording import sentence_text
from workers.contract import UserError

TRIAL_KEY = ["dataset", "model", "loss", "repeat"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Options of the bootstrap and of the tests.

    Attributes:
        num_samples: Bootstrap samples.
        seed: Seed of their random numbers.
        margin: Differences of the metric up to this count as equivalent in practice.
        level: Fraction of samples inside an interval.
        alpha: Level of the significance tests.
    """

    num_samples: int = 2000
    seed: int = 0
    margin: float = 0.005
    level: float = 0.95
    alpha: float = 0.05


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """The tables of a store, as the store's readers give them.

    Attributes:
        trials: Table `trials`; at least one row.
        epochs: Table `epochs`; may be empty.
        failures: Table `failures`; may be empty.
        predictions: Table `predictions`; may be empty.
        siblings: Rows of `siblings_query` for the same metric; may be empty.
        grid: The grid document: name, datasets, models, losses, repeats; None if unknown.
        titles: Of labels; None takes those of the grid or of the catalogues.
        metric: Column to rank by, or its description by `metrics.metric_of`.
        ties: Tie rule of the ranking.
        protocol: The protocol_id to show if the results have several.
        sampling: Options of bootstrap and tests.
        missing: A sentence for each table without the rows of some completed trials.
    """

    trials: pd.DataFrame
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    siblings: pd.DataFrame = field(default_factory=pd.DataFrame)
    grid: Mapping[str, object] | None = None
    titles: Titles | None = None
    metric: str | Metric = "dice"
    ties: TieRule = "split"
    protocol: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """The files of a report.

    Attributes:
        page: The page, for any browser.
        figures: Files beside it, by name.
        answer: The result in one sentence.
        notes: Sentences on missing rows and on letters that no font has.
    """

    page: Path
    figures: tuple[Path, ...]
    answer: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RankedSweep:
    """The tables of one protocol: checked, ranked and put in order.

    Attributes:
        name: Title of the page.
        trials: Sorted by dataset, model, loss, repeat; diverged trials have metrics 0.
        epochs: Only those of `trials`, sorted; `failures` and `predictions` likewise.
        losses: Labels, the best first: by dataset, or by model if no dataset is known.
        document: The grid document; None if the expected trials are inferred from the
            table.
        missing: A sentence for each table without the rows of some completed trials.
    """

    name: str
    trials: pd.DataFrame
    epochs: pd.DataFrame
    failures: pd.DataFrame
    predictions: pd.DataFrame
    siblings: pd.DataFrame
    grid: Grid
    ranking: Ranking
    titles: Titles
    losses: tuple[str, ...]
    document: Mapping[str, object] | None
    sampling: Sampling
    missing: tuple[str, ...]

    @property
    def metric(self) -> str:
        """The ranked column."""
        return self.ranking.metric

    def measure(self, metric: str) -> Metric:
        """Returns direction and range of a column; the ranked one as stated by the user."""
        return self.ranking.measure if metric == self.metric else metric_of(metric)

    @property
    def has_grid(self) -> bool:
        """False if the expected trials are inferred from the table."""
        return self.document is not None

    @property
    def main_podium(self) -> Podium:
        """The podium by dataset, or by model if no dataset is known."""
        return self.ranking.podiums[0]

    @property
    def num_present(self) -> int:
        """Number of finished trials, with the diverged ones."""
        return len(self.trials)

    @property
    def num_diverged(self) -> int:
        """Number of trials that diverged."""
        return int((column(self.trials, "status") == "diverged").sum())

    def title(self, axis: str, label: object) -> str:
        """Returns the title of a label of `dataset`, `model` or `loss`."""
        return self.titles.of(axis, str(label))


def column(table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Returns a column; all None if the table lacks it."""
    if name in table:
        return table[name]
    return pd.Series([None] * len(table), index=table.index, dtype=object, name=name)


def arrange(data: ReportData) -> RankedSweep:
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
    prepared = prepare_trials(data.trials, metric=data.metric, protocol=data.protocol)
    trials = _sorted(prepared)
    # Only the rule `order` goes by the order in which a table without grid lists the losses.
    listed = prepared if data.ties == "order" else trials
    ranking = rank(listed, metric=data.metric, ties=data.ties, expected=data.grid)
    grid = Grid.around(trials, data.grid)
    return RankedSweep(
        name=str((data.grid or {}).get("name") or "Sweep"),
        trials=trials,
        epochs=_sorted(_of_trials(data.epochs, trials), "epoch"),
        failures=_sorted(_of_protocol(data.failures, trials), "attempt"),
        predictions=_sorted(_of_trials(data.predictions, trials), "image"),
        siblings=_of_trials(data.siblings, trials),
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
        document=data.grid,
        sampling=data.sampling,
        missing=data.missing,
    )


def _of_protocol(failures: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    protocols = set(column(trials, "protocol_id").dropna())
    if not protocols or "protocol_id" not in failures:
        return failures
    return failures[failures["protocol_id"].isin(protocols)]


def _of_trials(table: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    if "trial_id" not in table or "trial_id" not in trials:
        return table
    return table[table["trial_id"].isin(set(trials["trial_id"]))]


def _sorted(table: pd.DataFrame, *more: str) -> pd.DataFrame:
    keys = [name for name in (*TRIAL_KEY, *more, "trial_id") if name in table]
    return table.sort_values(keys, kind="stable", ignore_index=True) if keys else table


def surveyed(sweep: RankedSweep, label: str) -> tuple[str, ...]:
    """Returns sentences on the meaning of a dataset's masks, and the notes on its files."""
    survey = _surveys(sweep).get(label, {})
    notes = [str(note.get("sentence", "")) for note in _notes(survey)]
    return tuple(sentence_text(text) for text in (str(survey.get("masks") or ""), *notes) if text)


def answer_notes(sweep: RankedSweep) -> tuple[str, ...]:
    """Returns notes on incomplete datasets and on code that changed between trials."""
    incomplete = [
        f"Dataset {sweep.title('dataset', label)}: {note.get('sentence')}."
        for label, survey in _surveys(sweep).items()
        for note in _notes(survey)
        if note.get("kind") == "incomplete"
    ]
    changed = changed_code(column(sweep.trials, "versions").dropna())
    return (*incomplete, *map(sentence_text, changed))


def _surveys(sweep: RankedSweep) -> dict[str, Mapping[str, object]]:
    found = (sweep.document or {}).get("data")
    known = found if isinstance(found, Mapping) else {}
    return {
        str(label): survey
        for label in sweep.grid.datasets
        if isinstance(survey := known.get(label), Mapping)
    }


def _notes(survey: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = survey.get("notes")
    return [note for note in found if isinstance(note, Mapping)] if isinstance(found, list) else []
