"""Results on a local or shared file system: written beside, synced, then put in place."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import filelock

from orchestrator.store.storage import FileInfo, StoreError

LOCK_WAIT_SECONDS = 60.0

_FULL = "free some space or choose another results location, then run the same command again"
_PERMISSION = "give this user write access or choose another results location"
_FOLDER = "a results location is a folder; move that file away or choose another location"
REMEDIES: dict[int, str] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.ENOTDIR: _FOLDER,
    errno.EEXIST: _FOLDER,
}
"""What to do about an error of the operating system, by its number."""


@dataclass(frozen=True)
class LocalStorage:
    """Files below one folder, an absolute path, of a file system with an atomic rename."""

    root: Path

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.root)

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    def write(self, path: str, data: bytes) -> None:
        """Writes beside, syncs, renames over the name and syncs the folder."""
        target = self.root / path
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        with self._explained(path):
            self._make_folder(target.parent)
            try:
                with beside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(target)
            except BaseException:
                with contextlib.suppress(OSError):
                    beside.unlink()
                raise
            _sync_folder(target.parent)

    def read(self, path: str) -> bytes | None:
        """Returns a file's bytes, or None."""
        with self._explained(path), contextlib.suppress(FileNotFoundError):
            return (self.root / path).read_bytes()
        return None

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        """Returns the entries of a folder whose names begin so."""
        found = []
        with (
            self._explained(folder),
            contextlib.suppress(FileNotFoundError),
            os.scandir(self.root / folder) as entries,
        ):
            for entry in entries:
                if not entry.name.startswith(prefix):
                    continue
                # Another process may remove a file between the listing and the look at it.
                with contextlib.suppress(FileNotFoundError):
                    found.append(_info(f"{folder}/{entry.name}", entry.stat()))
        return tuple(sorted(found, key=lambda info: info.path))

    def delete(self, path: str) -> None:
        """Removes a file if it is there."""
        with self._explained(path):
            (self.root / path).unlink(missing_ok=True)

    def exists(self, path: str) -> bool:
        """Says whether the file is there."""
        with self._explained(path):
            return (self.root / path).is_file()

    @contextlib.contextmanager
    def local_copies(self, paths: Sequence[str]) -> Iterator[Mapping[str, Path]]:
        """Gives the files themselves."""
        yield {path: self.root / path for path in paths}

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Waits up to a minute for the lock file `.NAME.lock`, then goes on regardless."""
        if not self.root.is_dir():
            yield  # Nothing is here to keep others out of.
            return
        with self._explained(f".{name}.lock"):
            lock = filelock.FileLock(self.root / f".{name}.lock")
            with contextlib.suppress(filelock.Timeout, NotImplementedError):
                lock.acquire(timeout=LOCK_WAIT_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def _make_folder(self, folder: Path) -> None:
        """Makes a folder and its parents, each durable before a file relies on it."""
        if folder.is_dir():
            return
        if folder.parent != folder:
            self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            remedy = REMEDIES.get(error.errno or 0, "check the disk, then run again")
            place = error.filename if remedy == _FOLDER else self.root / path
            msg = f"{place}: {reason}; {remedy}"
            raise StoreError(msg) from error


def _info(path: str, status: os.stat_result) -> FileInfo:
    if stat.S_ISDIR(status.st_mode):
        return FileInfo(path=path, size_bytes=0, modified_at=None, is_folder=True)
    modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return FileInfo(path=path, size_bytes=status.st_size, modified_at=modified_at)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder; they make the rename durable themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
