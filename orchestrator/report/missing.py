"""Missing trials and failed attempts, which every report shows."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from orchestrator.report.data import TRIAL_KEY, RankedSweep, column

MAX_LISTED = 40
"""Rows of each list; further ones are only counted."""

MAX_TRACEBACK_LINES = 40
MAX_LINE = 400
"""Characters of a message, or of one line of a traceback; some hold whole tensors."""


@dataclass(frozen=True, kw_only=True)
class IncompleteCombination:
    """A combination with fewer trials than the grid has."""

    dataset: str | None
    model: str | None
    loss: str
    num_present: int
    num_expected: int


@dataclass(frozen=True, kw_only=True)
class FailedAttempt:
    """One failed attempt.

    Attributes:
        outcome: `open` (no result yet), `finished later`, or `counts as 0` (diverged).
        traceback: Its last lines; may be empty.
    """

    dataset: str
    model: str
    loss: str
    repeat: str
    attempt: str
    failure_class: str
    outcome: str
    host: str
    message: str
    traceback: str


@dataclass(frozen=True, kw_only=True)
class MissingAndFailed:
    """Missing trials and failed attempts; both lists are cut at `MAX_LISTED`.

    Attributes:
        incomplete: The first combinations with missing trials.
        num_incomplete: Number of all such combinations.
        num_missing: Number of trials that they lack.
        failed: The first failed attempts; open ones come first.
        num_failed: Number of all failed attempts.
        classes: Attempts by class, then outcome.
    """

    incomplete: tuple[IncompleteCombination, ...]
    num_incomplete: int
    num_missing: int
    failed: tuple[FailedAttempt, ...]
    num_failed: int
    classes: Mapping[str, Mapping[str, int]]


def find_missing(sweep: RankedSweep) -> MissingAndFailed:
    """Returns the missing combinations and the failed attempts."""
    incomplete = _incomplete(sweep)
    failed = _failed(sweep)
    classes: dict[str, Counter[str]] = {}
    for attempt in failed:
        classes.setdefault(attempt.failure_class, Counter())[attempt.outcome] += 1
    return MissingAndFailed(
        incomplete=tuple(incomplete[:MAX_LISTED]),
        num_incomplete=len(incomplete),
        num_missing=sum(one.num_expected - one.num_present for one in incomplete),
        failed=tuple(failed[:MAX_LISTED]),
        num_failed=len(failed),
        classes=classes,
    )


def _incomplete(sweep: RankedSweep) -> list[IncompleteCombination]:
    grid, trials = sweep.grid, sweep.trials
    columns = [
        trials[axis] if axis in trials else itertools.repeat(None, len(trials))
        for axis in ("dataset", "model", "loss")
    ]
    present = Counter(zip(*columns, strict=True))
    product = itertools.product(grid.datasets or (None,), grid.models or (None,), sweep.losses)
    return [
        IncompleteCombination(
            dataset=dataset,
            model=model,
            loss=loss,
            num_present=present[dataset, model, loss],
            num_expected=expected,
        )
        for dataset, model, loss in product
        if present[dataset, model, loss]
        < (expected := grid.num_expected(dataset=dataset, model=model, loss=loss))
    ]


def _failed(sweep: RankedSweep) -> list[FailedAttempt]:
    table = sweep.failures
    if table.empty:
        return []
    finished = set(column(sweep.trials, "trial_id").dropna())
    keys = set(zip(*(column(sweep.trials, name) for name in TRIAL_KEY), strict=True))
    rows: list[FailedAttempt] = []
    for row in table.to_dict("records"):
        known = row.get("trial_id")
        key = tuple(row.get(name) for name in TRIAL_KEY)
        done = known in finished if known is not None else key in keys
        failure_class = _text(row.get("failure_class")) or "unknown"
        if failure_class == "diverged":
            outcome = "counts as 0"
        else:
            outcome = "finished later" if done else "open"
        texts = {name: _text(row.get(name)) for name in (*TRIAL_KEY, "attempt", "host", "message")}
        rows.append(
            FailedAttempt(
                **texts | {"message": _shortened(texts["message"])},
                failure_class=failure_class,
                outcome=outcome,
                traceback=_tail(_text(row.get("traceback"))),
            )
        )
    rows.sort(key=lambda row: row.outcome != "open")  # stable: otherwise as the table is sorted
    return rows


def _text(value: object) -> str:
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)


def _tail(traceback: str) -> str:
    lines = traceback.strip().splitlines()
    if len(lines) > MAX_TRACEBACK_LINES:
        left_out = len(lines) - MAX_TRACEBACK_LINES
        lines = [f"… {left_out} lines before", *lines[-MAX_TRACEBACK_LINES:]]
    return "\n".join(_shortened(line) for line in lines)


def _shortened(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} …"
