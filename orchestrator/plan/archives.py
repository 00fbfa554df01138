"""Data roots that are archives: each node fetches and unpacks one once, into its cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.address import S3Address, parse_address
from orchestrator.store.s3 import ObjectStorage
from workers.contract import UserError
from workers.datasets.files.archive import is_archive, unpack
from workers.datasets.files.storage import cache_writes
from workers.durable import build_once
from workers.identity import digest


def unpacked_root(root: str, cache_dir: Path) -> Path:
    """Returns the folder behind a data root: itself, or what its archive unpacks to.

    The folder's name holds a digest of the archive's ETag (of size and time, for a file), so that
    a changed archive is another folder. Processes that ask at once wait for one that unpacks; a
    folder that is visible is complete.

    Args:
        root: A folder, an archive, or the `s3://` URI of one.
        cache_dir: Cache folder of this node.

    Raises:
        UserError: The archive is missing, cannot be fetched or unpacked, or the cache folder
            cannot be written.
    """
    if not _names_archive(root):
        return Path(root)
    folder = _folder(root, cache_dir)
    if not folder.is_dir():
        _build(root, folder, cache_dir)
    return folder


def local_root(root: str, cache_dir: Path, *, fetch: bool) -> Path | None:
    """Returns the folder behind a data root, unpacking its archive only where that is asked for.

    Args:
        root: As for `unpacked_root`.
        cache_dir: Cache folder of this node.
        fetch: Whether to unpack an archive that is not here yet.

    Returns:
        None for an archive that is not unpacked here.

    Raises:
        UserError: As `unpacked_root`.
    """
    if fetch or not _names_archive(root):
        return unpacked_root(root, cache_dir)
    folder = _folder(root, cache_dir)
    return folder if folder.is_dir() else None


def _names_archive(root: str) -> bool:
    return is_archive(root) and not Path(root).is_dir()


def _folder(root: str, cache_dir: Path) -> Path:
    address = parse_address(root)
    name = address.without_options if isinstance(address, S3Address) else root
    key = digest([name, _stamp(address)], length=16)
    return cache_dir / "archives" / f"{Path(name).name.partition('.')[0]}-{key}"


def _stamp(address: S3Address | str) -> str:
    if isinstance(address, S3Address):
        storage, path = _object(address)
        return storage.stamp(path)
    try:
        status = Path(address).stat()
    except OSError as error:
        msg = f"data.root: {address}: {error.strerror}; bring it there or name another place"
        raise UserError(msg) from error
    return f"{status.st_size} {status.st_mtime_ns}"


def _object(address: S3Address) -> tuple[ObjectStorage, str]:
    """Returns the bucket of an object, and its key."""
    return ObjectStorage(str(replace(address, key=""))), address.key


def _build(root: str, folder: Path, cache_dir: Path) -> None:
    def build(scratch: Path) -> Path:
        building = scratch / "content"
        building.mkdir()
        address = parse_address(root)
        if isinstance(address, S3Address):
            storage, path = _object(address)
            storage.download(path, scratch / "archive")
            unpack(scratch / "archive", building, address.without_options)
        else:
            unpack(Path(address), building, address)
        return building

    with cache_writes(cache_dir):
        folder.parent.mkdir(parents=True, exist_ok=True)
        build_once(folder, build)
