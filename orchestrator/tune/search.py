"""A search from configuration to the losses at their best: what `podium tune` calls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestrator.config import SweepConfig, load_config
from orchestrator.engine.base import Now, utc_now
from orchestrator.plan.grid import Grid, build_grid
from orchestrator.plan.preflight import preflight
from orchestrator.plan.survey import list_datasets
from orchestrator.progress import Progress, SweepFinished, SweepStarted
from orchestrator.run import message_notes, runtime_of
from orchestrator.store import Store
from orchestrator.tune.studies import (
    Finding,
    Study,
    candidates_of,
    still_to_try,
    studies_of,
    tuned_label,
)
from workers.contract import Runtime, TrialSpec, UserError

if TYPE_CHECKING:
    from orchestrator.tune.ray_search import SearchReport

MAX_LABEL = 64


class SearchEngine(Protocol):
    """Runs searches."""

    def run(
        self,
        studies: Sequence[Study],
        store: Store,
        progress: Progress,
        runtime_of: Callable[[TrialSpec], Runtime],
    ) -> SearchReport:
        """Runs what is missing of each search."""
        ...


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a configuration searches, and where the results are.

    Attributes:
        grid: The grid of the same configuration: what a candidate is trained on.
        studies: One search for each loss, or for each loss, dataset and model.
    """

    config: SweepConfig
    grid: Grid
    store: Store
    studies: tuple[Study, ...]

    def findings(self) -> tuple[Finding, ...]:
        """Returns what each search has found so far."""
        rows = self.store.candidates()
        return tuple(
            Finding(
                study=study,
                candidates=candidates_of(
                    study, [row for row in rows if row.search_id == study.search_id]
                ),
            )
            for study in self.studies
        )


def open_search(path: Path, overrides: Sequence[str] = ()) -> Search:
    """Reads a configuration; nothing is written or started.

    Raises:
        UserError: Something in the configuration or the results has to be mended first.
    """
    config = load_config(path, overrides)
    studies = studies_of(config)
    for study in studies:
        label = tuned_label(study)
        if len(label) > MAX_LABEL:
            msg = (
                f"{path}: {label!r}: the label of the tuned loss would have {len(label)} "
                f"characters; at most {MAX_LABEL} are allowed: give the entry a shorter alias"
            )
            raise UserError(msg)
    if config.tune.pruning != "none" and studies[0].grace_epochs > studies[0].max_epochs:
        msg = (
            f"{path}: tune.grace_epochs: {config.tune.grace_epochs}: is more than "
            f"training.max_epochs, {studies[0].max_epochs}: nothing would ever be stopped"
        )
        raise UserError(msg)
    return Search(
        config=config, grid=build_grid(config), store=Store(config.results), studies=studies
    )


def run_search(
    search: Search,
    engine: SearchEngine,
    progress: Progress,
    now: Now = utc_now,
    on_notes: Callable[[tuple[str, ...]], None] = lambda _: None,
) -> SearchReport | None:
    """Runs what is missing of every search and compacts the store.

    Returns:
        What this run came to; None where nothing was left to do.

    Raises:
        UserError: Data, weights or models are not as they should be; nothing was started then.
    """
    pending = sum(len(still_to_try(one.study, one.candidates)) for one in search.findings())
    if not pending:
        return None
    config, cache = search.config, Path(search.config.data.cache)
    grid = search.grid
    found = preflight(
        grid,
        grid.trials,
        list_datasets(grid.datasets, grid.roots, cache, fetch=True),
        (),
        cache,
        location=search.store.location,
        fetch=True,
    )
    found.refuse()
    on_notes(found.notes)
    search.store.clean_up(now())
    total = sum(study.options.trials for study in search.studies)
    interrupted = False
    try:
        total = max(total, pending)
        progress.on(SweepStarted(total, pending, total - pending))
        report = engine.run(
            search.studies, search.store, progress, functools.partial(runtime_of, config)
        )
        interrupted = report.interrupted
        progress.on(SweepFinished(interrupted))
    finally:
        progress.close()
    ids = {study.search_id for study in search.studies}
    rows = [row for row in search.store.candidates() if row.search_id in ids]
    on_notes(message_notes([row.message for row in rows if row.status == "completed"], found.notes))
    if not interrupted:
        search.store.compact(now())
    return report
