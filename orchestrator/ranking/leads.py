"""Which loss leads a podium without one dataset, one model or one loss (leave one out)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from orchestrator.ranking.choices import Compare, PodiumAxis, TieRule
from orchestrator.ranking.places import points_of
from orchestrator.ranking.scores import Scores, block_means, mean_over
from workers.contract import JSONValue


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The leaders of each podium without one dataset, model or loss.

    Attributes:
        axis: `dataset`, `model` or `loss`: what is left out.
        label: The one that is left out.
        leaders: By podium: the losses with the most points, joint leaders by name; empty if no loss
            has points.
    """

    axis: str
    label: str
    leaders: Mapping[PodiumAxis, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Leads:
    """The leaders of each podium, with everything and without each dataset, model and loss.

    Attributes:
        leaders: By podium, with everything.
        without: One entry per dataset, model and loss; none of an axis of which too few would be
            left (no dataset, no model, or one loss).
    """

    leaders: Mapping[PodiumAxis, tuple[str, ...]]
    without: tuple[Lead, ...]

    def changes(self, podium: PodiumAxis) -> dict[tuple[str, ...], list[Lead]]:
        """Returns the entries that have other leaders of a podium, by those leaders.

        Joint leaders that go on without one of them are the same leaders. An entry without the only
        leader is no change: another loss must lead then.
        """
        found: dict[tuple[str, ...], list[Lead]] = {}
        for lead in self.without:
            left = tuple(loss for loss in self.leaders[podium] if loss != lead.label)
            kept = left if lead.axis == "loss" else self.leaders[podium]
            if kept and lead.leaders[podium] != kept:
                found.setdefault(lead.leaders[podium], []).append(lead)
        return found

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the leaders as plain JSON values."""
        return asdict(self)


def leads(scores: Scores, *, ties: TieRule = "split", compare: Compare = "available") -> Leads:
    """Ranks the losses without each dataset, each model and each loss.

    Args:
        scores: All trials.
        ties: See `rank`.
        compare: See `rank`.
    """
    # A block's mean uses the means over repeats alone, so one repeat with these means is enough.
    cells = replace(
        scores,
        values_DMLR=mean_over(scores.values_DMLR, 3)[..., None],
        finished_DMLR=scores.finished_DML[..., None],
    )
    return Leads(
        leaders=_leaders(cells, ties, compare),
        without=tuple(
            Lead(axis=axis, label=label, leaders=_leaders(rest, ties, compare))
            for axis, label, rest in _left_out(cells)
        ),
    )


def _left_out(cells: Scores) -> Iterator[tuple[str, str, Scores]]:
    """Yields what is left out (axis and label), and the rest."""
    for number, axis in enumerate(("dataset", "model", "loss")):
        labels = cells.losses if axis == "loss" else cells.labels(axis)
        if len(labels) < (3 if axis == "loss" else 2):
            continue
        for position, label in enumerate(labels):
            rest = labels[:position] + labels[position + 1 :]
            yield (
                axis,
                label,
                replace(
                    cells,
                    datasets=rest if axis == "dataset" else cells.datasets,
                    models=rest if axis == "model" else cells.models,
                    losses=rest if axis == "loss" else cells.losses,
                    values_DMLR=np.delete(cells.values_DMLR, position, axis=number),
                    finished_DMLR=np.delete(cells.finished_DMLR, position, axis=number),
                ),
            )


def _leaders(cells: Scores, ties: TieRule, compare: Compare) -> dict[PodiumAxis, tuple[str, ...]]:
    points: dict[PodiumAxis, np.ndarray] = {}
    for axis in cells.axes:
        means_BL, finished_BL = block_means(cells, axis, compare)
        placed_BL = np.where(finished_BL, means_BL, np.nan)
        points_BL = points_of(placed_BL, ties=ties, listed=cells.listed_positions)
        points[axis] = points_BL.sum(axis=0)
    if len(points) == 2:
        points["both"] = points["dataset"] + points["model"]
    return {
        axis: tuple(
            loss
            for loss, own in zip(cells.losses, np.round(points_L, 9), strict=True)
            if own and own == np.round(points_L, 9).max()
        )
        for axis, points_L in points.items()
    }
