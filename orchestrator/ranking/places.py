"""Places and points within one block: the study's 3, 2, 1, and four rules for ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal, get_args

from workers.contract import UserError

TieRule = Literal["split", "min", "max", "order"]
TIE_RULES: tuple[TieRule, ...] = get_args(TieRule)
TIE_MEANINGS: Mapping[str, str] = {
    "split": "tied places share their points evenly",
    "min": "tied places all get the points of the best of them",
    "max": "tied places all get the points of the worst of them",
    "order": "of tied places the loss listed first is better",
}

POINTS = (3, 2, 1)
"""Points of the 1st, 2nd and 3rd place (Jang and Ahn 2025, figure 2)."""

TIE_TOLERANCE = 1e-12
"""Means this near count as equal, so that the order of a summation never decides a place."""


@dataclass(frozen=True, kw_only=True)
class Placing:
    """The losses of one block in order.

    Attributes:
        order: Losses, best first; tied ones by name (by listing under `order`).
        places: Place of each loss, from 1; tied losses share the best one (`max`: the worst).
        points: Points of each loss, exact.
        ties: Groups of losses with equal means that touch the podium, each in `order`.
    """

    order: tuple[str, ...]
    places: Mapping[str, int]
    points: Mapping[str, Fraction]
    ties: tuple[tuple[str, ...], ...]


def check_tie_rule(ties: str) -> None:
    """Raises `UserError` unless the rule is known."""
    if ties not in TIE_RULES:
        rules = ", ".join(f"{rule} ({meaning})" for rule, meaning in TIE_MEANINGS.items())
        msg = f"--ties {ties}: no such rule; known: {rules}"
        raise UserError(msg)


def place(means: Mapping[str, float], *, ties: TieRule, listed: Sequence[str]) -> Placing:
    """Ranks losses by their mean, the highest first.

    Args:
        means: Mean of each loss that has one.
        ties: Who gets what when means are equal.
        listed: Every loss in the order of the table.
    """
    groups = _equal_groups(means)
    if ties == "order":
        groups = [sorted(group, key=listed.index) for group in groups]
    order = [loss for group in groups for loss in group]
    places: dict[str, int] = {}
    points: dict[str, Fraction] = {}
    touching: list[tuple[str, ...]] = []
    first = 1
    for group in groups:
        last = first + len(group) - 1
        if len(group) > 1 and first <= len(POINTS):
            touching.append(tuple(group))
        for offset, loss in enumerate(group):
            places[loss] = {"max": last, "order": first + offset}.get(ties, first)
            points[loss] = _share(first, last) if ties == "split" else _points(places[loss])
        first = last + 1
    return Placing(order=tuple(order), places=places, points=points, ties=tuple(touching))


def _equal_groups(means: Mapping[str, float]) -> list[list[str]]:
    """Returns the losses best first, those within the tolerance of their neighbour together."""
    descending = sorted(means, key=lambda loss: (-means[loss], loss))
    groups = [[loss] for loss in descending[:1]]
    for better, worse in pairwise(descending):
        if means[better] - means[worse] <= TIE_TOLERANCE:
            groups[-1].append(worse)
        else:
            groups.append([worse])
    return [sorted(group) for group in groups]


def _points(place_from_1: int) -> Fraction:
    return Fraction(POINTS[place_from_1 - 1] if place_from_1 <= len(POINTS) else 0)


def _share(first: int, last: int) -> Fraction:
    shared = sum((_points(taken) for taken in range(first, last + 1)), start=Fraction(0))
    return shared / (last - first + 1)
