"""Results as pandas frames: what a Python program or a notebook reads.

    import podium
    podium.read_trials("results/quickstart")

Every function takes what `podium query` takes as RESULTS: a folder, `file://` or `s3://`. Rows are
those of every reader: one a key, only finished trials, sorted. A torn file whose rows are left out
is a warning. Columns are documented below each function and in docs/tables.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.safe_text import clean
from orchestrator.store import VIEWS, Store

if TYPE_CHECKING:
    import pandas as pd

_Read = Callable[..., "pd.DataFrame"]


def _documented(name: str) -> Callable[[_Read], _Read]:
    """Appends the table's columns, as the store declares them, to a reader's docstring."""

    def document(read: _Read) -> _Read:
        lines = [f"\n\n{VIEWS[name].description}\n\nColumns:"]
        for column in VIEWS[name].columns:
            facts = ", ".join(filter(None, (column.kind, column.unit)))
            null = "; may be null" if column.nullable else ""
            lines.append(f"    {column.name} ({facts}{null}): {column.description}.")
        read.__doc__ = (read.__doc__ or "").rstrip() + "\n".join(lines) + "\n"
        return read

    return document


@_documented("trials")
def read_trials(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads the finished trials.

    Args:
        results: A results folder or URI.
        columns: Columns wanted, in this order; all by default.
        trial_ids: Trials wanted; all by default.

    Raises:
        UserError: There are no results, a column is unknown, or a file cannot be read.
    """
    return _read("trials", results, columns, trial_ids)


@_documented("epochs")
def read_epochs(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads learning curves; arguments and errors as `read_trials`."""
    return _read("epochs", results, columns, trial_ids)


@_documented("images")
def read_images(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads the counts of every test image; arguments and errors as `read_trials`."""
    return _read("images", results, columns, trial_ids)


@_documented("predictions")
def read_predictions(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads example images with raw outputs; arguments and errors as `read_trials`."""
    return _read("predictions", results, columns, trial_ids)


@_documented("failures")
def read_failures(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads failed attempts; arguments and errors as `read_trials`."""
    return _read("failures", results, columns, trial_ids)


@_documented("candidates")
def read_candidates(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads what searches tried; arguments and errors as `read_trials`."""
    return _read("candidates", results, columns, trial_ids)


@_documented("grid")
def read_grid(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads what was asked for, with what is missing; arguments and errors as `read_trials`."""
    return _read("grid", results, columns, trial_ids)


def query(
    results: str | Path, sql: str, parameters: Mapping[str, object] | None = None
) -> pd.DataFrame:
    """Answers one SELECT statement over trials, epochs, images, predictions, failures and grid.

    Args:
        results: A results folder or URI.
        sql: DuckDB's SQL; it can only read, and sees nothing but the results.
        parameters: Values of `$name` in it; bound, never pasted.

    Returns:
        One row a row of the answer; columns of one name get numbers.

    Raises:
        UserError: The statement cannot be run, or the results cannot be read.
    """
    answer = Store(results).query(sql, parameters)
    _warn(answer.notes, stacklevel=3)
    return answer.to_pandas()


def _read(
    name: str,
    results: str | Path,
    columns: Sequence[str] | None,
    trial_ids: Collection[str] | None,
) -> pd.DataFrame:
    frame, notes = Store(results).view(name, columns, trial_ids=trial_ids)
    _warn(notes, stacklevel=4)
    return frame


def _warn(notes: Sequence[str], stacklevel: int) -> None:
    """Warns in the caller's line; `stacklevel` counts the functions down to it."""
    for note in notes:
        warnings.warn(clean(note), UserWarning, stacklevel=stacklevel)
