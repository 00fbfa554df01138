"""Labels and statuses of a table: rows that are not finished trials are refused or not used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd

from orchestrator.ranking.reading import NUMBER, TableOrigin
from orchestrator.wording import count_text
from workers.contract import TrialStatus, UserError

_SUMMARY = frozenset({
    "average", "averages", "avg", "ave", "mean", "means", "median", "total", "totals", "all",
    "overall", "sum", "summary", "std", "stddev", "stdev", "sd", "sem", "min", "max", "count",
    "mittelwert", "moyenne", "media", "promedio",
})  # fmt: skip
_BESIDE_SUMMARY = frozenset({
    "of", "over", "the", "and", "dataset", "datasets", "model", "models", "loss", "losses",
    "fold", "folds", "repeat", "repeats", "run", "runs", "trial", "trials", "macro", "micro",
    "weighted", "grand", "row", "value", "values", "score", "scores", "n", "s", "standard",
    "dev", "deviation", "deviations", "error", "errors", "rank", "ranks", "across",
})  # fmt: skip

_FINISHED = frozenset({
    "completed", "complete", "finished", "finish", "done", "success", "succeeded", "successful",
    "ok",
})  # fmt: skip
_UNFINISHED = frozenset({
    "running", "failed", "fail", "failure", "killed", "kill", "pruned", "crashed", "crash",
    "error", "errored", "exception", "aborted", "abort", "cancelled", "canceled", "stopped",
    "interrupted", "preempted", "timeout", "pending", "queued", "scheduled", "waiting",
    "created", "submitted", "paused", "suspended", "incomplete", "partial", "resumed",
    "unfinished", "oom", "skipped",
})  # fmt: skip
"""Not in either: `terminated`, which means finished in Ray Tune and killed elsewhere."""


def read_labels(table: pd.DataFrame, axis: str, origin: TableOrigin) -> pd.Series[str]:
    """Returns the labels of one axis as text.

    Raises:
        UserError: A label is empty. Or, unless a column `spec` defines the labels: a loss is a
            number, a row summarises other rows, or two labels look the same.
    """
    try:  # Each distinct label is checked once: a million rows have few.
        codes, labels = pd.factorize(table[axis])
    except TypeError:
        msg = f"{origin.name}: column {axis!r}: holds lists or records; write one name in each row"
        raise UserError(msg) from None
    names = np.array([*(str(label).strip() for label in labels), ""], dtype=object)
    missing = names[codes] == ""  # a missing label has code -1, the last entry
    if missing.any():
        row = origin.row(int(np.argmax(missing)))
        msg = f"{origin.name}: column {axis!r}, {row}: empty; fill in the name of the {axis}"
        raise UserError(msg)
    if not ("spec" in table and str(table["spec"].iloc[0]).startswith("{")):
        first = np.unique(codes, return_index=True)[1]
        rows = [origin.row(int(row)) for row in first]
        _check_names(names[:-1].tolist(), rows, f"{origin.name}: column {axis!r}", axis)
    return pd.Series(pd.array(names, dtype="str").take(codes), index=table.index, name=axis)


def _check_names(names: Sequence[str], rows: Sequence[str], where: str, axis: str) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for name, row in zip(names, rows, strict=True):
        if axis == "loss" and NUMBER.fullmatch(name):
            msg = (
                f"{where}, {row}: {name} is a number, and this column must name the loss "
                "function; write the name of the loss in each row, and rename a column of loss "
                "values (for example to val_loss)"
            )
            raise UserError(msg)
        if _sums_up(name):
            msg = (
                f"{where}, {row}: {name!r} looks like a summary of other rows, which must not be "
                f"ranked beside them; remove these rows, or rename the {axis}"
            )
            raise UserError(msg)
        other, first = seen.setdefault(_look(name), (name, row))
        if other != name:
            show = ascii if _form(other) == _form(name) else repr
            msg = (
                f"{where}: {show(other)} ({first}) and {show(name)} ({row}) differ only by "
                "case, blanks or the form of a letter or number; write one name if they are one "
                f"{axis}, and names that look different if they are two"
            )
            raise UserError(msg)


def _sums_up(name: str) -> bool:
    words = re.findall(r"[^\W\d_]+", name.casefold())
    if not words and not any(mark.isalnum() for mark in name):  # for example ± below a mean
        return True
    return bool(_SUMMARY & set(words)) and set(words) <= _SUMMARY | _BESIDE_SUMMARY


def _form(name: str) -> str:
    return unicodedata.normalize("NFKC", name)


def _look(name: str) -> str:
    """Returns a text that is equal for two labels that look the same to a reader."""
    text = _form(_form(name).casefold())
    if NUMBER.fullmatch(text):
        return f"{float(text):.15g}"  # 1 and 1.0, written by two programs
    return "".join(mark for mark in text if unicodedata.category(mark)[0] not in "CZ")


def read_status(
    table: pd.DataFrame, origin: TableOrigin
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Removes rows of unfinished trials, and calls the others `completed` or `diverged`.

    Args:
        table: Its column `status`, or another such as `State` with known words, is read.
        origin: Where the table came from.

    Returns:
        The rows that finished or diverged; which rows of the table these are, (N,) bool; and notes
        on the removed rows.

    Raises:
        UserError: A word is unknown, or no row is left.
    """
    everything = np.ones(len(table), dtype=bool)
    column = _status_column(table)
    if column is None:
        return table, everything, []
    codes, found = pd.factorize(table[column], use_na_sentinel=False)
    words = ["" if pd.isna(word) else str(word).strip() for word in found]
    plain = [_plain_status(word) for word in words]
    if column == "status" and plain == words and "unfinished" not in words:
        return table, everything, []
    unknown = [code for code, meaning in enumerate(plain) if meaning is None]
    if unknown:
        listed = _counted(codes, words, unknown)
        msg = (
            f"{origin.name}: column {column!r}: unknown words: {listed}; write 'completed' for a "
            "trial that finished and 'diverged' for one that counts as the worst, and remove "
            "the rows of other trials"
        )
        raise UserError(msg)
    lost = [code for code, meaning in enumerate(plain) if meaning == "unfinished"]
    kept = ~np.isin(codes, lost)
    if not kept.any():
        msg = f"{origin.name}: no row finished: {_counted(codes, words, lost)}"
        raise UserError(msg)
    meanings = np.array([str(meaning) for meaning in plain], dtype=object)[codes[kept]]
    table = table[kept].assign(status=pd.array(meanings, dtype="str"))
    if not lost:
        return table, kept, []
    number = int((~kept).sum())
    rows = (
        "1 row is left out because its trial"
        if number == 1
        else (f"{number:,} rows are left out because their trials")
    )
    sentence = (
        f"{rows} did not finish: {_counted(codes, words, lost)}. A trial that diverged counts as "
        "the worst if its status is 'diverged'."
    )
    return table, kept, [sentence]


def _status_column(table: pd.DataFrame) -> str | None:
    if "status" in table:
        return "status"
    named = [
        str(name) for name in table.columns if str(name).strip().casefold() in ("status", "state")
    ]
    for name in named:
        if any(_plain_status(str(word).strip()) for word in pd.unique(table[name])):
            return name
    return None


def _plain_status(word: str) -> str | None:
    """Returns `completed`, `diverged` or `unfinished`; None for an unknown word."""
    text = word.casefold().rpartition(".")[2]  # for example TrialState.PRUNED
    if text == TrialStatus.DIVERGED.value:
        return text
    if text in _FINISHED:
        return TrialStatus.COMPLETED.value
    return "unfinished" if re.sub(r"[\W_]", "", text) in _UNFINISHED else None


def _counted(codes: np.ndarray, words: Sequence[str], wanted: Sequence[int]) -> str:
    counts = [(words[code] or "nothing", int((codes == code).sum())) for code in wanted]
    return ", ".join(f"{word} in {count_text(number, 'row')}" for word, number in counts)
