"""Stand-ins for the trials that a race spared, so that losses are compared on the same splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from orchestrator.ranking.grid import Grid
from orchestrator.ranking.racing import paired_estimates
from orchestrator.ranking.scores import Scores


def with_stand_ins(scores: Scores, expected: Grid | Mapping[str, object] | int | None) -> Scores:
    """Returns the scores with what each spared trial is likely to have been: loss + split.

    A spared loss saw fewer splits than the others; plain means would compare the splits too. A
    combination none of whose trials is there stays empty.

    Args:
        scores: Of a raced grid, or of any other, which are returned as they are.
        expected: The grid or its document, which says what was spared.
    """
    grid = Grid.from_document(expected) if isinstance(expected, Mapping) else expected
    if not isinstance(grid, Grid) or not grid.spared or scores.spared_DMLR is not None:
        return scores
    where = [
        {label: place for place, label in enumerate(labels)}
        for labels in (scores.datasets, scores.models, scores.losses)
    ]
    spared: np.ndarray = np.zeros_like(scores.values_DMLR, dtype=bool)
    for dataset, model, loss, repeat in grid.spared:
        labels = (dataset, model, loss)
        place = [known.get(label) for known, label in zip(where, labels, strict=True)]
        if None not in place and repeat < spared.shape[3]:
            spared[place[0], place[1], place[2], repeat] = True
    spared &= np.isnan(scores.values_DMLR)
    estimates = paired_estimates(scores.values_DMLR, scores.finished_DMLR)
    spared &= ~np.isnan(estimates)
    return replace(
        scores,
        values_DMLR=np.where(spared, estimates, scores.values_DMLR),
        finished_DMLR=scores.finished_DMLR | (spared & scores.finished_DML[..., None]),
        spared_DMLR=spared,
    )
