"""Dividing a dataset into train, validation and test: a pure function of seed and repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.contract import SplitUnit, UserError
from workers.seeding import derive_seed

PARTS = ("train", "validation", "test")
NUM_SHUFFLES = 8
"""Orders of the groups that are tried; the closest to the fractions is used. They are few, because
many would choose the same well-fitting groups for the test in every repeat."""

_Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Sample indices of each subset, ascending; together all samples, each once.

    Attributes:
        train: (num_train,) indices.
        val: (num_val,) indices.
        test: (num_test,) indices.
    """

    train: _Indices
    val: _Indices
    test: _Indices


def split_indices(
    groups: Sequence[str],
    fractions: tuple[float, float, float],
    *,
    unit: SplitUnit,
    seed: int,
    repeat: int,
    fixed_test: bool = False,
) -> Split:
    """Divides samples into three subsets.

    By image, the subsets have exactly the counts of the largest-remainder rule (an equal remainder
    goes to the earlier subset). Otherwise each group stays in one subset, and the subsets are as
    close to the fractions as the best of 8 random orders of the groups.

    Args:
        groups: Group of each sample; `unit="image"` uses only their number.
        fractions: Fractions of train, validation and test; they sum to 1.
        unit: Unit that is never divided.
        seed: Seed of the sweep.
        repeat: Number of the repeat, which draws its own split.
        fixed_test: Whether the test images depend on the seed alone, and a repeat divides only the
            others.

    Raises:
        UserError: A subset would be empty, or `unit="group"` and every image is a group of its own.
    """
    if unit == "group" and len(set(groups)) == len(groups):
        msg = (
            "data.split_unit: group: there is no group, because the layout names none and no two "
            "pictures are equal; set `similar` to keep near duplicates together, or `image`"
        )
        raise UserError(msg)
    whole = np.arange(len(groups))
    if not fixed_test:
        parts = _divide(whole, groups, fractions, PARTS, unit, derive_seed(seed, "split", repeat))
    else:
        train_and_val = fractions[0] + fractions[1]
        both = ("train and validation", PARTS[2])
        sizes = (train_and_val, fractions[2])
        others, test = _divide(whole, groups, sizes, both, unit, derive_seed(seed, "test", 0))
        sizes = (fractions[0] / train_and_val, fractions[1] / train_and_val)
        repeat_seed = derive_seed(seed, "split", repeat)
        parts = [*_divide(others, groups, sizes, PARTS[:2], unit, repeat_seed), test]
    train, val, test = (np.sort(part).astype(np.int64) for part in parts)
    return Split(train=train, val=val, test=test)


def _divide(
    images: _Indices,
    groups: Sequence[str],
    fractions: Sequence[float],
    names: Sequence[str],
    unit: SplitUnit,
    seed: int,
) -> list[_Indices]:
    """Divides some images; `groups` has the group of every image of the dataset."""
    rng = np.random.Generator(np.random.PCG64(seed))
    if unit == "image":
        parts = _split_images(len(images), fractions, names, rng)
    else:
        parts = _split_groups([groups[i] for i in images.tolist()], fractions, names, rng)
    return [images[part] for part in parts]


def largest_remainder(num: int, fractions: Sequence[float]) -> list[int]:
    """Returns whole counts that sum to `num`: 10 at .6, .2, .2 is 6, 2, 2."""
    # Rounded, because 0.6 * 5 and its like miss a whole number by an ulp.
    ideal = [round(num * fraction, 9) for fraction in fractions]
    counts = [int(share) for share in ideal]
    by_remainder = sorted(range(len(ideal)), key=lambda i: (counts[i] - ideal[i], i))
    for i in by_remainder[: num - sum(counts)]:
        counts[i] += 1
    return counts


def _split_images(
    num: int, fractions: Sequence[float], names: Sequence[str], rng: np.random.Generator
) -> list[_Indices]:
    counts = largest_remainder(num, fractions)
    for part, count, fraction in zip(names, counts, fractions, strict=True):
        if count == 0:
            msg = (
                f"data.split: {part} gets {fraction:g} of {num} images, which is none; "
                "raise its fraction or use more images"
            )
            raise UserError(msg)
    return np.split(rng.permutation(num), np.cumsum(counts)[:-1])


def _split_groups(
    groups: Sequence[str],
    fractions: Sequence[float],
    parts: Sequence[str],
    rng: np.random.Generator,
) -> list[_Indices]:
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < len(parts) or min(fractions) <= 0:
        msg = (
            f"data.split_unit: {len(names)} groups cannot fill train, validation and test at "
            f"fractions {fractions}; set `image`, or use data with at least {len(PARTS)} groups"
        )
        raise UserError(msg)
    # Names sort alike everywhere; ids by first appearance would make the order of files matter.
    sizes = np.bincount(group_of)
    targets = np.asarray(fractions) * len(groups)
    best: tuple[float, NDArray[np.intp], list[int]] | None = None
    for _ in range(NUM_SHUFFLES):
        order = rng.permutation(len(names))
        ends = _cut(sizes[order], targets)
        filled = np.add.reduceat(sizes[order], [0, *ends])
        distance = float(np.abs(filled - targets).sum())
        if best is None or distance < best[0]:
            best = (distance, order, ends)
    assert best is not None
    part_of_group = np.empty(len(names), dtype=np.int64)
    for part, members in enumerate(np.split(best[1], best[2])):
        part_of_group[members] = part
    return [np.flatnonzero(part_of_group[group_of] == part) for part in range(len(parts))]


def _cut(sizes: NDArray[np.intp], targets: NDArray[np.float64]) -> list[int]:
    """Returns where to cut a row of groups: nearest to the targets, with no empty subset."""
    filled = np.cumsum(sizes)
    ends: list[int] = []
    for part, wanted in enumerate(np.cumsum(targets)[:-1]):
        first = (ends[-1] if ends else 0) + 1
        last = len(sizes) - (len(targets) - 1 - part)
        candidates = np.arange(first, last + 1)
        ends.append(int(candidates[np.argmin(np.abs(filled[candidates - 1] - wanted))]))
    return ends
