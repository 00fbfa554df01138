"""SHA-256 and other facts on many files, remembered between runs by size and times."""

from __future__ import annotations

import hashlib
import json
import os
import time
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workers.contract import JSONValue, UserError
from workers.datasets.files.storage import (
    cache_writes,
    num_build_threads,
    report_inspection,
)
from workers.durable import locked, replace_file

SETTLED_NS = 2_000_000_000
"""A file changed less than this before it was hashed is hashed again next time: file systems
count time in coarse steps, so a second change within one step would not be noticed."""

Stamp = tuple[int, int, int]
Read = Callable[[Path], JSONValue]


def spelt(name: str) -> str:
    r"""Returns a name that can be written: `\xfc` for each byte that is not UTF-8."""
    return os.fsencode(name).decode(errors="backslashreplace")


def relative_name(folder: Path, path: Path) -> str:
    """Returns the path below `folder`, the same text on every machine (NFC, forward slashes).

    Bytes that are not UTF-8 are written as escapes; a survey refuses such names.
    """
    return unicodedata.normalize("NFC", spelt(path.relative_to(folder).as_posix()))


def hash_files(
    folder: Path,
    files: Iterable[Path],
    cache_dir: Path,
    clock_ns: Callable[[], int] = time.time_ns,
) -> dict[Path, str]:
    """Returns the SHA-256 of each file, remembered in `cache_dir`.

    Args:
        folder: Folder that holds all files.
        files: The files.
        cache_dir: Cache folder of this node.
        clock_ns: Gives the time in nanoseconds.

    Raises:
        UserError: A file cannot be read, or the cache folder cannot be written.
    """
    hashes = remembered(folder, files, cache_dir, "", hash_file, clock_ns)
    return {path: str(value) for path, value in hashes.items()}


def remembered(
    folder: Path,
    files: Iterable[Path],
    cache_dir: Path,
    what: str,
    read: Read,
    clock_ns: Callable[[], int] = time.time_ns,
) -> dict[Path, JSONValue]:
    """Returns the result of `read` for each file.

    Results are remembered in `cache_dir` under (name, size, time of content change, time of status
    change), so that only new or changed files are read.

    Args:
        folder: Folder that holds all files.
        files: The files.
        cache_dir: Cache folder of this node.
        what: Name and version of the facts; part of the name of the remembered file.
        read: Path to plain JSON values.
        clock_ns: Gives the time in nanoseconds.

    Raises:
        UserError: A file cannot be read, or the cache folder cannot be written.
    """
    paths = {relative_name(folder, path): path for path in files}
    memory_path = _memory_path(folder, cache_dir, what)
    stamps = {name: _stamp(path) for name, path in paths.items()}
    known = _known(stamps, _load(memory_path))
    if len(known) < len(paths):
        with cache_writes(cache_dir), locked(memory_path):
            known = _known(stamps, _load(memory_path))
            fresh = [name for name in paths if name not in known]
            settled_ns = clock_ns() - SETTLED_NS
            with ThreadPoolExecutor(num_build_threads()) as pool:
                values = pool.map(read, [paths[n] for n in fresh])
                for done, (name, value) in enumerate(zip(fresh, values, strict=True), start=1):
                    known[name] = value
                    report_inspection(folder, done, len(fresh))
            unsettled = {name for name in fresh if max(stamps[name][1:]) > settled_ns}
            # Another dataset can share the folder: the facts on its files stay.
            memory = {n: [*stamp, value] for n, (stamp, value) in _load(memory_path).items()}
            rows = memory | {n: [*stamps[n], known[n]] for n in paths if n not in unsettled}
            replace_file(memory_path, json.dumps(rows).encode())
    return {path: known[name] for name, path in paths.items()}


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _memory_path(folder: Path, cache_dir: Path, what: str) -> Path:
    key = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:20]
    return cache_dir / "hashes" / f"{key}{what and '-'}{what}.json"


def _load(memory_path: Path) -> dict[str, tuple[Stamp, JSONValue]]:
    try:
        rows = json.loads(memory_path.read_text(encoding="utf-8"))
        return {
            name: ((int(size), int(changed), int(status_changed)), value)
            for name, (size, changed, status_changed, value) in rows.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # missing or damaged: all files are read again


def _known(
    stamps: dict[str, Stamp], memory: dict[str, tuple[Stamp, JSONValue]]
) -> dict[str, JSONValue]:
    return {n: memory[n][1] for n, stamp in stamps.items() if n in memory and memory[n][0] == stamp}


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot be read: {error.strerror}; check the file and its permissions"
    )
