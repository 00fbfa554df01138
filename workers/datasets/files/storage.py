"""The cache folder: errors of writing to it, progress of long reads, threads that fill it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from workers.contract import UserError

_REMEDIES = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some of your quota there",
    errno.EFBIG: "raise the limit on file sizes",
    errno.EACCES: "allow writing there",
    errno.EPERM: "allow writing there",
    errno.EROFS: "it is read-only",
}


@contextmanager
def cache_writes(cache_dir: Path, num_bytes: int | None = None) -> Iterator[None]:
    """Turns a failed write into an error that names the cache folder and the key to change.

    Args:
        cache_dir: The cache folder of this node.
        num_bytes: Size of the content to write, for the message.

    Raises:
        UserError: The folder is full, not writable or cannot be locked.
    """
    try:
        for folder in ("hashes", "arrays"):
            (cache_dir / folder).mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = _REMEDIES.get(getattr(error, "errno", None) or 0, "check the folder")
        need = f" ({num_bytes / 1e6:.1f} MB needed)" if num_bytes else ""
        msg = (
            f"cannot write the image cache in {cache_dir}: {reason}{need}; {remedy}, "
            "or set data.cache to another folder"
        )
        raise UserError(msg) from error


Watch = Callable[[Path, int, int], None]
"""Called with a folder, the number of its inspected files, and the number of files to inspect."""

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched_inspection(watch: Watch) -> Iterator[None]:
    """Calls `watch` during every inspection of files inside the context."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def report_inspection(folder: Path, done: int, total: int) -> None:
    """Reports how many files of a folder are inspected, if there is a watch."""
    watch = _watch.get()
    if watch is not None:
        watch(folder, done, total)


def num_build_threads() -> int:
    """Returns how many threads decode or hash: a few, since every picture may be 100 MB."""
    if hasattr(os, "sched_getaffinity"):
        return min(4, len(os.sched_getaffinity(0)))
    return min(4, os.cpu_count() or 1)
