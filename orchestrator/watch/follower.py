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
from orchestrator.ranking.certainty import Certainty, certainty
from orchestrator.ranking.choices import ESTIMANDS
from orchestrator.ranking.coverage import ExpectedTrials
from orchestrator.ranking.podium import Podium, podium_rows
from orchestrator.ranking.podium_chances import PodiumCertainty
from orchestrator.ranking.rank import rank
from orchestrator.ranking.scores import scores_of
from orchestrator.ranking.sentences import headline, null_sentence
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

NUM_DRAWS = 500
"""New sweeps drawn here for the probabilities; `podium rank` draws more."""

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
        self._certainty: dict[str, Any] = {}
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
        self._certainty, self._notes = {}, ()
        if own.empty:
            return {}
        try:
            table = check_trials(own, source=self._store.name)
            scores = scores_of(table, ExpectedTrials.from_document(document))
            ranking = rank(scores)
            found = certainty(scores, num_draws=NUM_DRAWS)
            self._certainty = describe_certainty(found, self._loss_title)
            sure = {str(axis): chances for axis, chances in found.podiums.items()}
            self._notes = (*ranking.notes, *self._feed.missing_details())
            return {
                podium.axis: describe_podium(podium, sure.get(podium.axis))
                for podium in ranking.podiums
            }
        except UserError as error:
            return {"problem": str(error)}

    def _describe(self) -> TaggedJson:
        if self._snapshot is None:
            return _encode({"place": self._store.name, "axes": [], "drivers": []})
        return _encode(
            describe(self._snapshot, self._now())
            | {"podium": self._podium, "certainty": self._certainty, "notes": self._notes}
        )

    def _loss_title(self, loss: str) -> str:
        titles = self._snapshot.titles["loss"] if self._snapshot else {}
        return titles.get(loss, loss)


def describe_certainty(found: Certainty, title: Callable[[str], str] = str) -> dict[str, Any]:
    """Returns which losses may be the best so far, and what the probabilities mean."""
    chances = [entry for podium in found.podiums.values() for entry in podium.losses]
    meaning = ""
    if any(entry.p_first is not None for entry in chances):
        meaning = (
            "“New sweep”: the probability that a loss is first, or among the first three, in a new "
            f"sweep of the same size ({ESTIMANDS[found.estimand]}; {found.num_draws:,} draws)."
        )
    return {
        "estimand": found.estimand,
        "group": list(found.group),
        "worse": list(found.worse),
        "num_draws": found.num_draws,
        "sentence": headline(found, title),
        "meaning": meaning,
        "refusal": found.refusal,
    }


def describe_podium(podium: Podium, sure: PodiumCertainty | None) -> dict[str, Any]:
    """Returns one podium; `texts` has the numbers as the page shows them.

    Args:
        podium: The ranking of one axis.
        sure: Its probabilities; None if nothing can be said about the losses.
    """
    rows = []
    for row in podium_rows(podium):
        chance = sure.of(row.loss) if sure else None
        p_first, p_podium = (chance.p_first, chance.p_podium) if chance else (None, None)
        rows.append(
            {
                "place": row.place,
                "joint": row.joint,
                "loss": row.loss,
                "points": row.points,
                "mean": row.mean,
                "p_first": p_first,
                "p_podium": p_podium,
                "texts": {
                    "place": f"{row.place}{' =' if row.joint else ''}",
                    "points": points_text(row.points),
                    "mean": decimal_text(row.mean),
                    "p_first": MISSING if p_first is None else probability_text(p_first),
                    "p_podium": MISSING if p_podium is None else probability_text(p_podium),
                },
            }
        )
    coverage = podium.coverage
    present = count_of_text(coverage.present, coverage.expected, "trial")
    state = f"provisional, {present}" if podium.provisional else "complete"
    return {
        "rows": rows,
        "title": f"By {podium.axis} ({state})",
        "null": null_sentence(sure) if sure else None,
        "provisional": podium.provisional,
        "coverage": coverage.to_json(),
        "refusal": sure.refusal if sure else None,
    }


def _by_axis(titles: Titles) -> Mapping[str, Mapping[str, str]]:
    return {"dataset": titles.datasets, "model": titles.models, "loss": titles.losses}


def _encode(document: object) -> TaggedJson:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    return TaggedJson(text=text, tag=hashlib.sha256(text).hexdigest()[:16])
