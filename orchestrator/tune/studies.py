"""The searches of a configuration and their candidates in the store: pure, starts nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from typing import Literal, Protocol

from orchestrator.config import SweepConfig
from orchestrator.config.schema import TuneSection
from orchestrator.tune.spaces import spaces_of
from workers.catalogue.losses import LEARNING_RATE, value_of, with_values
from workers.catalogue.spaces import Space
from workers.contract import Component, JSONValue, TrialSpec
from workers.identity import digest, trial_id

Values = Mapping[str, JSONValue]


class TrainingRow(Protocol):
    """The columns of a row of `candidates` that a search needs."""

    @property
    def trial_id(self) -> str: ...  # noqa: D102 - see the table
    @property
    def number(self) -> int: ...  # noqa: D102
    @property
    def parameters(self) -> Values: ...  # noqa: D102
    @property
    def status(self) -> Literal["completed", "diverged", "pruned"]: ...  # noqa: D102
    @property
    def best_val_dice(self) -> float | None: ...  # noqa: D102
    @property
    def val_dice(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def train_seconds(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Study:
    """One search: a loss, the trainings of each candidate, and the ranges of its parameters.

    Attributes:
        loss: The loss of the configuration; its parameters are candidate 0.
        group: Labels of its dataset, its model, or both; empty: all datasets and models.
        cells: One training per dataset, model and repeat, measured on validation images.
        space: The range of each parameter.
        options: Budget, pruning and sampler.
        number: Number of the search among those of its loss and group, from 1; only the random
            numbers of the sampler differ.
    """

    loss: Component
    group: tuple[str, ...]
    cells: tuple[TrialSpec, ...]
    space: Space
    options: TuneSection
    number: int = 1

    @cached_property
    def search_id(self) -> str:
        """Identity of the search, without the budget, so that a search can be prolonged."""
        further = {"number": self.number} if self.number > 1 else {}
        return digest(
            {
                "cells": [trial_id(cell) for cell in self.cells],
                "space": {key: domain.to_json() for key, domain in self.space.items()},
                "random_trials": self.options.random_trials,
                "pruning": self.options.pruning,
                "grace_epochs": self.grace_epochs if self.options.pruning != "none" else None,
            }
            | further,
            length=12,
        )

    @property
    def label(self) -> str:
        """Short name for people."""
        further = (f"search {self.number}",) if self.options.searches > 1 else ()
        return " · ".join((self.loss.label, *self.group, *further))

    @property
    def max_epochs(self) -> int:
        """Largest number of epochs of one training."""
        return self.cells[0].training.max_epochs

    @property
    def grace_epochs(self) -> int:
        """Number of epochs of a training before which no candidate is stopped in it."""
        return self.options.grace_epochs or max(1, self.max_epochs // 4)

    @property
    def least_steps(self) -> int:
        """Number of steps (`step_of`) before which no candidate is stopped.

        Every candidate is judged on all datasets: the last of them must have its grace.
        """
        num_datasets = len({cell.dataset.label for cell in self.cells})
        return (num_datasets - 1) * self.max_epochs + self.grace_epochs

    @cached_property
    def defaults(self) -> Values:
        """The values of candidate 0."""
        return default_values(self.loss, self.space, self.cells[0].training.learning_rate)

    def component(self, values: Values) -> Component:
        """Returns the loss with these values."""
        parameters = with_values(self.loss.name, self.loss.parameters, values)
        if parameters.get(LEARNING_RATE) == self.cells[0].training.learning_rate:
            del parameters[LEARNING_RATE]  # the value of the protocol is not part of a loss
        return replace(self.loss, parameters=parameters)

    def spec(self, position: int, values: Values) -> TrialSpec:
        """Returns the specification of one training of a candidate."""
        return replace(self.cells[position], loss=self.component(values))

    def training_id(self, number: int, position: int, values: Values) -> str:
        """Returns the id of a row of `candidates`, different for each search and candidate."""
        identity = trial_id(self.spec(position, values))
        return digest({"search": self.search_id, "number": number, "trial": identity})

    def candidate_id(self, number: int) -> str:
        """Returns the id under which drivers claim and show a candidate, whatever its values."""
        return digest({"search": self.search_id, "number": number})


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One set of values and its ended trainings, in the order of the study's cells.

    Attributes:
        num_cells: Number of trainings that it needs.
        max_epochs: See `Study`.
    """

    number: int
    values: Values
    rows: tuple[TrainingRow, ...]
    num_cells: int
    max_epochs: int

    @property
    def status(self) -> Literal["completed", "diverged", "pruned", "partial"]:
        """Its end; `partial` while trainings are missing."""
        found = {row.status for row in self.rows}
        if "pruned" in found:
            return "pruned"
        if len(self.rows) < self.num_cells:
            return "partial"
        return "diverged" if "diverged" in found else "completed"

    @property
    def value(self) -> float | None:
        """Mean validation Dice of its trainings, a diverged one counting 0; None unless ended."""
        if self.status in ("pruned", "partial"):
            return None
        return sum(training_value(row) for row in self.rows) / self.num_cells

    def curve(self) -> Iterator[tuple[int, float]]:
        """Yields (step, mean of the best validation Dice so far) of every epoch."""
        before: list[float] = []
        for position, row in enumerate(self.rows):
            best = 0.0
            for epoch, dice in enumerate(row.val_dice, start=1):
                best = max(best, dice)
                yield step_of(position, epoch, self.max_epochs), running_mean(before, best)
            before.append(training_value(row))


def step_of(position: int, epoch: int, max_epochs: int) -> int:
    """Returns the number of epochs until this one, if each training had all its epochs."""
    return position * max_epochs + epoch


def running_mean(before: Sequence[float], best: float) -> float:
    """Returns the mean of the ended trainings and the best epoch of the current one."""
    return (sum(before) + best) / (len(before) + 1)


def training_value(row: TrainingRow) -> float:
    """Returns the value of one training: its best validation Dice, or 0 if it diverged."""
    return (row.best_val_dice or 0.0) if row.status == "completed" else 0.0


def studies_of(config: SweepConfig) -> tuple[Study, ...]:
    """Returns the searches of a configuration, in the order of its losses.

    Raises:
        UserError: A space is refused; see `orchestrator.tune.spaces`.
    """
    spaces = spaces_of(config)
    by_dataset, by_model = (axis in config.tune.separate for axis in ("dataset", "model"))
    datasets = [(one,) for one in config.datasets] if by_dataset else [config.datasets]
    models = [(one,) for one in config.models] if by_model else [config.models]
    data = replace(config.data.protocol(), measured_on="val")
    training = config.training.protocol()
    studies = []
    for loss, some_datasets, some_models, number in product(
        config.losses, datasets, models, range(1, config.tune.searches + 1)
    ):
        cells = [
            TrialSpec(
                dataset=dataset,
                model=model,
                loss=loss,
                repeat=repeat,
                seed=config.seed,
                data=data,
                training=training,
            )
            for dataset, model, repeat in product(some_datasets, some_models, range(config.repeats))
        ]
        if config.tune.pruning != "none":  # all datasets before the first decision
            per_dataset = len(cells) // len(some_datasets)
            cells = [one for turn in range(per_dataset) for one in cells[turn::per_dataset]]
        names = (some_datasets[0].label,) * by_dataset + (some_models[0].label,) * by_model
        studies.append(
            Study(
                loss=loss,
                group=names,
                cells=tuple(cells),
                space=spaces[loss.label],
                options=config.tune,
                number=number,
            )
        )
    return tuple(studies)


def default_values(loss: Component, space: Space, learning_rate: float) -> Values:
    """Returns the values of a loss without a search."""
    values = {key: value_of(loss.name, loss.parameters, key) for key in space}
    if LEARNING_RATE in space and values[LEARNING_RATE] is None:
        values[LEARNING_RATE] = learning_rate
    return values


def candidates_of(study: Study, rows: Iterable[TrainingRow]) -> tuple[Candidate, ...]:
    """Groups the rows of a search by candidate, in the order of their numbers.

    Two drivers without claims may have tried different values under one number: both count.
    """
    tried: dict[tuple[int, str], dict[str, TrainingRow]] = {}
    for row in rows:
        key = (row.number, json.dumps(dict(row.parameters), sort_keys=True))
        tried.setdefault(key, {})[row.trial_id] = row
    found = []
    for (number, _), own in sorted(tried.items()):
        values = next(iter(own.values())).parameters
        ids = [study.training_id(number, position, values) for position in range(len(study.cells))]
        known: list[TrainingRow] = []
        for key_ in ids:
            if key_ not in own:
                break
            known.append(own[key_])
        found.append(
            Candidate(
                number=number,
                values=values,
                rows=tuple(known),
                num_cells=len(study.cells),
                max_epochs=study.max_epochs,
            )
        )
    return tuple(found)


def still_to_try(study: Study, known: Sequence[Candidate]) -> tuple[tuple[int, Values | None], ...]:
    """Returns the next numbers with their values; None lets the sampler decide.

    Interrupted candidates come first; number 0 has the default values.
    """
    interrupted = [(one.number, one.values) for one in known if one.status == "partial"]
    taken = {one.number for one in known}
    missing = study.options.trials - len(known)
    fresh = (number for number in range(study.options.trials + len(taken)) if number not in taken)
    new = [
        (number, study.defaults if number == 0 else None)
        for number in islice(fresh, max(0, missing))
    ]
    return (*interrupted, *new)
