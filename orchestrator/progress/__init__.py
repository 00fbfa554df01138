"""Progress of a running sweep: a live display, plain lines or JSON lines."""

from __future__ import annotations

import os
import time
from typing import IO, Literal, get_args

from orchestrator.progress.base import (
    Clock,
    EpochEnded,
    Event,
    Forecast,
    Progress,
    SweepFinished,
    SweepStarted,
    Tally,
    TrialFailed,
    TrialFinished,
    TrialLeft,
    TrialStarted,
)
from orchestrator.progress.displays import JsonProgress, PlainProgress
from workers.contract import UserError

__all__ = [
    "EpochEnded",
    "Event",
    "Forecast",
    "JsonProgress",
    "PlainProgress",
    "Progress",
    "ProgressMode",
    "SweepFinished",
    "SweepStarted",
    "Tally",
    "TrialFailed",
    "TrialFinished",
    "TrialLeft",
    "TrialStarted",
    "make_progress",
]

ProgressMode = Literal["auto", "live", "plain", "json"]


def make_progress(
    mode: str,
    stream: IO[str],
    clock: Clock = time.monotonic,
    forecast: Forecast | None = None,
) -> Progress:
    """Returns the display of a mode; `auto` is live on a terminal and plain lines elsewhere.

    Raises:
        UserError: The mode is not known.
    """
    if mode == "auto":
        dumb = os.environ.get("TERM", "") in ("dumb", "unknown")
        mode = "live" if stream.isatty() and not dumb else "plain"
    if mode == "live":
        from rich.console import Console

        from orchestrator.progress.displays import LiveProgress

        return LiveProgress(Console(file=stream), clock, forecast)
    if mode == "plain":
        return PlainProgress(stream, clock, forecast)
    if mode == "json":
        return JsonProgress(stream, clock, forecast)
    from workers.catalogue import nearest

    msg = f"--progress {mode}: unknown mode; {nearest(mode, get_args(ProgressMode))}"
    raise UserError(msg)
