"""Arguments and options that several commands share, and the names they accept."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.address import AddressError, parse_address


class EngineName(StrEnum):
    """How trials are run."""

    RAY = "ray"
    INLINE = "inline"


class ProgressMode(StrEnum):
    """How a run is shown."""

    AUTO = "auto"
    LIVE = "live"
    PLAIN = "plain"
    JSON = "json"


class TieRule(StrEnum):
    """Who gets the points of tied places."""

    SPLIT = "split"
    MIN = "min"
    COMPETITION = "competition"
    MAX = "max"
    MODIFIED = "modified"
    ORDER = "order"
    FIRST = "first"


class PodiumAxis(StrEnum):
    """What the podium counts over."""

    DATASET = "dataset"
    MODEL = "model"
    BOTH = "both"


class Cells(StrEnum):
    """Which dataset x model combinations count where some lack a loss."""

    AVAILABLE = "available"
    COMMON = "common"


class TableFormat(StrEnum):
    """How a ranking is printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"


class AnswerFormat(StrEnum):
    """How the answer to a query is given."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class FailureName(StrEnum):
    """Why an attempt gave no result, or gave the worst."""

    OUT_OF_MEMORY = "out-of-memory"
    INFRASTRUCTURE = "infrastructure"
    BUG = "bug"
    DIVERGED = "diverged"


class RetryClass(StrEnum):
    """Failures that are run again only when asked."""

    BUG = "bug"
    OUT_OF_MEMORY = "out-of-memory"


def local_path(text: str) -> Path:
    """Returns a path that is written to; of `s3://b/x`, `Path` alone would make a folder `s3:`."""
    try:
        found = parse_address(text)
    except AddressError as error:
        raise typer.BadParameter(str(error)) from None
    if not isinstance(found, str):
        raise typer.BadParameter("must be a local path")  # noqa: EM101 - click names the option
    return Path(found)


ConfigArgument = Annotated[Path, typer.Argument(help="A YAML configuration.", metavar="CONFIG")]
ResultsArgument = Annotated[str, typer.Argument(help="A results folder or URI.", metavar="RESULTS")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a key, e.g. training.max_epochs=2."),
]
RetryOption = Annotated[
    list[RetryClass] | None, typer.Option("--retry", help="Run failed trials of this class again.")
]
DirectionOption = Annotated[
    bool | None,
    typer.Option(
        "--lower-is-better/--higher-is-better",
        help="Which direction of a metric is better, where its name does not say it.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
