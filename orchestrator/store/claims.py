"""Who trains which trial right now: an empty file a running trial, so that drivers share the work.

A claim is named after the trial and the driver and holds as long as the driver's document is fresh
(see `orchestrator.store.runs`), so one heartbeat a driver renews all its claims. Nothing relies on
claims: where two drivers train one trial after all, the first commit wins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.store.files import CLAIMS
from orchestrator.store.runs import RunRecord, load_run, load_runs
from orchestrator.store.storage import FileInfo, Storage

PAUSE_SECONDS = 1.0
"""How long a driver gives another that met it at one trial to step back."""

MEETING = timedelta(seconds=2)
"""Claims further apart did not meet; an object store's times are whole seconds."""


def _pause() -> None:
    threading.Event().wait(PAUSE_SECONDS)


@dataclass(frozen=True)
class Claims:
    """The claims of one driver.

    Every method raises StoreError where a file cannot be read, written or removed; what is
    claimed is then uncertain, and harmless.
    """

    storage: Storage
    run_id: str

    def take(
        self, trial_id: str, now: datetime, pause: Callable[[], None] = _pause
    ) -> RunRecord | None:
        """Claims a trial, unless another live driver holds it.

        Needs no more of the place than that a listing shows what was written before it. Whoever
        sees no other claim beside its own has the trial, since all that come later see this one.
        Two that come at the same time may see each other: the junior by name steps back at once,
        and the senior looks again after a pause.

        Args:
            trial_id: What to train.
            now: The wall clock.
            pause: Waits about a second.

        Returns:
            None where the trial is claimed; otherwise the driver that has it.
        """
        self.storage.mark(self._path(trial_id))
        holder, met = self._holder(trial_id, now)
        if holder is not None and met and self.run_id < holder.run_id:
            pause()
            holder, _ = self._holder(trial_id, now)
        if holder is not None:
            self.release(trial_id)
        return holder

    def release(self, trial_id: str) -> None:
        """Gives a trial back; one that was not claimed is no error."""
        self.storage.delete(self._path(trial_id))

    def release_all(self) -> None:
        """Gives back whatever the driver still holds."""
        for file in self.storage.list(CLAIMS):
            if _run_of(file) == self.run_id:
                self.storage.delete(file.path)

    def of_others(self, trial_ids: Collection[str], now: datetime) -> dict[str, RunRecord]:
        """Returns which of these trials other live drivers hold."""
        files = [file for file in self.storage.list(CLAIMS) if _run_of(file) != self.run_id]
        alive = _alive(self.storage, now) if files else {}
        return {
            _trial_of(file): alive[_run_of(file)]
            for file in files
            if _trial_of(file) in trial_ids and _run_of(file) in alive
        }

    def _holder(self, trial_id: str, now: datetime) -> tuple[RunRecord | None, bool]:
        """Returns the live driver with the first other claim by name, and whether it is as new."""
        files = self.storage.list(CLAIMS, prefix=f"{trial_id}.")
        mine = next((file for file in files if _run_of(file) == self.run_id), None)
        for file in files:
            if file is not mine:
                run = load_run(self.storage, _run_of(file))
                if run is not None and run.is_alive(now):
                    return run, mine is None or _is_as_new(file, mine)
        return None, False

    def _path(self, trial_id: str) -> str:
        return f"{CLAIMS}/{trial_id}.{self.run_id}"


def dead_claims(storage: Storage, now: datetime) -> Iterator[FileInfo]:
    """Yields the claims of drivers that are gone.

    Raises:
        StoreError: The folder cannot be read.
    """
    files = storage.list(CLAIMS)
    alive = _alive(storage, now) if files else {}
    yield from (file for file in files if _run_of(file) not in alive)


def _alive(storage: Storage, now: datetime) -> dict[str, RunRecord]:
    return {run.run_id: run for run in load_runs(storage) if run.is_alive(now)}


def _is_as_new(file: FileInfo, mine: FileInfo) -> bool:
    """Compares two claims by the clock of the place that keeps them."""
    if file.modified_at is None or mine.modified_at is None:
        return True
    return file.modified_at > mine.modified_at - MEETING


def _trial_of(file: FileInfo) -> str:
    return file.name.partition(".")[0]


def _run_of(file: FileInfo) -> str:
    return file.name.partition(".")[2]
