"""Checks of single values of a configuration; each refusal has the reason in Podium's words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from orchestrator.config.gpus import AUTO
from orchestrator.config.paths import resolve_data, resolve_local, resolve_location
from orchestrator.config.problems import plain
from workers.catalogue import CatalogueError
from workers.catalogue.augmentations import complete_augmentation

MAX_COUNT = 100_000
"""Most cores, pictures or attempts; a larger number is taken for a typing error."""
MAX_SECONDS = 1e9
"""About thirty years."""


def refuse_value(reason: str) -> NoReturn:
    """Raises the error of a check; the user reads `reason` unchanged."""
    kind = "podium"
    raise PydanticCustomError(kind, "{reason}", {"reason": reason})


def _in_folder(resolve: Callable[[str, Path], str]) -> AfterValidator:
    def check(text: str, info: ValidationInfo) -> str:
        try:
            return resolve(text, (info.context or {})["folder"])
        except ValueError as error:
            refuse_value(str(error))

    return AfterValidator(check)


def _check_label(text: str) -> str:
    if not text.strip() or text in (".", ".."):
        refuse_value("must be a name")
    if len(text) > 64:
        refuse_value(f"is {len(text)} characters long; at most 64 are allowed")
    if not text.isprintable() or "/" in text or "\\" in text:
        refuse_value("must be printable text without slashes")
    if text != text.strip():
        refuse_value("must not begin or end with a space")
    return text


def check_gpus(gpus: object) -> float | Literal["auto"]:
    """Returns a number of GPUs, a fraction of one, or `auto`."""
    if gpus == AUTO:
        return "auto"
    number = _check_number(gpus, f"must be a number, or {AUTO!r}")
    if number > MAX_COUNT:
        refuse_value(f"must be at most {MAX_COUNT}")
    if number > 1 and not number.is_integer():
        refuse_value("must be a whole number, or a fraction of one GPU")
    return number


def _check_number(value: object, reason: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse_value(reason)
    if not math.isfinite(value):
        refuse_value("must be a finite number")
    if value < 0:
        refuse_value("must be at least 0")
    return float(value)


def check_weights(value: object) -> float | list[float]:
    """Returns one weight, or a list of weights."""
    reason = "must be a number, or a list of one number for each auxiliary output"
    if not isinstance(value, list):
        return _check_number(value, reason)
    if not value:
        refuse_value(reason)
    return [_check_number(item, reason) for item in value]


def check_betas(betas: list[float]) -> list[float]:
    """Returns Adam's two decays."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        refuse_value("must be two numbers from 0 to below 1, such as [0.9, 0.999]")
    return betas


def check_augmentation(value: object) -> list[dict[str, Any]]:
    """Returns the operations of an augmentation with all their options."""
    try:
        return complete_augmentation(value)
    except CatalogueError as error:
        place = ".".join(error.path)
        reason = plain(error.reason)
        refuse_value(f"{place}: {error.value!r}: {reason}" if place else reason)


def _check_cluster(text: str) -> str:
    if not re.fullmatch(r"auto|local|(ray://)?(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?", text):
        refuse_value(
            "must be HOST:PORT (6379 unless the cluster's head says otherwise), ray://HOST:10001 "
            "or auto, without user and path; the address http://HOST:8265 is for podium submit"
        )
    return text


LocalPath = Annotated[str, _in_folder(resolve_local)]
DataRoot = Annotated[str, _in_folder(resolve_data)]
Location = Annotated[str, _in_folder(resolve_location)]
ClusterAddress = Annotated[str, AfterValidator(_check_cluster)]
Label = Annotated[str, AfterValidator(_check_label)]
