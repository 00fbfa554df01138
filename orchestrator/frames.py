"""Results as pandas frames, and the ranking of a frame, for a program or a notebook.

    import podium
    podium.read_trials("results/quickstart")

RESULTS is a folder, `file://` or `s3://`, as for `podium query`. Rows are sorted, one per key, and
belong to finished trials. A torn file is a warning, and its rows are left out. The docstring of
each function and docs/tables.md describe the columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.safe_text import clean
from orchestrator.store import VIEWS, Store
from workers.contract import UserError

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.ranking.certainty import Certainty
    from orchestrator.ranking.choices import Compare, Estimand, TieName
    from orchestrator.ranking.images import ImageScores
    from orchestrator.ranking.podium import Ranking
    from orchestrator.ranking.scores import Scores

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
        columns: Columns to read, in this order; all by default.
        trial_ids: Trials to read; all by default.

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
    """Reads learning curves; arguments and errors are those of `read_trials`."""
    return _read("epochs", results, columns, trial_ids)


@_documented("images")
def read_images(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads the counts of every test image; arguments and errors are those of `read_trials`."""
    return _read("images", results, columns, trial_ids)


@_documented("predictions")
def read_predictions(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads example images with raw outputs; arguments and errors are those of `read_trials`."""
    return _read("predictions", results, columns, trial_ids)


@_documented("failures")
def read_failures(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads failed attempts; arguments and errors are those of `read_trials`."""
    return _read("failures", results, columns, trial_ids)


@_documented("candidates")
def read_candidates(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads the candidates of searches; arguments and errors are those of `read_trials`."""
    return _read("candidates", results, columns, trial_ids)


@_documented("grid")
def read_grid(
    results: str | Path,
    columns: Sequence[str] | None = None,
    *,
    trial_ids: Collection[str] | None = None,
) -> pd.DataFrame:
    """Reads the requested trials with their status; arguments and errors: see `read_trials`."""
    return _read("grid", results, columns, trial_ids)


def query(
    results: str | Path, sql: str, parameters: Mapping[str, object] | None = None
) -> pd.DataFrame:
    """Answers one SELECT statement over the tables that `read_trials` and its siblings read.

    Args:
        results: A results folder or URI.
        sql: A statement in DuckDB's SQL; it is read-only and sees only the results.
        parameters: Values of `$name` in the statement; bound, never inserted as text.

    Returns:
        One row per row of the result; columns with the same name get numbers.

    Raises:
        UserError: The statement cannot be run, or the results cannot be read.
    """
    answer = Store(results).query(sql, parameters)
    warn_notes(answer.notes, stacklevel=3)
    return answer.to_pandas()


def rank(
    trials: pd.DataFrame,
    *,
    metric: str = "dice",
    lower_is_better: bool | None = None,
    protocol: str | None = None,
    expected: Mapping[str, object] | None = None,
    ties: TieName = "split",
    compare: Compare = "available",
    provisional_below: float = 1.0,
) -> Ranking:
    """Ranks the losses of a table within each dataset and within each model.

    The best three losses of each dataset and of each model get 3, 2 and 1 points.

    Args:
        trials: Columns dataset and/or model, loss and the metric; optionally repeat and status.
        metric: The column to rank.
        lower_is_better: Direction of a column whose name does not tell it.
        protocol: The protocol_id, or its beginning, if the trials have several.
        expected: A grid document with the labels and repeats of a complete table; by default the
            full product of what the table holds.
        ties: Who gets the points of tied places.
        compare: Which cells count in a block.
        provisional_below: A podium with a smaller fraction of its trials is provisional.

    Raises:
        UserError: The table cannot be ranked; the message names the column, the row and the remedy.
    """
    from orchestrator.ranking.places import tie_rule
    from orchestrator.ranking.rank import rank as rank_scores

    scores = _scores(trials, metric, lower_is_better, protocol, expected)
    return rank_scores(
        scores, ties=tie_rule(ties), compare=compare, provisional_below=provisional_below
    )


def certainty(
    trials: pd.DataFrame,
    *,
    metric: str = "dice",
    lower_is_better: bool | None = None,
    protocol: str | None = None,
    expected: Mapping[str, object] | None = None,
    about: Estimand | None = None,
    ties: TieName = "split",
    compare: Compare = "available",
    num_draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    alpha: float = 0.05,
    margin: float = 0.005,
    images: ImageScores | None = None,
) -> Certainty:
    """Returns what can be said for certain: intervals and tests of pairs, and draws of new sweeps.

    Args:
        trials: See `rank`.
        metric: See `rank`.
        lower_is_better: See `rank`.
        protocol: See `rank`.
        expected: See `rank`.
        about: What the statements are about: `other` datasets and networks, `other_datasets`,
            `other_networks`, `these` datasets and networks, or other `images`; None for the first
            for which the sweep is large enough.
        ties: See `rank`.
        compare: See `rank`.
        num_draws: Sweeps to draw; 0 for none, and no probabilities.
        seed: The same seed gives the same result.
        level: Coverage of the intervals.
        alpha: Level of the tests.
        margin: Differences up to this count as equivalent in practice, in units of the metric.
        images: Scores of single test images, for `about="images"`:
            `podium.read_target(RESULTS).image_scores()`.

    Raises:
        UserError: See `rank`; or an argument is out of its range.
    """
    from orchestrator.ranking.certainty import certainty as certainty_of_scores
    from orchestrator.ranking.images import ImageScores
    from orchestrator.ranking.places import tie_rule

    if images is not None and not isinstance(images, ImageScores):
        msg = (
            f"images: a {type(images).__name__}; give podium.read_target(RESULTS).image_scores(), "
            "which pairs the images of all losses"
        )
        raise UserError(msg)
    return certainty_of_scores(
        _scores(trials, metric, lower_is_better, protocol, expected),
        about=about,
        ties=tie_rule(ties),
        compare=compare,
        num_draws=num_draws,
        seed=seed,
        level=level,
        alpha=alpha,
        margin=margin,
        images=images,
    )


def _scores(
    trials: pd.DataFrame,
    metric: str,
    lower_is_better: bool | None,
    protocol: str | None,
    expected: Mapping[str, object] | None,
) -> Scores:
    import pandas as pd

    from orchestrator.ranking.coverage import ExpectedTrials
    from orchestrator.ranking.metrics import metric_of
    from orchestrator.ranking.scores import scores_of
    from orchestrator.ranking.table import check_trials

    measure = metric_of(metric, lower_is_better=lower_is_better)
    if not isinstance(trials, pd.DataFrame):
        msg = (
            f"trials: a value of type {type(trials).__name__}; give a pandas frame, as from "
            "podium.read_trials(RESULTS)"
        )
        raise UserError(msg)
    table = check_trials(trials, metric=measure, protocol=protocol)
    return scores_of(table, None if expected is None else ExpectedTrials.from_document(expected))


def _read(
    name: str,
    results: str | Path,
    columns: Sequence[str] | None,
    trial_ids: Collection[str] | None,
) -> pd.DataFrame:
    frame, notes = Store(results).view(name, columns, trial_ids=trial_ids)
    warn_notes(notes, stacklevel=4)
    return frame


def warn_notes(notes: Sequence[str], stacklevel: int) -> None:
    """Issues each note as a warning at the line of a caller, `stacklevel` calls above `warn`."""
    for note in notes:
        warnings.warn(clean(note), UserWarning, stacklevel=stacklevel)
