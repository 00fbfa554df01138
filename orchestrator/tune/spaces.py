"""The range of each searched parameter: the catalogue's spaces with the configuration's changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.config import SweepConfig
from orchestrator.config.document import KeyPath
from orchestrator.config.problems import show
from workers.catalogue import CatalogueError, nearest
from workers.catalogue.losses import LEARNING_RATE, search_space, value_of, with_values
from workers.catalogue.spaces import Choices, Domain, Range, Space
from workers.contract import Component, UserError

EVERY = "*"
"""Stands for every loss in `tune.spaces`."""


def spaces_of(config: SweepConfig) -> dict[str, Space]:
    """Returns the space of each loss by its label.

    Raises:
        UserError: A label or parameter is unknown, a range is invalid, the loss refuses a value in
            it, it does not contain the default, or no parameter is left to search.
    """
    given = config.tune.spaces
    labels = [loss.label for loss in config.losses]
    for label in given:
        if label != EVERY and label not in labels:
            remedy = nearest(label, [EVERY, *labels])
            _refuse(config.source, (label,), given[label], f"no loss of this file; {remedy}")
    used = {key for loss in config.losses for key in search_space(loss.name)}
    for key in given.get(EVERY, {}):
        if key not in used:
            reason = f"no loss of this file has it; {nearest(key, sorted(used))}"
            _refuse(config.source, (EVERY, key), given[EVERY][key], reason)
    return {loss.label: _space(config, loss) for loss in config.losses}


def _space(config: SweepConfig, loss: Component) -> Space:
    # A weight that changes with the epoch is part of the loss and is not searched.
    space = {
        key: domain
        for key, domain in search_space(loss.name).items()
        if not isinstance(value_of(loss.name, loss.parameters, key), Mapping)
    }
    for holder in (EVERY, loss.label):
        for key, value in config.tune.spaces.get(holder, {}).items():
            if holder == EVERY and key not in search_space(loss.name):
                continue
            path = (holder, key)
            if value is None:
                space.pop(key, None)
                continue
            try:
                space[key] = _domain(value)
                _check(loss, key, space[key])
            except (ValueError, CatalogueError) as error:
                reason = error.reason if isinstance(error, CatalogueError) else str(error)
                _refuse(config.source, path, value, reason)
    if not space:
        reason = "nothing is left to search; leave one parameter in"
        _refuse(config.source, (loss.label,), config.tune.spaces.get(loss.label), reason)
    for key, domain in space.items():
        default = value_of(loss.name, loss.parameters, key)
        if default is None and key == LEARNING_RATE:
            default = config.training.learning_rate
        if not _holds(domain, default):
            reason = (
                f"leaves out the default {show(default)}, which is always candidate 0; widen it, "
                "or set the default inside"
            )
            _refuse(config.source, (loss.label, key), domain.to_json(), reason)
    return space


def _domain(value: object) -> Domain:
    """Reads a range or choices.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, list):
        return Choices(values=tuple(value))
    if not isinstance(value, Mapping) or not {"low", "high"} <= set(value) <= {
        "low",
        "high",
        "log",
    }:
        msg = "must be {low: …, high: …}, with log: true for ratios, a list of choices, or null"
        raise ValueError(msg)
    numbers = [value["low"], value["high"]]
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        msg = "low and high must be numbers"
        raise ValueError(msg)
    log = value.get("log", False)
    if not isinstance(log, bool):
        msg = "log must be true or false"
        raise ValueError(msg)  # noqa: TRY004 - the user's value, not a type of ours
    return Range(low=float(numbers[0]), high=float(numbers[1]), log=log)


def _check(loss: Component, key: str, domain: Domain) -> None:
    """Tries the extremes of a domain on the loss, which refuses invalid values."""
    for value in domain.extremes:
        complete = with_values(loss.name, loss.parameters, {key: value})
        taken: Any = value_of(loss.name, complete, key)
        if isinstance(taken, bool) != isinstance(value, bool) or taken != value:
            msg = f"{show(value)} is taken as {show(taken)}"
            raise ValueError(msg)
        if isinstance(domain, Range) and not isinstance(taken, float):
            msg = "takes no range of numbers; name the choices as a list"
            raise ValueError(msg)  # noqa: TRY004 - the user's value, not a type of ours


def _holds(domain: Domain, value: object) -> bool:
    if isinstance(domain, Choices):
        return value in domain.values
    return isinstance(value, int | float) and domain.low <= value <= domain.high


def _refuse(source: str, path: KeyPath, value: object, reason: str) -> None:
    place = ".".join(["tune", "spaces", *map(str, path)])
    msg = f"{source}: {place}: {show(value)}: {reason}"
    raise UserError(msg)
