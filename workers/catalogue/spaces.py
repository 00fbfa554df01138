"""Search spaces of the parameters of losses: ranges and choices, as declared data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from workers.contract import JSONValue

_AT_END = 0.02


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`.

    Attributes:
        low: The least value.
        high: The greatest value.
        log: Whether equal ratios are equally likely, instead of equal differences.
        in_sums: False if the weight of a component of a sum has the same effect.
    """

    low: float
    high: float
    log: bool = False
    in_sums: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            msg = f"low must be below high, both finite; got {self.low:g} and {self.high:g}"
            raise ValueError(msg)
        if self.log and self.low <= 0:
            msg = f"a logarithmic range begins above 0, not at {self.low:g}"
            raise ValueError(msg)

    @property
    def extremes(self) -> tuple[JSONValue, ...]:
        """Values that must be allowed so that all values are."""
        return (self.low, self.high)

    def end_at(self, value: float) -> Literal["lower end", "upper end"] | None:
        """Returns the end that a value lies at, within 2 % of the range on its own scale."""
        scale = math.log if self.log else float
        low, high, position = (scale(x) for x in (self.low, self.high, value))
        if position - low <= _AT_END * (high - low):
            return "lower end"
        return "upper end" if high - position <= _AT_END * (high - low) else None

    def to_json(self) -> JSONValue:
        """Returns the form that a configuration has."""
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """A few values without an order."""

    values: tuple[JSONValue, ...]

    def __post_init__(self) -> None:
        texts = [repr(value) for value in self.values]
        if len(texts) < 2 or len(set(texts)) < len(texts):
            msg = "name at least two values, each once"
            raise ValueError(msg)
        if not all(isinstance(value, bool | int | float | str) for value in self.values):
            msg = "every choice is a number, a text, true or false"
            raise ValueError(msg)

    @property
    def extremes(self) -> tuple[JSONValue, ...]:
        """Values that must be allowed so that all values are."""
        return self.values

    def to_json(self) -> JSONValue:
        """Returns the form that a configuration has."""
        return list(self.values)


Domain = Range | Choices
Space = Mapping[str, Domain]
"""Domains by parameter: `gamma`; in a sum `focal.gamma` and `weights.focal`."""
