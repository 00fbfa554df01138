"""Places and points within one block: the study's 3, 2, 1, and four rules for ties."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

import numpy as np

from orchestrator.ranking.choices import TieRule
from workers.contract import UserError

TIE_RULES: tuple[TieRule, ...] = get_args(TieRule)
TIE_MEANINGS: Mapping[str, str] = {
    "split": "tied places share their points evenly",
    "min": "tied places all get the points of the best of them",
    "max": "tied places all get the points of the worst of them",
    "order": "of tied places the loss listed first is better",
}
TIE_NAMES: Mapping[str, TieRule] = {
    **{rule: rule for rule in TIE_RULES},
    "competition": "min",
    "modified": "max",
    "first": "order",
}
"""Every accepted name of a rule: that of Podium, and that of the literature on rankings."""

POINTS = (3, 2, 1)
"""Points of the 1st, 2nd and 3rd place (Jang and Ahn 2025, figure 2)."""

TIE_TOLERANCE = 1e-12
"""Means this near count as equal, so that the order of a summation never decides a place.

For means beyond 1 the tolerance grows with the largest of them. Neighbours within the tolerance
form one group, even if its ends are further apart: places, points and ranks follow `groups_of`.
"""


@dataclass(frozen=True, kw_only=True)
class Placing:
    """The order of the losses in one block.

    Attributes:
        order: Losses, best first; tied ones by name (by listing under `order`).
        places: Place of each loss, from 1; tied losses share the best place (`max`: the worst).
        ranks: Rank of each loss, from 1; tied losses share the mean of their places.
        points: Points of each loss, exact.
        ties: Groups of losses with equal means that touch the podium, each in `order`.
    """

    order: tuple[str, ...]
    places: Mapping[str, int]
    ranks: Mapping[str, float]
    points: Mapping[str, Fraction]
    ties: tuple[tuple[str, ...], ...]


def tie_rule(name: str) -> TieRule:
    """Returns the tie rule with this name.

    Raises:
        UserError: No rule has this name.
    """
    if name not in TIE_NAMES:
        rules = ", ".join(f"{rule} ({meaning})" for rule, meaning in TIE_MEANINGS.items())
        others = ", ".join(f"{other} = {rule}" for other, rule in TIE_NAMES.items())
        others = ", ".join(part for part in others.split(", ") if len(set(part.split(" = "))) > 1)
        msg = f"--ties {name}: no such rule; known: {rules}; also {others}"
        raise UserError(msg)
    return TIE_NAMES[name]


def place_losses(
    means: Mapping[str, float],
    *,
    ties: TieRule,
    listed: Sequence[str],
    diverged: Collection[str] = (),
) -> Placing:
    """Ranks losses by their mean, the highest first.

    Args:
        means: Mean of each loss that has one.
        ties: Tie rule.
        listed: Every loss in the order of the table.
        diverged: Losses none of whose trials finished: they share the place behind all other
            losses and get no points.
    """
    groups = equal_groups({loss: mean for loss, mean in means.items() if loss not in diverged})
    if ties == "order":
        position = {loss: number for number, loss in enumerate(listed)}
        groups = [sorted(group, key=position.__getitem__) for group in groups]
    ranked = [loss for group in groups for loss in group]
    behind = sorted(loss for loss in means if loss in diverged)
    places = dict.fromkeys(behind, len(ranked) + 1)
    points = dict.fromkeys(behind, Fraction(0))
    ranks = dict.fromkeys(behind, len(ranked) + (len(behind) + 1) / 2)
    touching: list[tuple[str, ...]] = []
    first = 1
    for group in groups:
        last = first + len(group) - 1
        if len(group) > 1 and first <= len(POINTS):
            touching.append(tuple(group))
        for offset, loss in enumerate(group):
            places[loss] = {"max": last, "order": first + offset}.get(ties, first)
            points[loss] = _share(first, last) if ties == "split" else _points(places[loss])
            ranks[loss] = (first + last) / 2
        first = last + 1
    return Placing(
        order=(*ranked, *behind), places=places, ranks=ranks, points=points, ties=tuple(touching)
    )


def groups_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorts values, and groups each value with the neighbours within the tolerance.

    Args:
        values: (..., N), the highest is best; -inf is behind all numbers, NaN behind -inf.

    Returns:
        Three arrays (..., N): the positions of the values, the best first, equal values in their
        given order; and for each position the 0-based first and last place of its group.
    """
    order = np.argsort(-values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    size = np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=-1, keepdims=True, initial=1)
    before, after = ordered[..., :-1], ordered[..., 1:]
    with np.errstate(invalid="ignore"):  # -inf beside -inf
        near = before - after <= TIE_TOLERANCE * size
    near |= (before == after) | (np.isnan(before) & np.isnan(after))
    places = np.arange(values.shape[-1])
    edge = np.ones((*values.shape[:-1], 1), dtype=bool)
    begins = np.concatenate([edge, ~near], axis=-1)[..., : len(places)]
    ends = np.concatenate([~near, edge], axis=-1)[..., -len(places) :]
    first = np.maximum.accumulate(np.where(begins, places, 0), axis=-1)
    backwards = np.where(ends, places, len(places))[..., ::-1]
    last = np.minimum.accumulate(backwards, axis=-1)[..., ::-1]
    if near.any():
        as_given = np.lexsort((order, first), axis=-1)
        order = np.take_along_axis(order, as_given, axis=-1)
    return order, first, last


def shared_ranks(values: np.ndarray) -> np.ndarray:
    """Returns ranks from 1 (highest) along the last axis; a group of equals shares its mean rank.

    NaN has no rank.
    """
    order, first, last = groups_of(values)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=-1)
    return np.where(np.isnan(values), np.nan, ranks)


def equal_groups(means: Mapping[str, float]) -> list[list[str]]:
    """Returns the losses in groups of equal means, the best group first."""
    names = sorted(means)
    order, first, _ = groups_of(np.array([means[name] for name in names], dtype=float))
    groups: dict[int, list[str]] = {}
    for position, start in zip(order.tolist(), first.tolist(), strict=True):
        groups.setdefault(start, []).append(names[position])
    return [sorted(group) for group in groups.values()]


def _points(place_from_1: int) -> Fraction:
    return Fraction(POINTS[place_from_1 - 1] if place_from_1 <= len(POINTS) else 0)


def _share(first: int, last: int) -> Fraction:
    shared = sum((_points(taken) for taken in range(first, last + 1)), start=Fraction(0))
    return shared / (last - first + 1)


def points_of(means: np.ndarray, *, ties: TieRule, listed: Sequence[int]) -> np.ndarray:
    """Returns the points of many blocks at once, as `place_losses` gives them.

    Args:
        means: (..., losses); NaN or -inf where a loss has no place.
        ties: Tie rule.
        listed: Positions of the losses in the order of the table.
    """
    values = means[..., listed]
    order, first, last = groups_of(values)
    if ties == "split":
        total = np.concatenate([[0], np.cumsum(POINTS)])
        steps = len(POINTS)
        shared = total[np.minimum(last + 1, steps)] - total[np.minimum(first, steps)]
        won = shared / (last - first + 1)
    else:
        # Equal values keep the order in which they are listed.
        own = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
        taken = {"min": first, "max": last, "order": own}[ties]
        won = np.array([*POINTS, 0])[np.minimum(taken, len(POINTS))].astype(float)
    points = np.empty(values.shape)
    np.put_along_axis(points, order, won, axis=-1)
    points[~np.isfinite(values)] = 0.0
    unlisted = np.empty_like(points)
    unlisted[..., listed] = points
    return unlisted
