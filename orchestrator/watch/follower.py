"""Keeps the page's documents fresh, with as little reading as there are viewers asking."""

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
from orchestrator.watch.state import Facts, describe, describe_cell
from workers.contract import UserError

REFRESH_SECONDS = 3.0
"""The store is looked at no more often than this, however many people watch."""

RANK_SECONDS = 15.0
"""The podium is made anew no more often than this; the grid itself at every look."""

NUM_SAMPLES = 500
"""Bootstrap samples of the podium's certainty here; `podium rank` draws more."""

Clock = Callable[[], float]
Now = Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class Document:
    """JSON text and a tag that changes with it."""

    text: bytes
    tag: str


class Follower:
    """Answers the page's questions about one store; safe for several threads; never writes."""

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
        self._facts: Facts | None = None
        self._grid: Grid | None = None
        self._podium: dict[str, Any] = {}
        self._notes: tuple[str, ...] = ()
        self._ranked_at = -math.inf
        self._unranked = True
        self._document = _encode({})

    def state(self) -> Document:
        """Returns the document of the whole page.

        Raises:
            UserError: The results cannot be read.
        """
        with self._lock:
            self._refresh()
            return self._document

    def cell(self, dataset: str, model: str, loss: str) -> Document:
        """Returns the repeats of one combination; none where the grid has no such.

        Raises:
            UserError: The results cannot be read.
        """
        with self._lock:
            self._refresh()
            if self._facts is None:
                return _encode([])
            return _encode(describe_cell(self._facts, self._now(), dataset, model, loss))

    def curve(self, trial_id: str) -> Document:
        """Returns the epochs of a finished or running trial; none where it is neither.

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
        if self._feed.grids and (changed or self._facts is None):
            self._facts = self._gather()
            self._unranked = True
        elif self._facts is not None:
            self._facts = replace(self._facts, runs=self._feed.runs)
        if self._facts is not None and self._unranked and moment - self._ranked_at >= RANK_SECONDS:
            self._podium = self._rank()
            self._unranked = False
            if self._podium:  # nothing to rank yet is no reason to wait
                self._ranked_at = moment
        self._document = self._describe()
        self._looked_at = self._clock()

    def _gather(self) -> Facts:
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
        return Facts(
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
                podium.axis: _describe_podium(podium, sure[podium.axis])
                for podium in ranking.podiums
                if podium.axis in sure
            }
        except UserError as error:
            return {"problem": str(error)}

    def _describe(self) -> Document:
        if self._facts is None:
            return _encode({"place": self._store.name, "axes": [], "drivers": []})
        return _encode(
            describe(self._facts, self._now()) | {"podium": self._podium, "notes": self._notes}
        )


def _describe_podium(podium: Podium, sure: Certainty) -> dict[str, Any]:
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
            }
        )
    return {
        "rows": rows,
        "provisional": podium.provisional,
        "coverage": podium.coverage.to_json(),
        "refusal": sure.refusal,
        "num_samples": sure.num_samples,
    }


def _by_axis(titles: Titles) -> Mapping[str, Mapping[str, str]]:
    return {"dataset": titles.datasets, "model": titles.models, "loss": titles.losses}


def _encode(document: object) -> Document:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    return Document(text=text, tag=hashlib.sha256(text).hexdigest()[:16])
