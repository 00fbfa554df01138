"""Durable writes: a file replaced in one step, and files or folders that one process builds once.

Whatever is visible under its name is whole. Work in progress has a name of the form
`.NAME.<random>.tmp`, which no reader opens.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Name of a file or folder that is being written."""

MAX_SYNCED_FILES = 100
"""A folder with more files is made durable by one sync of all disks."""


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Replaces a file in one step and durably: writes beside it, syncs, renames, syncs the folder.

    A killed process leaves the file as it was before.

    Raises:
        OSError: The file cannot be written; it is as it was before.
    """
    beside = _beside(path)
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def build_once(
    path: Path, build: Callable[[Path], Path], is_built: Callable[[Path], bool] = Path.exists
) -> None:
    """Builds a file or a folder that all processes of this machine share, unless it is there.

    One process builds it and the others wait. A path that is visible is complete and durable; one
    that `is_built` rejects is replaced.

    Args:
        path: What to build; its folder exists.
        build: Makes the file or folder inside an empty scratch folder and returns its path there.
        is_built: Whether what lies at `path` can be used.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    with locked(path):
        if is_built(path):
            return
        scratch = _beside(path)
        scratch.mkdir()
        try:
            built = build(scratch)
            _sync(built)
            _remove(path)
            built.rename(path)
            sync_folder(path.parent)
        finally:
            _remove(scratch)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes of this machine from `path`, by the lock file `NAME.lock` beside it.

    Removes what a killed process left unfinished there.
    """
    with FileLock(path.with_name(f"{path.name}.lock")):
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            if TEMPORARY.fullmatch(leftover.name):
                _remove(leftover)
        yield


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable.

    Raises:
        OSError: The disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # A folder that can be written but not read cannot be synced either.
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder; they make the rename durable themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _sync(path: Path) -> None:
    """Makes a file, or all files below a folder, durable."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    if len(files) > MAX_SYNCED_FILES:
        os.sync()
        return
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
