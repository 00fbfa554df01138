"""What the store requires of a storage, its errors, and how temporary errors are retried."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from workers.contract import UserError

Buffer: TypeAlias = bytes | memoryview
"""Content of a file; a view of a mapped file can be larger than memory."""


class StoreError(UserError):
    """The results cannot be read or written; the message names the file and the remedy."""


class TemporaryStoreError(StoreError):
    """A temporary error: a lost connection, a throttled request, a stale file handle.

    A storage raises it only after it has repeated the operation for a while (see `RetryPolicy`).
    """


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One entry of a folder.

    Attributes:
        path: Relative to the location, separated by `/`.
        size_bytes: 0 for a folder.
        modified_at: UTC; None for a folder.
        is_folder: Whether the entry is not a file: a folder, or one with `is_special`.
        is_special: Whether it is a pipe, a socket or a device, which is never opened.
    """

    path: str
    size_bytes: int
    modified_at: datetime | None
    is_folder: bool = False
    is_special: bool = False

    @property
    def name(self) -> str:
        """The file name in the path."""
        return self.path.rpartition("/")[2]


class Storage(Protocol):
    """Keeps the files of one results location. Paths are relative to it, separated by `/`.

    Every method raises StoreError, whose message has no secrets. After a temporary error it first
    repeats the operation for a while.
    """

    def __hash__(self) -> int: ...

    @property
    def location(self) -> str:
        """The location with its options, for `open_storage`; it may contain credentials."""
        ...

    @property
    def name(self) -> str:
        """The location without its options, for messages."""
        ...

    def write(self, path: str, data: Buffer) -> None:
        """Writes or replaces a file in one step and durably."""
        ...

    def touch(self, path: str) -> None:
        """Creates an empty file, which a crash of the machine may lose."""
        ...

    def read(self, path: str) -> bytes | None:
        """Returns the bytes of a file, or None if the file does not exist."""
        ...

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        """Returns the entries of a folder, if it exists, whose names begin with `prefix`."""
        ...

    def delete(self, path: str) -> None:
        """Removes a file, if it exists."""
        ...

    def delete_folder(self, folder: str) -> None:
        """Removes a folder if it is empty; an object store leaves an object in its place."""
        ...

    def exists(self, path: str) -> bool:
        """Says whether a file exists."""
        ...

    def local_copies(self, paths: Sequence[str]) -> AbstractContextManager[Mapping[str, Path]]:
        """Gives a path on this machine for each file that still exists."""
        ...

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Keeps other processes from the same work if the storage can; no result depends on it."""
        ...


_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long an operation is repeated after temporary errors, with pauses that double.

    A location that has never answered is more likely misspelt than disturbed, so its error is
    reported soon.

    Attributes:
        first_pause_seconds: The first pause. Each pause is shortened at random by up to a half, so
            that many workers do not repeat their requests at the same time.
        longest_pause_seconds: Upper limit of a pause.
        unknown_seconds: Total time for a location that has not answered this process yet.
        known_seconds: Total time for a location that has answered.
        sleep: Waits for a number of seconds.
        clock: A monotonic clock, in seconds.
        answered: The locations that have answered.
    """

    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    unknown_seconds: float = 8.0
    known_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep  # noqa: TID251 - this is where it is injected
    clock: Callable[[], float] = time.monotonic
    answered: set[str] = field(default_factory=set)

    def run(self, location: str, operation: Callable[[], _Result]) -> _Result:
        """Returns the result of an operation, which is repeated after each temporary error.

        Raises:
            TemporaryStoreError: The errors lasted too long.
        """
        started, pause = self.clock(), self.first_pause_seconds
        while True:
            try:
                result = operation()
            except TemporaryStoreError:
                limit = self.known_seconds if location in self.answered else self.unknown_seconds
                if self.clock() - started + pause > limit:
                    raise
            else:
                self.answered.add(location)
                return result
            self.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, self.longest_pause_seconds)


RETRY_POLICY = RetryPolicy()
"""Shared by all storages of a process, so that each location has to answer only once."""
