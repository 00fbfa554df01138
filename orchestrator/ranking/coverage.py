"""What a complete table would hold, and how much of it is there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from workers.contract import JSONValue, UserError

_KEYS = {"dataset": "datasets", "model": "models", "loss": "losses"}


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Number of trials present and expected."""

    present: int
    expected: int

    @property
    def complete(self) -> bool:
        """True when nothing is missing."""
        return self.present >= self.expected

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the two numbers."""
        return {"present": self.present, "expected": self.expected}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The axes of a full product, by label.

    Attributes:
        datasets: Labels; empty where the table knows no dataset.
        models: Labels; empty where the table knows no model.
        losses: Labels.
        num_repeats: Trials of each combination.
        spared: Dataset, model, loss and repeat of the trials that a race did without.
        race: What to say of that race; None where the grid was not raced.
    """

    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    num_repeats: int = 1
    spared: frozenset[tuple[str, str, str, int]] = frozenset()
    race: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Grid:
        """Reads a grid document: lists `datasets`, `models`, `losses`, and `repeats`.

        Entries are labels, or components with a `label` or `name`; `repeats` is a number or a
        list. A key that is absent stays empty. `spared` and `race` are those of a raced grid.

        Raises:
            UserError: A key holds something else.
        """
        repeats = document.get("repeats", document.get("num_repeats", 1))
        if isinstance(repeats, list | tuple | range):
            repeats = len(repeats)
        if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
            msg = f"grid document: repeats: {repeats!r} is not a whole number from 1 up"
            raise UserError(msg)
        axes = {key: _document_labels(document, key) for key in _KEYS.values()}
        spared: Any = document.get("spared") or ()
        race = document.get("race")
        return cls(
            **axes,
            num_repeats=repeats,
            spared=frozenset((str(d), str(m), str(k), int(r)) for d, m, k, r in spared),
            race=race if isinstance(race, str) else None,
        )

    @classmethod
    def around(
        cls, table: pd.DataFrame, expected: Grid | Mapping[str, object] | int | None
    ) -> Grid:
        """Returns the smallest grid that holds both the table and what is expected.

        What lies outside the expected grid counts too: losses compare fairly only over a full
        product, so a loss tried on half of the blocks leaves the whole provisional.
        """
        return cls.covering(
            datasets=_labels(table, "dataset"),
            models=_labels(table, "model"),
            losses=_labels(table, "loss"),
            num_repeats=int(table["repeat"].nunique()) if "repeat" in table else 1,
            expected=expected,
        )

    @classmethod
    def covering(
        cls,
        *,
        datasets: Sequence[str],
        models: Sequence[str],
        losses: Sequence[str],
        num_repeats: int,
        expected: Grid | Mapping[str, object] | int | None,
    ) -> Grid:
        """Returns the smallest grid with these labels and with what is expected (see `around`).

        The expected grid's labels keep its order; the others follow in the order given.
        """
        if isinstance(expected, Mapping):
            expected = cls.from_document(expected)
        if isinstance(expected, int):
            expected = cls(num_repeats=expected)
        known = expected or cls()
        return cls(
            datasets=tuple(dict.fromkeys((*known.datasets, *datasets))),
            models=tuple(dict.fromkeys((*known.models, *models))),
            losses=tuple(dict.fromkeys((*known.losses, *losses))),
            num_repeats=max(known.num_repeats, num_repeats),
            spared=known.spared,
            race=known.race,
        )

    def blocks(self, axis: str) -> tuple[str, ...]:
        """Returns the labels of one axis: `dataset`, `model` or `loss`."""
        labels: tuple[str, ...] = getattr(self, _KEYS[axis])
        return labels

    @property
    def num_trials(self) -> int:
        """Number of combinations; an axis the table does not know counts once."""
        return (
            max(len(self.datasets), 1)
            * max(len(self.models), 1)
            * len(self.losses)
            * self.num_repeats
        )

    def num_expected(self, **labels: str | None) -> int:
        """Returns the number of trials with these labels that were to be run: none spared.

        Args:
            labels: Of `dataset`, `model` and `loss`; what is left out or None may be anything.
        """
        given = [labels.get(axis) for axis in _KEYS]
        sizes = [max(len(self.blocks(axis)), 1) for axis in _KEYS]
        full = math.prod(size for size, label in zip(sizes, given, strict=True) if label is None)
        spared = sum(
            all(label in (None, own) for label, own in zip(given, trial, strict=False))
            for trial in self.spared
        )
        return full * self.num_repeats - spared


def block_coverage(grid: Grid, axis: str, name: str, present: int) -> Coverage:
    """Returns the coverage of one block of an axis that holds `present` trials."""
    return Coverage(present=present, expected=grid.num_expected(**{axis: name}))


def _document_labels(document: Mapping[str, object], key: str) -> tuple[str, ...]:
    entries = document.get(key) or ()
    if isinstance(entries, str) or not isinstance(entries, Iterable):
        msg = f"grid document: {key}: {entries!r} is not a list of names"
        raise UserError(msg)
    labels = (
        entry.get("label") or entry.get("name") if isinstance(entry, Mapping) else entry
        for entry in entries
    )
    return tuple(str(label) for label in labels)


def _labels(table: pd.DataFrame, axis: str) -> list[str]:
    # Sorted, for rows come in any order.
    return sorted(str(label) for label in table[axis].unique()) if axis in table else []
