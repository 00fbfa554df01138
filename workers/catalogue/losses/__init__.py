"""The catalogue of losses; any sum `x+y` of them is a loss too. The code is in workers/losses."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from workers.catalogue import CatalogueError, complete_options, nearest
from workers.catalogue.code_files import Call, short_name
from workers.catalogue.entries import Catalogue
from workers.catalogue.losses import boundary, compound, pixel, region
from workers.catalogue.losses.entry import LossEntry as LossEntry
from workers.catalogue.losses.entry import MapName
from workers.catalogue.losses.region import RegionOptions as RegionOptions
from workers.catalogue.spaces import Domain, Range
from workers.contract import JSONValue

LEARNING_RATE = "learning_rate"
"""Parameter of every loss: its learning rate. If it is not given, the protocol's is used."""

LEARNING_RATE_SPACE = Range(low=1e-4, high=1e-2, log=True)
WEIGHT_SPACE = Range(low=0.1, high=10.0, log=True)
MAX_LEARNING_RATE = 1e30


def _call(entry: LossEntry) -> Call:
    return Call(
        reference=entry.compute,
        positional=("logits_BCHW", "truth_BCHW"),
        keywords=(*entry.options.model_fields, *(f"{need}_BCHW" for need in entry.needs)),
        options=entry.options,
        searched=tuple(entry.space),
    )


LOSSES = Catalogue(
    "podium.losses",
    LossEntry,
    (*region.ENTRIES, *pixel.ENTRIES, *boundary.ENTRIES, *compound.ENTRIES),
    _call,
)
"""The order decides the form of a sum: a new loss goes to the end of the entries of its kind."""

STUDY_LOSSES = (
    "iou", "dice", "bce", "focal",
    "iou+dice", "iou+bce", "iou+focal", "dice+bce", "dice+focal", "bce+focal",
)  # fmt: skip
"""The ten losses of the study, as names of this catalogue."""


def _nearest_loss(part: str) -> str:
    """Returns a remedy; for a published name such as IoUFocal, the name in this catalogue."""
    for name in STUDY_LOSSES:
        if loss_title(name).lower() == part.lower():
            return f"did you mean {name!r}? known: {', '.join(LOSSES)}"
    return nearest(part, LOSSES)


def split_loss(name: str) -> tuple[str, ...]:
    """Returns the components of a loss in the order of its name; a plain loss has one.

    A component of a user's file keeps its digest: `tilted@3f2a9c1b44de`.

    Raises:
        CatalogueError: A component is unknown or is named twice.
    """
    parts = tuple(part.strip() for part in str(name).split("+"))
    for part in parts:
        if part not in LOSSES:
            known = f"{_nearest_loss(part)}, and sums such as iou+focal"
            culprit = f"unknown loss {part!r}" if len(parts) > 1 else "unknown loss"
            raise CatalogueError(("name",), name, f"{culprit}; {known}")
        if [short_name(one) for one in parts].count(short_name(part)) > 1:
            short = short_name(part)
            reason = f"{short!r} is named twice; name {short!r} once and give it a weight"
            raise CatalogueError(("name",), name, reason)
    return parts


def needed_maps(name: str) -> tuple[MapName, ...]:
    """Returns the maps of the mask that a loss or a sum of losses needs, each once."""
    return tuple(dict.fromkeys(need for part in split_loss(name) for need in LOSSES[part].needs))


def loss_title(name: str) -> str:
    """Returns the published name: `iou+focal` is IoUFocal; other sums are `Tversky + BCE`."""
    parts = split_loss(name)
    joint = "" if set(parts) <= set(STUDY_LOSSES) else " + "
    return joint.join(LOSSES[part].title for part in parts)


def complete_loss(name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, JSONValue]]:
    """Returns the canonical name and complete parameters of a loss or a sum of losses.

    The components of a sum are put in the order of the catalogue, those of a file last by name, so
    that `focal+iou` and `iou+focal` have one identity. A sum's parameters are `weights` (one per
    component, in the order of the name as given, default 1; see `weight_in_epoch`) and, under the
    name of each component, its parameters. Every loss takes `learning_rate`; if it is not given, it
    is not part of the result.

    Raises:
        CatalogueError: A name or parameter is unknown or refused.
    """
    parts = split_loss(name)
    rate = _learning_rate(parameters)
    parameters = {key: value for key, value in parameters.items() if key != LEARNING_RATE}
    if len(parts) == 1:
        return parts[0], complete_options(LOSSES[parts[0]].options, parameters) | rate
    known = ("weights", *map(short_name, parts), LEARNING_RATE)
    for key in parameters:
        if key not in known:
            remedy = f"options of a component go under its name, as {known[-2]}: {{OPTION: VALUE}}"
            reason = f"unknown parameter of a sum; {nearest(key, known)}; {remedy}"
            raise CatalogueError(("parameters", str(key)), parameters[key], reason)
    weights = dict(zip(parts, _weights(parameters.get("weights"), len(parts)), strict=True))
    ordered = [part for part in LOSSES if part in parts]
    ordered += sorted(part for part in parts if part not in ordered)
    complete: dict[str, JSONValue] = {"weights": [weights[part] for part in ordered]}
    for part in ordered:
        complete[short_name(part)] = _part_options(part, parameters.get(short_name(part)))
    return "+".join(ordered), complete | rate


def search_space(name: str) -> dict[str, Domain]:
    """Returns the search space of a loss; of a sum, from the spaces of its components.

    The first weight of a sum is not searched: with Adam only the ratios of the weights matter.
    """
    parts = complete_loss(name, {})[0].split("+")
    space: dict[str, Domain] = {}
    for part in parts:
        if len(parts) == 1:
            space |= LOSSES[part].space
            continue
        if part != parts[0]:
            space[f"weights.{short_name(part)}"] = WEIGHT_SPACE
        for key, domain in LOSSES[part].space.items():
            if not (isinstance(domain, Range) and not domain.in_sums):
                space[f"{short_name(part)}.{key}"] = domain
    return space | {LEARNING_RATE: LEARNING_RATE_SPACE}


def with_values(
    name: str, parameters: Mapping[str, Any], values: Mapping[str, JSONValue]
) -> dict[str, JSONValue]:
    """Returns the complete parameters of a loss with some replaced; keys as in `search_space`.

    Raises:
        CatalogueError: A key or a value is refused.
    """
    parts = short_name(name).split("+")
    changed: dict[str, Any] = {key: _copied(value) for key, value in parameters.items()}
    for key, value in values.items():
        holder, dot, inner = key.partition(".")
        if not dot:
            changed[key] = value
        elif holder == "weights" and inner in parts and len(parts) > 1:
            changed["weights"][parts.index(inner)] = value
        elif holder in parts and len(parts) > 1:
            changed[holder][inner] = value
        else:
            reason = f"unknown parameter; {nearest(key, search_space(name))}"
            raise CatalogueError(("parameters", key), value, reason)
    return complete_loss(name, changed)[1]


def value_of(name: str, parameters: Mapping[str, Any], key: str) -> JSONValue:
    """Returns one of the complete parameters; None if it is not set (a learning rate)."""
    holder, dot, inner = key.partition(".")
    if not dot:
        return parameters.get(key)
    if holder == "weights":
        return parameters["weights"][short_name(name).split("+").index(inner)]  # type: ignore[no-any-return]
    return parameters[holder][inner]  # type: ignore[no-any-return]


def _copied(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, list) else value


def _learning_rate(parameters: Mapping[str, Any]) -> dict[str, JSONValue]:
    if LEARNING_RATE not in parameters:
        return {}
    rate = parameters[LEARNING_RATE]
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not number or not 0 < rate <= MAX_LEARNING_RATE:
        reason = f"the learning rate is a number above 0 and at most {MAX_LEARNING_RATE:g}"
        raise CatalogueError(("parameters", LEARNING_RATE), rate, reason)
    return {LEARNING_RATE: float(rate)}


def weight_in_epoch(weight: float | Mapping[str, Any], epoch: int) -> float:
    """Returns the weight of a component of a sum in an epoch.

    Args:
        weight: A number, or `{start, end, epochs}`: from `start` in epoch 1 in equal steps to `end`
            in the epoch `epochs`, and `end` from then on.
        epoch: Number of the epoch, from 1.
    """
    if not isinstance(weight, Mapping):
        return weight
    start: float = weight["start"]
    end: float = weight["end"]
    done: float = min((epoch - 1) / (weight["epochs"] - 1), 1.0)
    return start + (end - start) * done


def _weights(weights: object, num_parts: int) -> list[JSONValue]:
    """Checks a sum's weights; None means 1 for every component."""
    if weights is None:
        return [1.0] * num_parts
    path = ("parameters", "weights")
    if not isinstance(weights, Sequence) or isinstance(weights, str) or len(weights) != num_parts:
        raise CatalogueError(
            path, weights, f"expected a list of {num_parts} numbers, one per component"
        )
    complete = [_weight(weight) for weight in weights]
    if None in complete:
        reason = (
            "every weight is a finite number of at least 0, or {start: WEIGHT, end: WEIGHT, "
            "epochs: NUMBER} with at least 2 epochs"
        )
        raise CatalogueError(path, weights, reason)
    # The weights are linear between these epochs, so that none of the others needs a check.
    bends = {1, *(weight["epochs"] for weight in complete if isinstance(weight, dict))}
    if not all(any(weight_in_epoch(w, epoch) for w in complete) for epoch in bends):  # type: ignore[arg-type]
        raise CatalogueError(path, weights, "at least one weight must be above 0 in every epoch")
    return complete


def _weight(weight: object) -> JSONValue:
    """Returns a weight of a sum in its complete form; None if it is refused."""
    if isinstance(weight, Mapping):
        if set(weight) != {"start", "end", "epochs"}:
            return None
        start, end, epochs = (weight[key] for key in ("start", "end", "epochs"))
        whole = isinstance(epochs, int) and not isinstance(epochs, bool) and epochs >= 2
        if not (_is_weight(start) and _is_weight(end) and whole):
            return None
        if start == end:
            return float(start)
        return {"start": float(start), "end": float(end), "epochs": epochs}
    return float(weight) if _is_weight(weight) else None


def _is_weight(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= sys.float_info.max


def _part_options(part: str, options: object) -> dict[str, JSONValue]:
    path = ("parameters", short_name(part))
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        raise CatalogueError(path, options, f"expected the options of {path[1]}, as OPTION: VALUE")
    return complete_options(LOSSES[part].options, options, path)
