"""The table of losses; any sum `x+y` of them is a loss too. The code is in workers/losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from workers.catalogue import CatalogueError, Options, complete_options, nearest
from workers.catalogue.table import Table
from workers.contract import JSONValue


class RegionOptions(Options):
    """Over what the sums of a region loss run, and its smoothing term.

    The study's text states neither. Defaults: one sum over the whole batch, and 1e-6 added to
    numerator and denominator. With `image` the loss is the mean over the images' own losses.
    """

    sums: Literal["batch", "image"] = "batch"
    smooth: float = Field(default=1e-6, ge=0)


class FocalOptions(Options):
    """Focal loss of the study: alpha multiplies both terms."""

    alpha: float = Field(default=0.8, gt=0)
    gamma: float = Field(default=0.2, ge=0)


@dataclass(frozen=True, kw_only=True)
class LossEntry:
    """One loss.

    Attributes:
        compute: `module:function` from (logits_BCHW, truth_BCHW, **parameters) to a scalar.
        title: Published name.
        kind: `region` or `distribution`.
    """

    name: str
    title: str
    compute: str
    options: type[Options]
    kind: Literal["region", "distribution"]
    citation: str


_OWN = (
    LossEntry(
        name="iou",
        title="IoU",
        compute="workers.losses.functional:iou_loss",
        options=RegionOptions,
        kind="region",
        citation="Rahman and Wang, ISVC 2016, doi 10.1007/978-3-319-50835-1_22",
    ),
    LossEntry(
        name="dice",
        title="Dice",
        compute="workers.losses.functional:dice_loss",
        options=RegionOptions,
        kind="region",
        citation="Milletari et al., 3DV 2016, arXiv:1606.04797",
    ),
    LossEntry(
        name="bce",
        title="BCE",
        compute="workers.losses.functional:cross_entropy_loss",
        options=Options,
        kind="distribution",
        citation="Jang and Ahn, JBE 30(2) 2025, doi 10.5909/JBE.2025.30.2.104",
    ),
    LossEntry(
        name="focal",
        title="Focal",
        compute="workers.losses.functional:focal_loss",
        options=FocalOptions,
        kind="distribution",
        citation="Lin et al., ICCV 2017, arXiv:1708.02002; alpha as in Jang and Ahn 2025",
    ),
)

LOSSES = Table("podium.losses", LossEntry, _OWN)

STUDY_LOSSES = (
    "iou", "dice", "bce", "focal",
    "iou+dice", "iou+bce", "iou+focal", "dice+bce", "dice+focal", "bce+focal",
)  # fmt: skip
"""The ten losses of the study, as names of this catalogue."""


def _nearest_loss(part: str) -> str:
    """Returns a remedy; who writes a published name such as IoUFocal is told ours."""
    for name in STUDY_LOSSES:
        if loss_title(name).lower() == part.lower():
            return f"did you mean {name!r}? known: {', '.join(LOSSES)}"
    return nearest(part, LOSSES)


def split_loss(name: str) -> tuple[str, ...]:
    """Returns the parts of a loss as they are written: one, or those of a sum.

    Raises:
        CatalogueError: A part is unknown or there twice.
    """
    parts = tuple(part.strip() for part in str(name).split("+"))
    for part in parts:
        if part not in LOSSES:
            known = f"{_nearest_loss(part)}, and sums such as iou+focal"
            culprit = f"unknown loss {part!r}" if len(parts) > 1 else "unknown loss"
            raise CatalogueError(("name",), name, f"{culprit}; {known}")
        if parts.count(part) > 1:
            remedy = f"name {part!r} once and give it a weight"
            raise CatalogueError(("name",), name, f"{part!r} is there twice; {remedy}")
    return parts


def loss_title(name: str) -> str:
    """Returns the published name: `iou+focal` is IoUFocal."""
    return "".join(LOSSES[part].title for part in split_loss(name))


def complete_loss(name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, JSONValue]]:
    """Returns the canonical name and complete parameters of a loss or a sum of losses.

    The parts of a sum are put in the order of the table, so that `focal+iou` and `iou+focal` are
    one question. A sum's parameters are `weights` (as many as parts and in the order of the name
    as given, default 1) and, under each part's name, that part's own parameters.

    Raises:
        CatalogueError: A name or parameter is unknown or refused.
    """
    parts = split_loss(name)
    if len(parts) == 1:
        return parts[0], complete_options(LOSSES[parts[0]].options, parameters)
    known = ("weights", *parts)
    for key in parameters:
        if key not in known:
            remedy = f"options of a part go under its name, as {parts[-1]}: {{OPTION: VALUE}}"
            reason = f"unknown parameter of a sum; {nearest(key, known)}; {remedy}"
            raise CatalogueError(("parameters", str(key)), parameters[key], reason)
    weights = dict(zip(parts, _weights(parameters.get("weights"), len(parts)), strict=True))
    ordered = [part for part in LOSSES if part in parts]
    complete: dict[str, JSONValue] = {"weights": [weights[part] for part in ordered]}
    for part in ordered:
        complete[part] = _part_options(part, parameters.get(part))
    return "+".join(ordered), complete


def _weights(weights: object, num_parts: int) -> list[float]:
    """Checks a sum's weights; None means 1 for every part."""
    if weights is None:
        return [1.0] * num_parts
    path = ("parameters", "weights")
    if not isinstance(weights, Sequence) or isinstance(weights, str) or len(weights) != num_parts:
        raise CatalogueError(path, weights, f"expected a list of {num_parts} numbers, one a part")
    for weight in weights:
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight < 0:
            raise CatalogueError(path, weights, "every weight is a finite number of at least 0")
    if not any(weights):
        raise CatalogueError(path, weights, "at least one weight must be above 0")
    return [float(weight) for weight in weights]


def _part_options(part: str, options: object) -> dict[str, JSONValue]:
    path = ("parameters", part)
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        raise CatalogueError(path, options, f"expected the options of {part}, as OPTION: VALUE")
    return complete_options(LOSSES[part].options, options, path)
