"""The view `grid`: every trial that was asked for, with what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import pyarrow as pa

from orchestrator.store.rows import Row
from orchestrator.store.schema import GRID
from workers.contract import FailureClass

TRIAL_COLUMNS = ("trial_id", "protocol_id", "dataset", "model", "loss", "repeat", "status")
"""What the view needs of `trials`."""

_AXES = ("datasets", "models", "losses")
_Place = tuple[str, str, str, str, int]


def grid_rows(
    documents: Sequence[Mapping[str, Any]], trials: pa.Table, failures: pa.Table
) -> pa.Table:
    """Returns the rows of the view `grid`, in the order of the configuration.

    Args:
        documents: Grid documents, the one saved last at the end; of each protocol the last counts.
        trials: The finished ones, with `TRIAL_COLUMNS`.
        failures: All that count.
    """
    statuses = dict(zip(*_lists(trials, ("trial_id", "status")), strict=True))
    attempts = _attempts(failures.to_pylist())
    newest = {str(document.get("protocol_id")): document for document in documents}
    rows: list[Row] = []
    for document in newest.values():
        shared = _shared(document)
        for cell in _cells(document, trials, failures):
            found = attempts.get(cell["trial_id"], [])
            rows.append(shared | cell | _outcome(statuses.get(cell["trial_id"]), found))
    return pa.Table.from_pylist(rows, schema=GRID.arrow_schema)


def _shared(document: Mapping[str, Any]) -> Row:
    resources = (document.get("config") or {}).get("resources") or {}
    return {
        "sweep": str(document.get("name", "")),
        "grid_id": str(document["grid_id"]),
        "protocol_id": str(document.get("protocol_id")),
        "gpus": resources.get("gpus"),
        "cpus": resources.get("cpus"),
    }


def _cells(
    document: Mapping[str, Any], trials: pa.Table, failures: pa.Table
) -> Iterator[dict[str, Any]]:
    """Yields labels, repeat and id of every trial of a document."""
    axes = [[entry["label"] for entry in document.get(axis) or ()] for axis in _AXES]
    places = list(product(*axes, range(int(document.get("repeats", 1)))))
    ids: Iterable[str | None] = document.get("trial_ids") or ()
    if len(list(ids)) != len(places):
        # Not every combination was asked for, or another program wrote the document.
        known = _ids_by_place(failures) | _ids_by_place(trials)
        protocol = str(document.get("protocol_id"))
        ids = [known.get((protocol, *place)) for place in places]
    for (dataset, model, loss, repeat), trial_id in zip(places, ids, strict=True):
        yield {
            "dataset": dataset,
            "model": model,
            "loss": loss,
            "repeat": repeat,
            "trial_id": trial_id,
        }


def _ids_by_place(rows: pa.Table) -> dict[_Place, str]:
    names = ("protocol_id", "dataset", "model", "loss", "repeat")
    (ids,) = _lists(rows, ("trial_id",))
    return dict(zip(zip(*_lists(rows, names), strict=True), ids, strict=True))


def _lists(rows: pa.Table, names: Sequence[str]) -> list[list[Any]]:
    return [rows.column(name).to_pylist() for name in names]


def _attempts(failures: Iterable[Row]) -> dict[str, list[Row]]:
    attempts: dict[str, list[Row]] = {}
    for row in failures:
        attempts.setdefault(row["trial_id"], []).append(row)
    return attempts


def _outcome(status: str | None, attempts: Sequence[Row]) -> Row:
    """Returns what became of a trial, given its status in `trials` and its rows of `failures`."""
    last = max(attempts, key=lambda row: row["attempt"], default=None)
    return {
        "status": status or ("failed" if last else "missing"),
        "num_failures": sum(row["failure_class"] != FailureClass.DIVERGED for row in attempts),
        "failure_class": last["failure_class"] if last else None,
        "message": last["message"] if last else None,
    }
