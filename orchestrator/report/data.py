"""The tables of a report, and the same ranked and put in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.ranking.choices import TieRule
from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.metrics import Metric, metric_of
from orchestrator.ranking.podium import Podium, Ranking, podium_rows
from orchestrator.ranking.protocols import changed_code
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import Scores, scores_of
from orchestrator.ranking.siblings import siblings_query
from orchestrator.ranking.table import TrialTable
from orchestrator.target import Target
from orchestrator.titles import Titles, choose_titles
from orchestrator.wording import sentence_text

TRIAL_KEY = ["dataset", "model", "loss", "repeat"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Options of the certainty.

    Attributes:
        num_draws: Drawn new sweeps.
        seed: Seed of their random numbers.
        margin: Differences of the metric up to this count as equivalent in practice.
        level: Coverage of the intervals.
        alpha: Level of the test of all pairs.
    """

    num_draws: int = 2000
    seed: int = 0
    margin: float = 0.005
    level: float = 0.95
    alpha: float = 0.05


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """The tables of a store, as the store's readers give them.

    Attributes:
        trials: The checked trials of one protocol, and the metric to rank by.
        epochs: Table `epochs`; may be empty.
        failures: Table `failures`; may be empty.
        predictions: Table `predictions`; may be empty.
        siblings: Rows of `siblings_query` for the same metric; may be empty.
        grid: The grid document: name, datasets, models, losses, repeats; None if unknown.
        titles: Of labels; None takes those of the grid or of the catalogues.
        ties: Tie rule of the ranking.
        sampling: Options of the certainty.
        missing: A sentence for each table without the rows of some completed trials.
        name: Title of the page if the grid document has none.
    """

    trials: TrialTable
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    siblings: pd.DataFrame = field(default_factory=pd.DataFrame)
    grid: Mapping[str, object] | None = None
    titles: Titles | None = None
    ties: TieRule = "split"
    sampling: Sampling = field(default_factory=Sampling)
    missing: tuple[str, ...] = ()
    name: str = "Sweep"


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
    """The same tables, ranked and put in order.

    Attributes:
        name: Title of the page.
        table: The checked trials, sorted by dataset, model, loss, repeat.
        scores: The ranked metric of all trials.
        epochs: Only those of `trials`, sorted; `failures` and `predictions` likewise.
        losses: Labels, the best first: by dataset, or by model if no dataset is known.
        document: The grid document; None if the expected trials are inferred from the
            table.
        missing: A sentence for each table without the rows of some completed trials.
    """

    name: str
    table: TrialTable
    scores: Scores
    epochs: pd.DataFrame
    failures: pd.DataFrame
    predictions: pd.DataFrame
    siblings: pd.DataFrame
    ranking: Ranking
    titles: Titles
    losses: tuple[str, ...]
    document: Mapping[str, object] | None
    sampling: Sampling
    missing: tuple[str, ...]

    @property
    def trials(self) -> pd.DataFrame:
        """The rows of `table`; diverged trials have metrics 0."""
        return self.table.rows

    @property
    def recorded(self) -> bool:
        """Whether these are results of Podium, which record more of a trial than its numbers."""
        return "trial_id" in self.trials

    @property
    def grid(self) -> ExpectedTrials:
        """The trials that complete results have."""
        return self.scores.expected

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

    def ranked_by(self, metric: str) -> Ranking:
        """Returns the ranking by a column, which every trial must have."""
        if metric == self.metric:
            return self.ranking
        scores = scores_of(self.table.by(metric), self.grid)
        return rank(scores, ties=self.ranking.ties, agreement=False)

    def title(self, axis: str, label: object) -> str:
        """Returns the title of a label of `dataset`, `model` or `loss`."""
        return self.titles.of(axis, str(label))


def column(table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Returns a column; all None if the table lacks it."""
    if name in table:
        return table[name]
    return pd.Series([None] * len(table), index=table.index, dtype=object, name=name)


def report_data(target: Target, *, ties: TieRule, sampling: Sampling) -> ReportData:
    """Reads what a report shows; of a table in a file, only its trials are known."""
    data = ReportData(
        trials=target.table,
        grid=target.grid,
        ties=ties,
        sampling=sampling,
        missing=target.missing,
    )
    if target.store is None:
        return replace(data, name=Path(target.name).name)
    counts = target.store.query(siblings_query(target.table.metric.name)).to_pandas()
    return replace(
        data,
        epochs=target.store.read("epochs"),
        failures=target.store.read("failures"),
        predictions=target.store.read("predictions"),
        siblings=counts,
    )


def arrange(data: ReportData) -> RankedSweep:
    """Orders the tables and ranks the trials; rows in any order give the same sweep."""
    table = replace(data.trials, rows=_sorted(data.trials.rows))
    trials = table.rows
    # Only the tie rule `order` depends on the order in which a table without grid lists the losses.
    listed = data.trials if data.ties == "order" else table
    known = None if data.grid is None else ExpectedTrials.from_document(data.grid)
    scores = scores_of(listed, known)
    grid = scores.expected
    ranking = rank(scores, ties=data.ties)
    return RankedSweep(
        name=str((data.grid or {}).get("name") or data.name),
        table=table,
        scores=scores,
        epochs=_sorted(_of_trials(data.epochs, trials), "epoch"),
        failures=_sorted(_of_protocol(data.failures, trials), "attempt"),
        predictions=_sorted(_of_trials(data.predictions, trials), "image"),
        siblings=_of_trials(data.siblings, trials),
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
