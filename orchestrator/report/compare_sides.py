"""The two sweeps of a comparison: each checked and ranked on its own."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from orchestrator.ranking.podium import Ranking
from orchestrator.report.data import ReportData, Sweep, arrange
from orchestrator.report.wording import metric_title


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two.

    Attributes:
        letter: `A` or `B`.
        place: Folder, URI or file.
        sweep: Its trials and ranking.
    """

    letter: str
    place: str
    sweep: Sweep

    @property
    def trials(self) -> pd.DataFrame:
        """The checked trials."""
        return self.sweep.trials

    @property
    def ranking(self) -> Ranking:
        """Both podiums."""
        return self.sweep.ranking

    @property
    def name(self) -> str:
        """What the sweep is called."""
        return self.sweep.name

    @property
    def metric(self) -> str:
        """The ranked column."""
        return self.sweep.metric

    @property
    def metric_text(self) -> str:
        """What to call the ranked column; with its direction where no store has it."""
        stated = self.ranking.measure.stated
        return f"{metric_title(self.metric)} ({stated})" if stated else metric_title(self.metric)


def side(letter: str, place: str, data: ReportData) -> Side:
    """Checks and ranks one of the two.

    Raises:
        UserError: See `arrange`.
    """
    return Side(letter=letter, place=place, sweep=arrange(data))
