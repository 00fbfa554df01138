"""The drivers that work on these results, one small document per driver, and their claims.

Heartbeats renew the documents. They show the progress of each driver and keep its claims valid. No
result depends on them: an outdated document only makes other drivers wait for a minute.
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
"""Time between two writes of the document of a running driver."""

SILENT = timedelta(seconds=60)
"""A driver whose document is older is treated as stopped."""

MAX_BYTES = 16 << 20
"""Largest size of the document of a driver."""

MAX_READS = 5
"""How often a malformed document is read; the driver may be replacing it meanwhile."""


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that a driver is training.

    Attributes:
        label: Text that names the trial.
        since: Start time, UTC.
        val_dice: Mean validation Dice of each epoch so far; None where it is not finite.
    """

    trial_id: str
    label: str
    since: datetime
    val_dice: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The state of one driver (`podium run`).

    Attributes:
        run_id: Id of the run; names the document.
        grid_id: The grid.
        host: Name of the machine.
        process_id: Id of the process on that machine.
        started_at: UTC.
        heartbeat_at: Time of the last write, UTC.
        num_pending: Pending trials at the start of the run.
        num_ended: Trials of the run that are finished or failed.
        running: Trials that are being trained, the oldest first.
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
        """Says whether the driver wrote its document recently, by the clocks of both machines."""
        return now - self.heartbeat_at < SILENT

    def describe(self, now: datetime) -> dict[str, Any]:
        """Returns the values that `podium status --json` shows of the driver."""
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
    """Writes or replaces the document of a driver.

    Raises:
        StoreError: The file cannot be written.
    """
    text = json.dumps(asdict(run), default=datetime.isoformat, allow_nan=False)
    storage.write(run_path(run.run_id), text.encode())


def load_runs(storage: Storage) -> list[RunRecord]:
    """Returns the documents of all drivers, the oldest first, without malformed ones.

    Raises:
        StoreError: The folder cannot be read.
    """
    return sorted(_read_all(storage), key=lambda run: (run.started_at, run.run_id))


def load_run(storage: Storage, run_id: str) -> RunRecord | None:
    """Returns the document of one driver; None if it does not exist or is malformed.

    Raises:
        StoreError: The file cannot be read.
    """
    return next((run for run in _read_all(storage, run_id) if run.run_id == run_id), None)


def run_path(run_id: str) -> str:
    """Returns the path of a driver's document."""
    return f"{RUNS}/{run_id}.json"


def finite(value: float) -> float | None:
    """Returns a finite number unchanged, and None for any other, which JSON cannot hold."""
    return value if math.isfinite(value) else None


def _read_all(storage: Storage, prefix: str = "") -> Iterator[RunRecord]:
    """Yields the documents whose names begin with `prefix`; skips files that are too large."""
    for file in storage.list(RUNS, prefix=prefix):
        if file.name.endswith(".json") and not file.is_folder and file.size_bytes <= MAX_BYTES:
            run = _read(storage, file.path)
            if run is not None and file.name == f"{run.run_id}.json":
                yield run


def _read(storage: Storage, path: str) -> RunRecord | None:
    """Reads a document that its driver may be replacing.

    An object is read by two requests, one for its size and one for its bytes. If the driver
    replaces it between them, the bytes do not fit the size. Without a second read, other drivers
    would treat the driver as stopped and ignore its claims.
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
        return None  # Another version wrote it; no result depends on it.
    running = tuple(
        RunningTrial(**{item.name: getattr(trial, item.name) for item in fields(RunningTrial)})
        for trial in found.running
    )
    known = {item.name: getattr(found, item.name) for item in fields(RunRecord)}
    return RunRecord(**{**known, "running": running})


PAUSE_SECONDS = 1.0
"""How long a driver waits for another driver to withdraw a claim made at the same time."""

MEETING = timedelta(seconds=2)
"""Claims that are closer in time were made at the same time; object stores have whole seconds."""


def _pause() -> None:
    threading.Event().wait(PAUSE_SECONDS)


@dataclass(frozen=True)
class Claims:
    """The claims of one driver.

    Every method raises StoreError if a file cannot be read, written or removed. It is then unknown
    whether the trial is claimed, which no result depends on.
    """

    storage: Storage
    run_id: str

    def claim(
        self, trial_id: str, now: datetime, pause: Callable[[], None] = _pause
    ) -> RunRecord | None:
        """Claims a trial, unless another live driver has claimed it.

        The only requirement on the storage is that a listing shows every file written before it.
        A driver that sees no other claim has the trial, because every later driver sees its claim.
        Two drivers that claim at the same time may see each other: the driver whose id sorts later
        withdraws its claim at once, and the other driver checks again after a pause.

        Args:
            trial_id: The trial.
            now: The current time.
            pause: Waits about a second.

        Returns:
            None if the trial is claimed; otherwise the driver that has claimed it.
        """
        self.storage.touch(self._path(trial_id))
        other, at_once = self._other_claimant(trial_id, now)
        if other is not None and at_once and self.run_id < other.run_id:
            pause()
            other, _ = self._other_claimant(trial_id, now)
        if other is not None:
            self.release(trial_id)
        return other

    def release(self, trial_id: str) -> None:
        """Removes the claim on a trial, if there is one."""
        self.storage.delete(self._path(trial_id))

    def release_all(self) -> None:
        """Removes all claims of the driver."""
        for file in self.storage.list(CLAIMS):
            if _run_of(file) == self.run_id:
                self.storage.delete(file.path)

    def of_others(self, trial_ids: Collection[str], now: datetime) -> dict[str, RunRecord]:
        """Returns the other live drivers that have claimed these trials, by trial id."""
        files = [file for file in self.storage.list(CLAIMS) if _run_of(file) != self.run_id]
        alive = _alive(self.storage, now) if files else {}
        return {
            _trial_of(file): alive[_run_of(file)]
            for file in files
            if _trial_of(file) in trial_ids and _run_of(file) in alive
        }

    def _other_claimant(self, trial_id: str, now: datetime) -> tuple[RunRecord | None, bool]:
        """Returns the first other live driver by name, and whether it claimed at the same time."""
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
    """Yields the claims of drivers that no longer run.

    Raises:
        StoreError: The folder cannot be read.
    """
    files = storage.list(CLAIMS)
    alive = _alive(storage, now) if files else {}
    yield from (file for file in files if _run_of(file) not in alive)


def _alive(storage: Storage, now: datetime) -> dict[str, RunRecord]:
    return {run.run_id: run for run in load_runs(storage) if run.is_alive(now)}


def _is_as_new(file: FileInfo, mine: FileInfo) -> bool:
    """Compares the times of two claims by the clock of the storage."""
    if file.modified_at is None or mine.modified_at is None:
        return True
    return file.modified_at > mine.modified_at - MEETING


def _trial_of(file: FileInfo) -> str:
    return file.name.partition(".")[0]


def _run_of(file: FileInfo) -> str:
    return file.name.partition(".")[2]
