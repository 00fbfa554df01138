"""Keeps the documents of the watch page fresh; browsers that ask share one reading of the store."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from orchestrator.plan.grid import Grid, grid_from_document
from orchestrator.plan.planner import plan
from orchestrator.ranking.certainty import Certainty, certainties
from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import scores_of
from orchestrator.ranking.table import check_trials
from orchestrator.store import Store
from orchestrator.titles import Titles, choose_titles
from orchestrator.watch.state import Snapshot, describe, describe_cell
from orchestrator.wording import (
    MISSING,
    count_of_text,
    decimal_text,
    points_text,
    probability_text,
)
from workers.contract import UserError

REFRESH_SECONDS = 3.0
"""The store is read at most this often, however many browsers are open."""

RANK_SECONDS = 15.0
"""The podium is computed at most this often; the grid is refreshed at every reading."""

NUM_SAMPLES = 500
"""Bootstrap samples of the podium's certainty here; `podium rank` draws more."""

Clock = Callable[[], float]
Now = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class TaggedJson:
    """JSON text and a tag that changes with it."""

    text: bytes
    tag: str


class Follower:
    """Makes the documents of the page from one store; safe for several threads; never writes."""

    def __init__(self, store: Store, *, clock: Clock, now: Now) -> None:
        """Reads nothing yet.

        Args:
            store: The results.
            clock: Monotonic seconds.
            now: The wall clock, UTC.
        """
        self._store, self._clock, self._now = store, clock, now
        self._feed = store.feed()
        self._lock = threading.Lock()
        self._looked_at: float | None = None
        self._snapshot: Snapshot | None = None
        self._grid: Grid | None = None
        self._podium: dict[str, Any] = {}
        self._notes: tuple[str, ...] = ()
        self._ranked_at = -math.inf
        self._unranked = True
        self._document = _encode({})

    def state(self) -> TaggedJson:
        """Returns the document of the whole page.

        Raises:
            UserError: The results cannot be read.
        """
        with self._lock:
            self._refresh()
            return self._document

    def cell(self, dataset: str, model: str, loss: str) -> TaggedJson:
        """Returns the repeats of one combination; empty if the grid lacks it.

        Raises:
            UserError: The results cannot be read.
        """
        with self._lock:
            self._refresh()
            if self._snapshot is None:
                return _encode([])
            return _encode(describe_cell(self._snapshot, self._now(), dataset, model, loss))

    def curve(self, trial_id: str) -> TaggedJson:
        """Returns the epochs of a finished or running trial; empty for any other trial.

        Raises:
            UserError: The results cannot be read.
        """
        with self._lock:
            self._refresh()
            epochs = self._feed.curve(trial_id)
            if not epochs:
                epochs = [
                    {"epoch": number, "val_dice": value}
                    for run in self._feed.runs
                    for trial in run.running
                    if trial.trial_id == trial_id
                    for number, value in enumerate(trial.val_dice, start=1)
                ]
            return _encode({"trial_id": trial_id, "epochs": epochs})

    def _refresh(self) -> None:
        moment = self._clock()
        if self._looked_at is not None and moment - self._looked_at < REFRESH_SECONDS:
            return
        changed = self._feed.refresh()
        if self._feed.grids and (changed or self._snapshot is None):
            self._snapshot = self._gather()
            self._unranked = True
        elif self._snapshot is not None:
            self._snapshot = replace(self._snapshot, runs=self._feed.runs)
        if (
            self._snapshot is not None
            and self._unranked
            and moment - self._ranked_at >= RANK_SECONDS
        ):
            self._podium = self._rank()
            self._unranked = False
            if self._podium:  # before the first ranking there is no reason to wait
                self._ranked_at = moment
        self._document = self._describe()
        self._looked_at = self._clock()

    def _gather(self) -> Snapshot:
        document = self._feed.grids[-1]
        if self._grid is None or self._grid.grid_id != document["grid_id"]:
            self._grid = grid_from_document(document)
        grid = self._grid
        committed = self._feed.committed()
        titles = choose_titles(
            datasets=[component.label for component in grid.datasets],
            models=[component.label for component in grid.models],
            losses=[component.label for component in grid.losses],
            document=document,
        )
        return Snapshot(
            name=grid.name,
            place=self._store.name,
            plan=plan(grid, committed, self._feed.failures()),
            committed=committed,
            failures=self._feed.failures(),
            runs=self._feed.runs,
            titles=_by_axis(titles),
        )

    def _rank(self) -> dict[str, Any]:
        document = self._feed.grids[-1]
        trials = self._feed.trials()
        own = trials[trials["trial_id"].isin(set(document["trial_ids"]))]
        if own.empty:
            return {}
        try:
            table = check_trials(own, source=self._store.name)
            scores = scores_of(table, ExpectedTrials.from_document(document))
            ranking = rank(scores)
            drawn = certainties(scores, axes=("dataset", "model"), num_samples=NUM_SAMPLES)
            sure = {str(axis): found for axis, found in drawn.items()}
            self._notes = (*ranking.notes, *self._feed.missing_details())
            return {
                podium.axis: describe_podium(podium, sure[podium.axis])
                for podium in ranking.podiums
                if podium.axis in sure
            }
        except UserError as error:
            return {"problem": str(error)}

    def _describe(self) -> TaggedJson:
        if self._snapshot is None:
            return _encode({"place": self._store.name, "axes": [], "drivers": []})
        return _encode(
            describe(self._snapshot, self._now()) | {"podium": self._podium, "notes": self._notes}
        )


def describe_podium(podium: Podium, sure: Certainty) -> dict[str, Any]:
    """Returns one podium; `texts` has the numbers as the page shows them."""
    chances = {entry.loss: entry for entry in sure.losses}
    rows = []
    for row in podium_rows(podium):
        chance = chances.get(row.loss)
        rows.append(
            {
                "place": row.place,
                "joint": row.joint,
                "loss": row.loss,
                "points": row.points,
                "mean": row.mean,
                "p_first": chance.p_first if chance else None,
                "p_podium": chance.p_podium if chance else None,
                "texts": {
                    "place": f"{row.place}{' =' if row.joint else ''}",
                    "points": points_text(row.points),
                    "mean": decimal_text(row.mean),
                    "p_first": probability_text(chance.p_first) if chance else MISSING,
                    "p_podium": probability_text(chance.p_podium) if chance else MISSING,
                },
            }
        )
    coverage = podium.coverage
    present = count_of_text(coverage.present, coverage.expected, "trial")
    state = f"provisional, {present}" if podium.provisional else "complete"
    return {
        "rows": rows,
        "title": f"By {podium.axis} ({state})",
        "caption": ""
        if sure.refusal
        else f"“First” and “podium”: the fraction of {sure.num_samples:,} bootstrap samples of the "
        "finished trials in which a loss was first, or among the first three.",
        "provisional": podium.provisional,
        "coverage": coverage.to_json(),
        "refusal": sure.refusal,
        "num_samples": sure.num_samples,
    }


def _by_axis(titles: Titles) -> Mapping[str, Mapping[str, str]]:
    return {"dataset": titles.datasets, "model": titles.models, "loss": titles.losses}


def _encode(document: object) -> TaggedJson:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    return TaggedJson(text=text, tag=hashlib.sha256(text).hexdigest()[:16])
