"""Results on a local or shared file system."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

import filelock

from orchestrator.store.storage import (
    RETRY_POLICY,
    Buffer,
    FileInfo,
    RetryPolicy,
    StoreError,
    TemporaryStoreError,
)
from workers.durable import replace_file, sync_folder

LOCK_WAIT_SECONDS = 60.0

_FULL = "free some space or choose another results location, then run the same command again"
_PERMISSION = "give this user write access or choose another results location"
_NO_FILE = "a folder, a pipe, a socket or a device, not a file; delete it"
_FOLDER = "a results location is a folder; move that file away or choose another location"
REMEDIES: dict[int, str] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.ENXIO: _NO_FILE,
    errno.ENOTDIR: _FOLDER,
    errno.EEXIST: _FOLDER,
}
"""Remedy for an error of the operating system, by its number."""

TEMPORARY_ERRORS = frozenset(
    number
    for name in (
        *("EIO", "EAGAIN", "EINTR", "EBUSY", "ENOLCK", "ETIMEDOUT", "ESTALE", "EREMOTEIO"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "ECONNRESET", "ECONNABORTED"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN", "ESHUTDOWN"),
    )
    if (number := getattr(errno, name, None)) is not None
)
"""Temporary errors of a file server that is busy or restarts."""
_LASTING = "the disk or its file server fails; check it, then run the same command again"

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class LocalStorage:
    """Files below one folder, an absolute path, of a file system with an atomic rename."""

    root: Path
    retry_policy: RetryPolicy = field(default=RETRY_POLICY, compare=False, repr=False)

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.root)

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.root)

    def write(self, path: str, data: Buffer) -> None:
        """Replaces a file in one step and durably."""
        target = self.root / path

        def write() -> None:
            _make_folder(target.parent)
            replace_file(target, data)

        self._retried(path, write)

    def touch(self, path: str) -> None:
        """Creates an empty file without the syncs, which take most of the time of a write."""
        target = self.root / path

        def touch() -> None:
            _make_folder(target.parent)
            target.touch()

        self._retried(path, touch)

    def read(self, path: str) -> bytes | None:
        """Returns a file's bytes, or None."""

        def read() -> bytes | None:
            with contextlib.suppress(FileNotFoundError), _open_file(self.root / path) as file:
                return file.read()
            return None

        return self._retried(path, read)

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        """Returns the entries of a folder whose names begin with `prefix`."""

        def entries() -> tuple[FileInfo, ...]:
            found = []
            with (
                contextlib.suppress(FileNotFoundError),
                os.scandir(self.root / folder) as entries,
            ):
                for entry in entries:
                    if not entry.name.startswith(prefix):
                        continue
                    # Another process may remove a file after the listing.
                    with contextlib.suppress(FileNotFoundError):
                        found.append(_info(f"{folder}/{entry.name}", entry.stat()))
            return tuple(sorted(found, key=lambda info: info.path))

        return self._retried(folder, entries)

    def delete(self, path: str) -> None:
        """Removes a file if it is there."""
        self._retried(path, lambda: (self.root / path).unlink(missing_ok=True))

    def delete_folder(self, folder: str) -> None:
        """Removes a folder if it is empty."""

        def delete() -> None:
            try:
                (self.root / folder).rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise

        self._retried(folder, delete)

    def exists(self, path: str) -> bool:
        """Says whether the file is there."""
        return self._retried(path, lambda: (self.root / path).is_file())

    @contextlib.contextmanager
    def local_copies(self, paths: Sequence[str]) -> Iterator[Mapping[str, Path]]:
        """Gives the files themselves."""
        yield {path: self.root / path for path in paths}

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Waits up to a minute for the lock file `.NAME.lock`, then continues without the lock."""
        if not self.root.is_dir():
            yield  # No process can work in a folder that does not exist.
            return
        lock = filelock.FileLock(self.root / f".{name}.lock")

        def acquire() -> None:
            with contextlib.suppress(filelock.Timeout, NotImplementedError):
                lock.acquire(timeout=LOCK_WAIT_SECONDS)

        self._retried(f".{name}.lock", acquire)
        try:
            yield
        finally:
            lock.release()

    def _retried(self, path: str, operation: Callable[[], _Result]) -> _Result:
        def explained() -> _Result:
            try:
                return operation()
            except OSError as error:
                raise self._explain(path, error) from error

        return self.retry_policy.run(self.name, explained)

    def _explain(self, path: str, error: OSError) -> StoreError:
        reason, number = error.strerror or str(error), error.errno or 0
        remedy = REMEDIES.get(number, _LASTING)
        file = error.filename if remedy == _FOLDER else self.root / path
        kind = TemporaryStoreError if number in TEMPORARY_ERRORS else StoreError
        return kind(f"{file}: {reason}; {remedy}")


def _open_file(path: Path) -> BinaryIO:
    """Opens a file for reading without waiting for the writer of a pipe.

    Raises:
        StoreError: The path is not a file.
        OSError: The file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")  # noqa: PTH123 - a descriptor has no path
    os.close(descriptor)
    msg = f"{path}: {_NO_FILE}"
    raise StoreError(msg)


def _make_folder(folder: Path) -> None:
    """Makes a folder and its parents durably, before a file is written into it."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _info(path: str, status: os.stat_result) -> FileInfo:
    if not stat.S_ISREG(status.st_mode):
        is_special = not stat.S_ISDIR(status.st_mode)
        return FileInfo(
            path=path, size_bytes=0, modified_at=None, is_folder=True, is_special=is_special
        )
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return FileInfo(path=path, size_bytes=status.st_size, modified_at=modified_at)
