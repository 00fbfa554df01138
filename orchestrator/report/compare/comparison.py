"""Comparison of two sweeps: before and after a change, two metrics, or two clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

from orchestrator.ranking.choices import ESTIMANDS, Estimand
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.report.compare.differences import (
    CellDifference,
    LossDifference,
    cell_differences,
    loss_differences,
)
from orchestrator.report.compare.sides import SettingDifferences, Side, compare_settings
from orchestrator.wording import count_of_text, count_text, list_text


@dataclass(frozen=True, kw_only=True)
class Movement:
    """One loss on both podiums; None on a side that lacks it."""

    loss: str
    place_a: int | None
    place_b: int | None
    points_a: float | None
    points_b: float | None
    mean_a: float | None
    mean_b: float | None

    @property
    def moved(self) -> int | None:
        """Places gained from A to B (negative: lost); None if one side lacks the loss."""
        if self.place_a is None or self.place_b is None:
            return None
        return self.place_a - self.place_b


@dataclass(frozen=True, kw_only=True)
class PodiumPair:
    """The podiums of one axis.

    Attributes:
        axis: `dataset` or `model`.
        rows: Losses in the order of B's podium; those only in A follow.
        tau: Kendall's tau-b between the points of the losses that both have; None with fewer
            than two, or if all losses of one side have equal points.
        num_common: Losses that both have.
    """

    axis: str
    rows: tuple[Movement, ...]
    tau: float | None
    num_common: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All results of a comparison.

    Attributes:
        podiums: One pair for each axis that both have.
        cells: Cells that both have; empty if the metrics are different quantities.
        losses: The same by loss.
        num_common_cells: Dataset, model and loss combinations that both have.
        num_only_a: Combinations that only A has; `num_only_b` only B.
        notes: Sentences on how to read the numbers.
    """

    a: Side
    b: Side
    podiums: tuple[PodiumPair, ...]
    cells: tuple[CellDifference, ...]
    losses: tuple[LossDifference, ...]
    settings: SettingDifferences
    num_common_cells: int
    num_only_a: int
    num_only_b: int
    notes: tuple[str, ...]

    def title(self, axis: str, label: object) -> str:
        """Returns the title of a label: that of B, or of A if B has none."""
        known = self.b.sweep.title(axis, label)
        return known if known != str(label) else self.a.sweep.title(axis, label)


def compare(a: Side, b: Side) -> Comparison:
    """Compares two ranked sweeps."""
    keys_a, keys_b = _keys(a), _keys(b)
    same_quantity = a.quantity == b.quantity
    cells = (
        cell_differences(a.trials, b.trials, metric_a=a.metric, metric_b=b.metric)
        if same_quantity
        else []
    )
    losses = tuple(loss_differences(cells, b.sweep.losses, b.ranking.measure))
    return Comparison(
        a=a,
        b=b,
        podiums=tuple(
            _podium_pair(first, second)
            for first in a.ranking.podiums
            for second in b.ranking.podiums
            if first.axis == second.axis
        ),
        cells=tuple(cells),
        losses=losses,
        settings=compare_settings(a, b),
        num_common_cells=len(keys_a & keys_b),
        num_only_a=len(keys_a - keys_b),
        num_only_b=len(keys_b - keys_a),
        notes=tuple(_notes(a, b, cells, losses, same_quantity=same_quantity)),
    )


def _keys(side: Side) -> set[tuple[str, ...]]:
    trials = side.trials
    axes = [name for name in ("dataset", "model", "loss") if name in trials]
    return set(zip(*(trials[name].astype(str) for name in axes), strict=True))


def _podium_pair(a: Podium, b: Podium) -> PodiumPair:
    rows_a = {row.loss: row for row in podium_rows(a)}
    rows_b = {row.loss: row for row in podium_rows(b)}
    common = [loss for loss in rows_b if loss in rows_a]
    rows = []
    for loss in dict.fromkeys((*rows_b, *rows_a)):
        one, other = rows_a.get(loss), rows_b.get(loss)
        rows.append(
            Movement(
                loss=loss,
                place_a=one.place if one else None,
                place_b=other.place if other else None,
                points_a=one.points if one else None,
                points_b=other.points if other else None,
                mean_a=one.mean if one else None,
                mean_b=other.mean if other else None,
            )
        )
    points = ([rows_a[loss].points for loss in common], [rows_b[loss].points for loss in common])
    return PodiumPair(axis=a.axis, rows=tuple(rows), tau=_tau(*points), num_common=len(common))


def _tau(a: list[float], b: list[float]) -> float | None:
    if len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(stats.kendalltau(a, b).statistic)


def _notes(
    a: Side,
    b: Side,
    cells: Sequence[CellDifference],
    losses: Sequence[LossDifference],
    *,
    same_quantity: bool,
) -> list[str]:
    notes = []
    if not same_quantity:
        notes.append(
            f"A is ranked by {a.metric_text} and B by {b.metric_text}: these are "
            "different quantities, so places are compared and means are not."
        )
    elif cells:
        notes.append(_pairing(cells))
        known = [cell for cell in cells if cell.difference.low is not None]
        if known:
            outside = sum(cell.difference.excludes_zero for cell in known)
            notes.append(
                f"{outside} of {count_text(len(known), 'interval')} of single combinations "
                f"{'excludes' if outside == 1 else 'exclude'} 0. Without any difference, about "
                f"{len(known) * 0.05:.0f} would. Each of them is for more repeats of its dataset "
                "and model."
            )
        notes += _interval_notes(losses, lambda loss: b.sweep.title("loss", loss))
    else:
        notes.append("A and B have no combination of dataset, model and loss in common.")
    notes += [f"{side.letter}: {note}" for side in (a, b) for note in side.ranking.notes]
    only = {one.letter: _only(one, other) for one, other in ((a, b), (b, a))}
    if any(only.values()):
        parts = [f"{list_text(names)} only in {key}" for key, names in only.items() if names]
        notes.append(f"Places count all losses of a sweep; {' and '.join(parts)}.")
    for side in (a, b):
        if side.sweep.main_podium.provisional:
            coverage = side.sweep.main_podium.coverage
            notes.append(
                f"{side.letter} is provisional: "
                f"{count_of_text(coverage.present, coverage.expected, 'trial')} are finished."
            )
        notes += [f"{side.letter}: {note}" for note in side.sweep.missing]
    return notes


def _interval_notes(losses: Sequence[LossDifference], title: Callable[[str], str]) -> list[str]:
    """Returns what the intervals of the losses are for, and which losses have none."""
    named: dict[Estimand, list[str]] = {}
    without = [title(entry.loss) for entry in losses if entry.estimand is None]
    for entry in losses:
        if entry.estimand is not None:
            named.setdefault(entry.estimand, []).append(title(entry.loss))
    notes = []
    groups = sorted(named.items(), key=lambda group: len(group[1]))
    for number, (about, names) in enumerate(groups, 1):
        whose = f"{'each of ' if len(names) > 1 else ''}{list_text(names, limit=len(names))}"
        if number == len(groups):
            whose = "each other loss" if number > 1 else "a loss"
        notes.append(
            f"The interval of {whose} is for {ESTIMANDS[about]}: it includes how much the "
            "difference varies over them."
        )
    if without:
        who = f"{list_text(without, limit=len(without))} {'have' if len(without) > 1 else 'has'}"
        notes.append(
            f"{who if named else 'The losses have'} no interval: it needs two datasets or more, "
            "each with the same models on both sides, and differences that are not all equal."
        )
    return notes


def _only(one: Side, other: Side) -> list[str]:
    """Returns the titles of the losses that the other sweep lacks."""
    known = set(other.sweep.losses)
    return [one.sweep.title("loss", loss) for loss in one.sweep.losses if loss not in known]


def _pairing(cells: Sequence[CellDifference]) -> str:
    paired = sum(cell.paired for cell in cells)
    if paired == len(cells):
        return (
            "Differences are paired: repeat, seed, split and data are equal, so both sides were "
            "tested on the same images."
        )
    why = "the two sides have different splits of the data, or their splits are unknown"
    if not paired:
        return f"Differences are not paired: {why}. This makes their intervals wider."
    return (
        f"Differences are paired in {paired} of {count_text(len(cells), 'combination')}; in the "
        f"others {why}."
    )


def answer_sentence(found: Comparison) -> str:
    """Returns the comparison in one sentence."""
    parts = []
    for pair in found.podiums:
        first = [found.title("loss", row.loss) for row in pair.rows if row.place_a == 1]
        second = [found.title("loss", row.loss) for row in pair.rows if row.place_b == 1]
        if first == second:
            verb = "leads" if len(first) == 1 else "lead"
            parts.append(f"by {pair.axis} {list_text(first)} {verb} in both")
        else:
            verbs = ["leads" if len(names) == 1 else "lead" for names in (first, second)]
            parts.append(
                f"by {pair.axis} {list_text(first)} {verbs[0]} in A and {list_text(second)} "
                f"{verbs[1]} in B"
            )
    if not parts:
        return "A and B have no axis in common."
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def to_json(found: Comparison) -> dict[str, Any]:
    """Returns everything as plain JSON values."""
    return {
        "answer": answer_sentence(found),
        "a": _side_json(found.a),
        "b": _side_json(found.b),
        "podiums": {
            pair.axis: {
                "kendall_tau": pair.tau,
                "num_common_losses": pair.num_common,
                "losses": [dataclasses.asdict(row) | {"moved": row.moved} for row in pair.rows],
            }
            for pair in found.podiums
        },
        "coverage": {
            "common_cells": found.num_common_cells,
            "cells_only_in_a": found.num_only_a,
            "cells_only_in_b": found.num_only_b,
        },
        "losses": [dataclasses.asdict(entry) for entry in found.losses],
        "cells": [dataclasses.asdict(cell) for cell in found.cells],
        "facts": {
            "num_compared": found.settings.num_compared,
            "differing": [dataclasses.asdict(fact) for fact in found.settings.differing],
        },
        "notes": list(found.notes),
    }


def _side_json(side: Side) -> Mapping[str, Any]:
    coverage = side.sweep.main_podium.coverage
    return {
        "place": side.place,
        "name": side.name,
        "metric": side.metric,
        "better": side.ranking.measure.better,
        "trials": coverage.to_json(),
        "provisional": side.sweep.main_podium.provisional,
    }
