"""Who is working on these results right now: one small document a driver, renewed by heartbeats.

They tell people what is under way, and keep a driver's claims on trials alive. No result relies on
them: a stale one only makes others wait a minute.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from orchestrator.store.files import CLAIMS, RUNS
from orchestrator.store.storage import FileInfo, Storage
from orchestrator.untrusted import MalformedError, RunShape, check_shape, parse_json

HEARTBEAT_SECONDS = 5.0
"""A running driver renews its document this often."""

SILENT = timedelta(seconds=60)
"""A driver that has not written for so long is taken for gone."""

MAX_BYTES = 16 << 20
"""Of a driver's document."""

MAX_READS = 5
"""How often a document that makes no sense is read; it is written every few seconds at most."""


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial under way.

    Attributes:
        label: Names it for people.
        since: When it was started, UTC.
        val_dice: Mean validation Dice of each epoch so far; None where it is not finite.
    """

    trial_id: str
    label: str
    since: datetime
    val_dice: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What one driver (`podium run`) is doing.

    Attributes:
        run_id: Name of its document.
        grid_id: The grid it runs.
        host: Its machine.
        process_id: Its process there.
        started_at: UTC.
        heartbeat_at: When it last wrote this, UTC.
        num_pending: Trials it set out to run.
        num_ended: Those of them that ended, however they did.
        running: Trials under way, the oldest first.
    """

    run_id: str
    grid_id: str
    host: str
    process_id: int
    started_at: datetime
    heartbeat_at: datetime
    num_pending: int
    num_ended: int = 0
    running: tuple[RunningTrial, ...] = field(default_factory=tuple)

    def is_alive(self, now: datetime) -> bool:
        """Says whether the driver wrote recently; clocks of two machines may differ a little."""
        return now - self.heartbeat_at < SILENT

    def describe(self, now: datetime) -> dict[str, Any]:
        """Returns what a listing shows of the driver."""
        return {
            "host": self.host,
            "process_id": self.process_id,
            "started_at": self.started_at.isoformat(),
            "silent_seconds": round((now - self.heartbeat_at).total_seconds()),
            "alive": self.is_alive(now),
            "pending": self.num_pending,
            "ended": self.num_ended,
            "running": len(self.running),
        }


def save_run(storage: Storage, run: RunRecord) -> None:
    """Writes a driver's document, replacing its last.

    Raises:
        StoreError: The file cannot be written.
    """
    text = json.dumps(asdict(run), default=datetime.isoformat, allow_nan=False)
    storage.write(run_path(run.run_id), text.encode())


def load_runs(storage: Storage) -> list[RunRecord]:
    """Returns the documents of all drivers, the oldest first; foreign ones are left out.

    Raises:
        StoreError: The folder cannot be read.
    """
    return sorted(_read_all(storage), key=lambda run: (run.started_at, run.run_id))


def load_run(storage: Storage, run_id: str) -> RunRecord | None:
    """Returns one driver's document, or None where there is none or a foreign one.

    Raises:
        StoreError: The file cannot be read.
    """
    return next((run for run in _read_all(storage, run_id) if run.run_id == run_id), None)


def run_path(run_id: str) -> str:
    """Returns where a driver's document is."""
    return f"{RUNS}/{run_id}.json"


def finite(value: float) -> float | None:
    """Returns a number as JSON can hold it."""
    return value if math.isfinite(value) else None


def _read_all(storage: Storage, prefix: str = "") -> Iterator[RunRecord]:
    """Yields the documents whose names begin so; none is read that is larger than one can be."""
    for file in storage.list(RUNS, prefix=prefix):
        if file.name.endswith(".json") and not file.is_folder and file.size_bytes <= MAX_BYTES:
            run = _read(storage, file.path)
            if run is not None and file.name == f"{run.run_id}.json":
                yield run


def _read(storage: Storage, path: str) -> RunRecord | None:
    """Reads a document that its driver may be replacing.

    An object is read by two requests, for its size and for so many bytes: where it is replaced
    between them, they do not fit. A driver taken for gone then would lose its claims for a moment.
    """
    for _ in range(MAX_READS):
        data = storage.read(path)
        run = None if data is None else _parse(data)
        if data is None or run is not None:
            return run
    return None


def _parse(data: bytes) -> RunRecord | None:
    try:
        found = check_shape(parse_json(data, MAX_BYTES), RunShape)
    except MalformedError:
        return None  # Written by another version; it is only news, so nothing is lost.
    running = tuple(
        RunningTrial(**{item.name: getattr(trial, item.name) for item in fields(RunningTrial)})
        for trial in found.running
    )
    known = {item.name: getattr(found, item.name) for item in fields(RunRecord)}
    return RunRecord(**{**known, "running": running})


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

    def claim(
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
        self.storage.touch(self._path(trial_id))
        holder, met = self._other_claimant(trial_id, now)
        if holder is not None and met and self.run_id < holder.run_id:
            pause()
            holder, _ = self._other_claimant(trial_id, now)
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

    def _other_claimant(self, trial_id: str, now: datetime) -> tuple[RunRecord | None, bool]:
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


def stale_claims(storage: Storage, now: datetime) -> Iterator[FileInfo]:
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
