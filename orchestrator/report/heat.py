"""The heat tables: block by loss, mean of a metric, the three best marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.ranking.podium import Podium
from orchestrator.report.data import Sweep, column


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """One block and one loss.

    Attributes:
        mean: Unrounded mean of the metric; None without any trial.
        shade: 0 for the worst mean of its row, 1 for the best; 0.5 where all are equal.
        place: 1, 2 or 3, else None.
        joint: True where another loss of the row has the same place.
        num_present: Trials behind the mean.
        num_expected: Trials of the complete grid.
        num_diverged: Those that diverged.
    """

    mean: float | None
    shade: float
    place: int | None
    joint: bool
    num_present: int
    num_expected: int
    num_diverged: int


@dataclass(frozen=True, kw_only=True)
class HeatTable:
    """One axis by losses.

    Attributes:
        axis: `dataset` or `model`.
        losses: Labels of the columns.
        rows: Cells of each block, in the order of `losses`.
        points: Points of each loss over all blocks.
    """

    axis: str
    losses: tuple[str, ...]
    rows: Mapping[str, tuple[HeatCell, ...]]
    points: Mapping[str, int | float]

    @property
    def has_diverged(self) -> bool:
        """True where a mark for diverged trials needs its explanation."""
        return any(cell.num_diverged for row in self.rows.values() for cell in row)

    @property
    def has_partial(self) -> bool:
        """True where a mark for incomplete cells needs its explanation."""
        return any(
            0 < cell.num_present < cell.num_expected for row in self.rows.values() for cell in row
        )


def heat_table(sweep: Sweep, podium: Podium) -> HeatTable:
    """Returns the table of one podium's axis; columns are in the order of the main podium."""
    axis = podium.axis
    present = _counts(sweep, axis, diverged_only=False)
    diverged = _counts(sweep, axis, diverged_only=True)
    return HeatTable(
        axis=axis,
        losses=sweep.losses,
        rows={
            name: tuple(
                shaded_cell(
                    block.means,
                    block.places,
                    loss,
                    lower_is_better=podium.measure.lower_is_better,
                    num_present=present.get((name, loss), 0),
                    num_expected=sweep.grid.num_expected(**{axis: name, "loss": loss}),
                    num_diverged=diverged.get((name, loss), 0),
                )
                for loss in sweep.losses
            )
            for name, block in podium.blocks.items()
        },
        points=podium.points,
    )


def _counts(sweep: Sweep, axis: str, *, diverged_only: bool) -> dict[tuple[str, str], int]:
    trials = sweep.trials
    if diverged_only:
        trials = trials[column(trials, "status") == "diverged"]
    counts: dict[tuple[str, str], int] = {}
    for block, loss in zip(trials[axis], trials["loss"], strict=True):
        key = (str(block), str(loss))
        counts[key] = counts.get(key, 0) + 1
    return counts


def shaded_cell(
    means: Mapping[str, float],
    places: Mapping[str, int],
    loss: str,
    *,
    num_present: int,
    num_expected: int,
    num_diverged: int,
    lower_is_better: bool = False,
) -> HeatCell:
    """Returns one cell of a block with these means and places of its losses."""
    value, place = means.get(loss), places.get(loss)
    lowest, highest = min(means.values(), default=0.0), max(means.values(), default=0.0)
    spread = highest - lowest
    shade = 0.5 if value is None or not spread else (value - lowest) / spread
    return HeatCell(
        mean=value,
        shade=1 - shade if lower_is_better else shade,
        place=place if place is not None and place <= 3 else None,
        joint=list(places.values()).count(place) > 1 if place is not None else False,
        num_present=num_present,
        num_expected=num_expected,
        num_diverged=num_diverged,
    )
