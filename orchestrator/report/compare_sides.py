"""The two sweeps of a comparison: each checked and ranked on its own."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from orchestrator.ranking.metrics import in_percent
from orchestrator.ranking.podium import Ranking
from orchestrator.report.data import ReportData, Sweep, arrange
from orchestrator.wording import metric_title


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
        beside = ", ".join(filter(None, ["in %" if self.in_percent else "", stated]))
        return f"{metric_title(self.metric)} ({beside})" if beside else metric_title(self.metric)

    @property
    def in_percent(self) -> bool:
        """Whether a share is written as a percentage."""
        values = self.trials[self.metric].to_numpy(dtype=float)
        return self.ranking.measure.bounded and in_percent(values)

    @property
    def quantity(self) -> tuple[str, bool]:
        """What the metric measures and in which unit: Dice pooled over images is still Dice."""
        return self.metric.removesuffix("_pooled"), self.in_percent


def side(letter: str, place: str, data: ReportData) -> Side:
    """Checks and ranks one of the two.

    Raises:
        UserError: See `arrange`.
    """
    return Side(letter=letter, place=place, sweep=arrange(data))
