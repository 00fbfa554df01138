"""Unpacking an archive of datasets: nothing outside its folder, everything or nothing.

Archives come from strangers. Podium therefore reads the members itself and never calls the
extraction of Python's `tarfile` or `zipfile`, whose filters depend on the patch version of Python
(CVE-2025-4517): regular files and folders under relative names are written, anything else is
refused, and the amount that comes out is bounded.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from workers.contract import UserError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
"""Endings of archives that can be unpacked."""

MAX_FILES = 2_000_000
MAX_FILE_BYTES = 8 << 30
MAX_RATIO = 200
"""Largest ratio of unpacked to packed size. Packed pictures grow by a few per cent, packed masks up
to a hundred times, an archive that was made to fill disks a thousand times and more."""
FREE_OF_RATIO_BYTES = 1 << 30
MAX_NAME_BYTES = 1024
MAX_PART_BYTES = 255
MAX_DEPTH = 32

_CHUNK_BYTES = 1 << 20
_BY_HAND = "if you trust it, unpack it yourself and set data.root to the folder"
_ZIP = re.compile(rb"PK(\x03\x04|\x05\x06)")
_OPENERS: tuple[tuple[re.Pattern[bytes], Callable[[Path], Any]], ...] = (
    (re.compile(rb"\x1f\x8b"), gzip.GzipFile),
    (re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"), bz2.BZ2File),
    (re.compile(rb"\xfd7zXZ\x00"), lzma.LZMAFile),
    (re.compile(rb""), lambda path: path.open("rb")),
)
"""First bytes of a compressed tar, and its reader."""


class _RefusedError(Exception):
    """A member or the whole archive is refused; the text says why and what to do."""


@dataclass(frozen=True)
class _Member:
    """A folder, or a regular file with a way to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]] | None


def is_archive(text: str) -> bool:
    """Returns whether a path or URI names an archive, by its ending."""
    path = text.partition("?")[0] if "://" in text else text
    return path.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path, shown: str) -> None:
    """Unpacks a tar or zip archive into a folder; without permissions, owners and times.

    Args:
        archive: The file.
        folder: An empty folder; after an error it can hold some of the files.
        shown: Name of the archive in messages.

    Raises:
        UserError: The file is not such an archive, is damaged or encrypted, has members other
            than files and folders below the folder, has too many or too large members, or does
            not fit on the disk.
        OSError: The disk cannot be written.
    """
    try:
        with _members(archive) as members:
            _write(members, folder.resolve(), archive.stat().st_size)
    except _RefusedError as error:
        msg = f"{shown}: {error}"
        raise UserError(msg) from None
    except (
        *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
        *(EOFError, OSError, RuntimeError, ValueError, LookupError),
    ) as error:  # RecursionError and a method of packing that Python lacks are RuntimeErrors
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # an error of the disk; damage has no errno or EINVAL
        reason = str(error).partition("\n")[0].rstrip(":")
        msg = f"{shown}: is not a readable archive ({reason}); make it again, or check its transfer"
        raise UserError(msg) from error


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """Opens an archive; its first bytes show whether it is a zip or a tar."""
    with archive.open("rb") as file:
        start = file.read(10)
    if _ZIP.match(start):
        with zipfile.ZipFile(archive) as content:
            yield _zip_members(content)
        return
    opener = next(opener for magic, opener in _OPENERS if magic.match(start))
    with (
        opener(archive) as stream,
        tarfile.open(fileobj=_ShortReads(stream), mode="r:") as tar,
    ):
        yield _tar_members(tar)


def _zip_members(content: zipfile.ZipFile) -> Iterator[_Member]:
    for info in content.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.filename.endswith("/"):
            yield _Member(info.filename, 0, None)
            continue
        if info.flag_bits & 1:
            msg = f"{info.filename!r} is encrypted"
            raise zipfile.BadZipFile(msg)
        _refuse_kind(info.filename, kind in (0, stat.S_IFREG), is_link=kind == stat.S_IFLNK)
        yield _Member(info.filename, info.file_size, partial(content.open, info))


def _tar_members(tar: tarfile.TarFile) -> Iterator[_Member]:
    end = -1
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined] # otherwise it keeps millions in memory
        if info.size < 0 or info.offset <= end:
            msg = f"the header of {info.name!r} points backwards"
            raise tarfile.ReadError(msg)
        end = info.offset
        if info.isdir():
            yield _Member(info.name, 0, None)
            continue
        _refuse_kind(info.name, info.isreg(), is_link=info.issym() or info.islnk())
        yield _Member(info.name, info.size, partial(_opened, tar, info))


def _opened(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(info)
    if stream is None:
        msg = f"{info.name!r} has no content"
        raise tarfile.ReadError(msg)
    return stream


def _refuse_kind(name: str, is_file: bool, *, is_link: bool) -> None:
    if is_link:
        msg = (
            f"{name!r} is a link, which could lead out of the folder; pack the files that links "
            "stand for (tar --dereference --hard-dereference)"
        )
        raise _RefusedError(msg)
    if not is_file:
        msg = f"{name!r} is a device, a pipe or another special file; pack files and folders only"
        raise _RefusedError(msg)


class _ShortReads(io.RawIOBase):
    """A stream from which a header cannot make `tarfile` read gigabytes into memory at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """Reads from the stream, at most one chunk."""
        if not 0 <= size <= _CHUNK_BYTES:
            msg = f"a header asks for {size} bytes"
            raise tarfile.ReadError(msg)
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves within the stream."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Returns the position in the stream."""
        return self._stream.tell()


def _write(members: Iterator[_Member], folder: Path, packed_bytes: int) -> None:
    """Writes every member below an empty folder that is not a link."""
    limit = max(FREE_OF_RATIO_BYTES, MAX_RATIO * packed_bytes)
    free = shutil.disk_usage(folder).free
    total = 0
    for number, member in enumerate(members, start=1):
        if number > MAX_FILES:
            msg = f"holds more than {MAX_FILES:,} files and folders; {_BY_HAND}"
            raise _RefusedError(msg)
        target = _target(folder, member.name)
        total += member.size
        if member.size > MAX_FILE_BYTES:
            msg = (
                f"{member.name!r} is {member.size / 1e9:.1f} GB large, a file may have "
                f"{MAX_FILE_BYTES / 1e9:.1f} GB; {_BY_HAND}"
            )
            raise _RefusedError(msg)
        if total > limit:
            msg = (
                f"grows to more than {limit / 1e9:.1f} GB from {packed_bytes / 1e6:.1f} MB, like "
                f"an archive that was made to fill disks; {_BY_HAND}"
            )
            raise _RefusedError(msg)
        if total > free:
            msg = f"needs {total / 1e9:.1f} GB or more in {folder}; free some space there"
            raise _RefusedError(msg)
        _put(member, target, folder)


def _target(folder: Path, name: str) -> Path:
    """Returns where a member is written.

    Raises:
        _RefusedError: The name is absolute, contains `..`, or is not valid on every file system.
    """
    # On Windows a backslash separates folders; both readings must be harmless.
    parts = name.replace("\\", "/").split("/")
    reason = None
    if name.startswith(("/", "\\")) or ".." in parts or parts[0][1:2] == ":":
        reason = "would be outside the folder; an archive of data has only relative paths"
    elif len(parts) > MAX_DEPTH or any(
        len(os.fsencode(text)) > limit
        for text, limit in ((name, MAX_NAME_BYTES), *((part, MAX_PART_BYTES) for part in parts))
    ):
        reason = (
            f"is too long a name: at most {MAX_NAME_BYTES} bytes in {MAX_DEPTH} folders of "
            f"{MAX_PART_BYTES} bytes each; pack it under a shorter one"
        )
    elif any(ord(char) < 32 or ord(char) == 127 for char in name):
        reason = "holds a control character; give it a name that can be shown"
    if reason:
        shown = name if len(name) <= 200 else f"{name[:200]}..."
        msg = f"{shown!r} {reason}"
        raise _RefusedError(msg)
    return folder.joinpath(*(part for part in name.split("/") if part not in ("", ".")))


def _put(member: _Member, target: Path, folder: Path) -> None:
    """Writes one member into its resolved folder, never over or through an existing file."""
    try:
        if member.open is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(folder):
            msg = f"{member.name!r} would be in {target.parent.resolve()}, outside {folder}"
            raise _RefusedError(msg)
        with member.open() as source, target.open("xb") as file:
            left = member.size
            while left and (chunk := source.read(min(left, _CHUNK_BYTES))):
                file.write(chunk)
                left -= len(chunk)
            if left or source.read(1):  # the second also checks the sum of a zip's member
                msg = f"{member.name!r} is not as long as its header says"
                raise tarfile.ReadError(msg)
    except (FileExistsError, NotADirectoryError):
        msg = f"{member.name!r} is held twice, or as a file and as a folder; pack it once"
        raise _RefusedError(msg) from None
