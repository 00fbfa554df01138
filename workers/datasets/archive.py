"""Unpacking an archive of datasets: nothing outside its folder, everything or nothing."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from workers.contract import UserError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
"""Endings of archives that can be unpacked."""


def is_archive(text: str) -> bool:
    """Says whether a path or URI names an archive, by its ending."""
    return text.partition("?")[0].lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path, shown: str) -> None:
    """Unpacks a tar or zip archive into a folder.

    Args:
        archive: The file.
        folder: An empty folder; after an error it may hold a part.
        shown: How messages name the archive.

    Raises:
        UserError: It is no such archive, is damaged or encrypted, has a member that would land
            outside the folder, or unpacked does not fit on the disk.
        OSError: The disk cannot be written.
    """
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder)
        else:
            with tarfile.open(archive) as tar:
                # "data": no member outside the folder, no device, no link that leads out.
                tar.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        msg = f"{shown}: {error}; an archive of data holds relative paths only"
        raise UserError(msg) from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        msg = f"{shown}: is no readable archive ({reason}); make it again, or check its transfer"
        raise UserError(msg) from error


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        members = content.infolist()
        for member in members:
            _check_member(member)
        needed = sum(member.file_size for member in members)
        if needed > shutil.disk_usage(folder).free:
            msg = f"{archive.name} needs {needed / 1e9:.1f} GB in {folder}; free some space there"
            raise UserError(msg)
        content.extractall(folder)


def _check_member(member: zipfile.ZipInfo) -> None:
    """Refuses what `ZipFile.extractall` would quietly put elsewhere."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        msg = f"{member.filename!r} would be extracted outside the folder"
        raise tarfile.FilterError(msg)
    if stat.S_ISLNK(member.external_attr >> 16):
        msg = f"{member.filename!r} is a link"
        raise tarfile.FilterError(msg)
    if member.flag_bits & 1:
        msg = f"{member.filename!r} is encrypted"
        raise zipfile.BadZipFile(msg)
