"""The entry of a loss in the catalogue, and the tiny cases whose values an entry states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from workers.catalogue import Options, nearest
from workers.catalogue.spaces import Space

MapName = Literal["signed_distance", "boundary_distance"]
"""Maps of a mask that a loss can need; the functions are in `workers.losses.maps`."""

Sums = Literal["batch", "image"]
"""Pixels that the sums of a loss run over: all of a batch, or those of each image."""

LossKind = Literal["region", "distribution", "boundary", "compound"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image of one channel, small enough to compute a loss by hand.

    Attributes:
        name: What the mask is like.
        logits: Rows of logits.
        mask: Rows of 0 and 1.
    """

    name: str
    logits: tuple[tuple[float, ...], ...]
    mask: tuple[tuple[int, ...], ...]


_SQUARE = ((2.0, -1.0), (0.5, -3.0))
_LINE = ((2.0, 1.0, 0.5, -1.0, -3.0),)

CASES = (
    Case(name="column", logits=_SQUARE, mask=((1, 0), (1, 0))),
    Case(name="empty", logits=_SQUARE, mask=((0, 0), (0, 0))),
    Case(name="full", logits=_SQUARE, mask=((1, 1), (1, 1))),
    Case(name="three in a row", logits=_LINE, mask=((1, 1, 1, 0, 0),)),
    Case(name="one in a row", logits=_LINE, mask=((1, 0, 0, 0, 0),)),
)
"""The cases of `LossEntry.values`, in their order."""


@dataclass(frozen=True, kw_only=True)
class LossEntry:
    """One loss.

    Attributes:
        compute: `module:function` from (logits_BCHW, truth_BCHW, **parameters) to a scalar.
        title: Published name.
        kind: `region`, `distribution`, `boundary` or `compound`.
        space: Ranges that `podium tune` searches, unless a configuration names others.
        needs: Maps of the mask that `compute` takes too, each as a keyword `NAME_BCHW` of the
            shape of the truth, for example `signed_distance_BCHW`.
        formula: The loss in one line; letters as in `workers.losses.region`.
        edges: What it does on an empty and on a full mask.
        use: When to choose it.
        fails: What is known to fail.
        agrees: Public code that gives the same value and gradient, or the difference.
        one_channel: Why it refuses several channels; empty if it takes any number.
        partner: Loss to which it must be added to learn; empty if it learns alone.
        values: Its values with the default parameters for the first of `CASES`, to six digits.
        exempt: Checks of `podium check loss` that its definition excludes, with the reason.

    Raises:
        ValueError: `kind` or a map in `needs` is unknown, or there are more values than cases.
    """

    name: str
    title: str
    compute: str
    options: type[Options]
    kind: LossKind
    citation: str
    space: Space = field(default_factory=dict)
    needs: tuple[MapName, ...] = ()
    formula: str = ""
    edges: str = ""
    use: str = ""
    fails: str = ""
    agrees: str = ""
    one_channel: str = ""
    partner: str = ""
    values: tuple[float, ...] = ()
    exempt: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(LossKind):
            msg = f"loss {self.name!r} has an unknown kind {self.kind!r}; "
            raise ValueError(msg + nearest(self.kind, get_args(LossKind)))
        for name in self.needs:
            if name not in get_args(MapName):
                msg = f"loss {self.name!r} needs an unknown map {name!r}; "
                raise ValueError(msg + nearest(name, get_args(MapName)))
        if len(self.values) > len(CASES):
            known = ", ".join(repr(case.name) for case in CASES)
            msg = f"loss {self.name!r} states {len(self.values)} `values`; "
            raise ValueError(msg + f"state at most {len(CASES)}, one per case: {known}")
