"""Searches from a configuration to the best parameters of each loss; `podium tune` calls it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.config import ConfigSource, SweepConfig, load_config
from orchestrator.engine.base import Engine, Now, utc_now
from orchestrator.engine.heartbeat import Heartbeat
from orchestrator.engine.setup import EngineName, make_engine, no_room
from orchestrator.engine.sharing import OtherDrivers, remove_dead_drivers
from orchestrator.plan.grid import Grid, build_grid
from orchestrator.plan.preflight import preflight
from orchestrator.plan.survey import list_datasets
from orchestrator.progress import (
    Progress,
    ProgressMode,
    SweepFinished,
    SweepStarted,
    make_progress,
)
from orchestrator.run import message_notes, runtime_of
from orchestrator.store import Store
from orchestrator.tune.results import SearchResult, tuned_label
from orchestrator.tune.source import SearchSource
from orchestrator.tune.studies import (
    Candidate,
    Study,
    candidates_of,
    still_to_try,
    studies_of,
)
from workers.contract import UserError

MAX_LABEL = 64


@dataclass(frozen=True, kw_only=True)
class SearchReport:
    """Result of a run of searches: candidates that failed, and whether the run was stopped."""

    num_failed: int
    interrupted: bool


@dataclass(frozen=True, kw_only=True)
class Search:
    """The searches of a configuration, and their store.

    Attributes:
        grid: The grid of the same configuration, with the data and models of all trainings.
        studies: One search per loss, or per loss, dataset and model.
    """

    config: SweepConfig
    grid: Grid
    store: Store
    studies: tuple[Study, ...]

    def results(self) -> tuple[SearchResult, ...]:
        """Returns what each search has found so far; raises StoreError."""
        return tuple(SearchResult(study=one, candidates=self.known(one)) for one in self.studies)

    def folder(self) -> Path:
        """Returns the folder of the report in the results.

        Raises:
            UserError: The results are not on this machine.
        """
        if "://" in self.store.name:
            msg = f"{self.store.name}: --out FOLDER: say where to write the report on this machine"
            raise UserError(msg)
        return Path(self.store.name) / "tuned"

    def known(self, study: Study) -> tuple[Candidate, ...]:
        """Returns the candidates of one search that have a row; raises StoreError."""
        return candidates_of(study, self.store.candidates(study.search_id))


def open_search(config: ConfigSource, overrides: Sequence[str] = ()) -> Search:
    """Reads a configuration; nothing is written or started.

    Args:
        config: A YAML file, or its content as a dict.
        overrides: As for `load_config`.

    Raises:
        UserError: The user must fix something in the configuration or the results first.
    """
    loaded = load_config(config, overrides)
    studies = studies_of(loaded)
    for study in studies:
        label = tuned_label(study)
        if len(label) > MAX_LABEL:
            msg = (
                f"{loaded.source}: {label!r}: the label of the tuned loss would have {len(label)} "
                f"characters; at most {MAX_LABEL} are allowed: give the entry a shorter alias"
            )
            raise UserError(msg)
    if loaded.tune.pruning != "none" and studies[0].grace_epochs > studies[0].max_epochs:
        msg = (
            f"{loaded.source}: tune.grace_epochs: {loaded.tune.grace_epochs}: is more than "
            f"training.max_epochs, {studies[0].max_epochs}: nothing would ever be stopped"
        )
        raise UserError(msg)
    return Search(
        config=loaded, grid=build_grid(loaded), store=Store(loaded.results), studies=studies
    )


def run_search(
    search: Search,
    engine: EngineName | Engine = "ray",
    progress: ProgressMode | Progress = "auto",
    *,
    now: Now = utc_now,
    on_notes: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> SearchReport | None:
    """Runs the pending candidates of every search and compacts the store.

    Args:
        search: From `open_search`.
        engine: `ray`, `inline` (trains in this process), or an engine.
        progress: How to show the progress on standard output, or a display.
        now: The wall clock.
        on_notes: Called with notes for the user.

    Returns:
        The result of this run; None if no candidate was pending.

    Raises:
        UserError: Data, weights, models or resources do not allow the run; nothing was started.
    """
    if not isinstance(search, Search):
        msg = "only a search from open_search can be run, not a configuration by itself"
        raise UserError(msg)
    pending = sum(len(still_to_try(one.study, one.candidates)) for one in search.results())
    if not pending:
        return None
    config, grid, cache = search.config, search.grid, Path(search.config.data.cache)
    problems: tuple[str, ...] = ()
    if isinstance(engine, str):
        problems = no_room(engine, config, grid)
        engine = make_engine(engine, config, grid)
    found = preflight(
        grid,
        grid.trials,
        list_datasets(grid.datasets, grid.roots, cache, fetch=True),
        (),
        cache,
        location=search.store.location,
        fetch=True,
    )
    found.refuse(problems)
    on_notes(found.notes)
    store = search.store
    remove_dead_drivers(store, now())
    store.clean_up(now())
    total = max(pending, sum(study.options.trials for study in search.studies))
    if isinstance(progress, str):
        progress = make_progress(progress, sys.stdout)
    heartbeat = Heartbeat(progress, store, grid.grid_id, now=now)
    others = OtherDrivers(
        store=store, run_id=heartbeat.run_id, on_wait=lambda note: on_notes((note,)), now=now
    )
    interrupted = False
    try:
        heartbeat.on(SweepStarted(total, pending, total - pending))
        source = SearchSource(
            search.studies, search.known, others, heartbeat, functools.partial(runtime_of, config)
        )
        while not interrupted and not source.is_finished:
            interrupted = engine.run(source, store).interrupted
            if not interrupted:
                source.wait()
        heartbeat.on(SweepFinished(interrupted))
    finally:
        heartbeat.close()
    ids = {study.search_id for study in search.studies}
    rows = [row for row in store.candidates() if row.search_id in ids]
    on_notes(message_notes([row.message for row in rows if row.status == "completed"], found.notes))
    if not interrupted:
        store.compact(now())
    return SearchReport(num_failed=source.num_failed, interrupted=interrupted)
