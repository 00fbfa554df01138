"""What the store asks of a place that keeps files, and the errors every such place raises."""

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
"""What can be written; a view of a mapped file need not fit into memory."""


class StoreError(UserError):
    """The results cannot be read or written; the message names the file and the remedy."""


class TemporaryStoreError(StoreError):
    """The same as what may pass: a lost connection, a throttled request, a stale file handle.

    Storages ask again for a while (see `orchestrator.store.storage`) before anybody sees this.
    """


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One entry of a folder.

    Attributes:
        path: Relative to the location, with `/` between its parts.
        size_bytes: 0 for a folder.
        modified_at: UTC; None for a folder.
        is_folder: True for what is no file: a folder, or as `is_special` says.
        is_special: True for a pipe, a socket or a device, which is never opened.
    """

    path: str
    size_bytes: int
    modified_at: datetime | None
    is_folder: bool = False
    is_special: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class Storage(Protocol):
    """A place that keeps files. Paths are relative, with `/` between their parts.

    Every method raises StoreError when the place refuses; the message holds no secret. What may
    pass is tried again for a while first.
    """

    def __hash__(self) -> int: ...

    @property
    def location(self) -> str:
        """What `open_storage` opens again, with its options."""
        ...

    @property
    def name(self) -> str:
        """The location as messages show it, without options."""
        ...

    def write(self, path: str, data: Buffer) -> None:
        """Puts a file in place, whole, durable and at once; replaces an older one."""
        ...

    def touch(self, path: str) -> None:
        """Puts an empty file in place, which a crash of the machine may lose."""
        ...

    def read(self, path: str) -> bytes | None:
        """Returns a file's bytes, or None when there is no such file."""
        ...

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        """Returns the entries of a folder whose names begin so; none when there is no folder."""
        ...

    def delete(self, path: str) -> None:
        """Removes a file; a file that is already gone is no error."""
        ...

    def delete_folder(self, folder: str) -> None:
        """Removes a folder if it is empty; an object store leaves an object where one was."""
        ...

    def exists(self, path: str) -> bool:
        """Says whether the file is there."""
        ...

    def local_copies(self, paths: Sequence[str]) -> AbstractContextManager[Mapping[str, Path]]:
        """Gives each file as one on this machine; files that are gone are left out."""
        ...

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Keeps others out as a courtesy where the place can; nothing relies on it."""
        ...


_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long to go on asking, with pauses that double.

    A place that never answered is more likely misnamed than disturbed, so its user is told soon.

    Attributes:
        first_pause_seconds: The first pause; each is shortened at random by up to a half, so that
            many workers do not come back at once.
        longest_pause_seconds: No pause is longer.
        unknown_seconds: In all, for a place that has not answered this process yet.
        known_seconds: In all, for a place that has.
        sleep: Pauses.
        clock: A monotonic clock, in seconds.
        answered: The places that have answered.
    """

    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 15.0
    unknown_seconds: float = 8.0
    known_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep  # noqa: TID251 - this is where it is injected
    clock: Callable[[], float] = time.monotonic
    answered: set[str] = field(default_factory=set)

    def run(self, place: str, operation: Callable[[], _Result]) -> _Result:
        """Returns what an operation gives, repeating it after each hiccup.

        Raises:
            TemporaryStoreError: The hiccup lasted too long.
        """
        started, pause = self.clock(), self.first_pause_seconds
        while True:
            try:
                result = operation()
            except TemporaryStoreError:
                limit = self.known_seconds if place in self.answered else self.unknown_seconds
                if self.clock() - started + pause > limit:
                    raise
            else:
                self.answered.add(place)
                return result
            self.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, self.longest_pause_seconds)


RETRY_POLICY = RetryPolicy()
"""Shared by all storages of a process, so that a place is known once it has answered."""
