"""Small tables as text, for tests of the ranking."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.scores import Scores, scores_of
from orchestrator.ranking.table import TrialTable, check_trials

TRIALS = """
dataset model loss repeat dice
wound   unet  iou  0      0.6
wound   unet  iou  1      0.8
wound   fcn   iou  0      0.4
wound   fcn   iou  1      0.4
wound   unet  bce  0      0.7
wound   unet  bce  1      0.7
wound   fcn   bce  0      0.1
wound   fcn   bce  1      0.2
"""


def frame(text: str) -> pd.DataFrame:
    """Makes a table of `a b 0.5` lines under a header line; numbers become numbers."""
    lines = [line.split() for line in text.strip().splitlines()]
    table = pd.DataFrame(lines[1:], columns=lines[0])
    for column in {"dice", "iou", "hd95", "repeat"} & set(table.columns):
        table[column] = table[column].astype(float)
    return table


def scored(
    table: pd.DataFrame | TrialTable,
    *,
    metric: str = "dice",
    expected: Mapping[str, object] | ExpectedTrials | None = None,
) -> Scores:
    """Makes the scores of a table; a frame is checked first, a grid document read."""
    checked = table if isinstance(table, TrialTable) else check_trials(table, metric=metric)
    if isinstance(expected, Mapping):
        expected = ExpectedTrials.from_document(expected)
    return scores_of(checked, expected)
