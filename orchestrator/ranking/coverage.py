"""The trials that a ranking expects, and how many of them are present."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
class ExpectedTrials:
    """Every combination of these labels in every repeat, except the spared trials.

    Attributes:
        datasets: Labels; empty if the table has no column dataset.
        models: Labels; empty if the table has no column model.
        losses: Labels.
        num_repeats: Trials of each combination.
        spared: Dataset, model, loss and repeat of the trials that an ended race never runs.
        race: A sentence on that race; None if the grid has no race.
    """

    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    num_repeats: int = 1
    spared: frozenset[tuple[str, str, str, int]] = frozenset()
    race: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> ExpectedTrials:
        """Reads a grid document: lists `datasets`, `models`, `losses`, and `repeats`.

        Entries are labels, or components with a `label` or `name`; `repeats` is a number or a
        list. An absent key stays empty. The document of a raced grid also has `spared` and `race`.

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

    def covering(
        self,
        *,
        datasets: Sequence[str],
        models: Sequence[str],
        losses: Sequence[str],
        num_repeats: int,
    ) -> ExpectedTrials:
        """Returns the smallest full product that holds these trials and those of a table.

        Trials outside the expected ones count too: losses compare fairly only over a full product,
        so a loss with trials in half of the blocks makes the whole ranking provisional. These
        labels keep their order; new labels of the table follow in the order given.
        """
        return replace(
            self,
            datasets=tuple(dict.fromkeys((*self.datasets, *datasets))),
            models=tuple(dict.fromkeys((*self.models, *models))),
            losses=tuple(dict.fromkeys((*self.losses, *losses))),
            num_repeats=max(self.num_repeats, num_repeats),
        )

    def blocks(self, axis: str) -> tuple[str, ...]:
        """Returns the labels of one axis: `dataset`, `model` or `loss`."""
        labels: tuple[str, ...] = getattr(self, _KEYS[axis])
        return labels

    def num_expected(self, **labels: str | None) -> int:
        """Returns the number of expected trials with these labels; spared trials do not count.

        Args:
            labels: Of `dataset`, `model` and `loss`; an absent axis, or None, stands for any label.
        """
        given = [labels.get(axis) for axis in _KEYS]
        sizes = [max(len(self.blocks(axis)), 1) for axis in _KEYS]
        full = math.prod(size for size, label in zip(sizes, given, strict=True) if label is None)
        spared = sum(
            all(label in (None, own) for label, own in zip(given, trial, strict=False))
            for trial in self.spared
        )
        return full * self.num_repeats - spared


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
