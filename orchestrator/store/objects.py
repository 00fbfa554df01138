"""Results on an S3-compatible object store: serialised in memory, then one put."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from orchestrator.address import parse_s3
from orchestrator.store.bucket import explain, is_gone, open_bucket
from orchestrator.store.retry import PATIENCE, Patience
from orchestrator.store.storage import Buffer, FileInfo

NUM_DOWNLOADS = 16
_CHUNK_BYTES = 8 << 20

_Answer = TypeVar("_Answer")


class ObjectStorage:
    """Objects below one prefix of a bucket."""

    def __init__(self, uri: str, *, patience: Patience = PATIENCE) -> None:
        """Opens the bucket; nothing is read or written yet."""
        address = parse_s3(uri)
        self.location = str(address)
        self.place = address.place
        self._patience = patience
        # Opening may ask where the bucket is, but says nothing of whether it can be reached.
        opening = f"open {self.place}"
        self._files, self._root = patience.insist(opening, lambda: open_bucket(address))

    def write(self, path: str, data: Buffer) -> None:
        """Puts an object, whole or not at all.

        Arrow publishes what an open stream holds so far when the stream is dropped, for example
        by Ctrl-C between opening and writing. No signal reaches a thread, and the thread is waited
        for.
        """
        buffer = pa.py_buffer(data)
        with ThreadPoolExecutor(1) as pool:
            self._insist(
                path, lambda: pool.submit(self._put, self._absolute(path), buffer).result()
            )

    def mark(self, path: str) -> None:
        """Puts an empty object."""
        self.write(path, b"")

    def read(self, path: str) -> bytes | None:
        """Returns an object's bytes, or None."""

        def read() -> bytes | None:
            try:
                with self._files.open_input_stream(self._absolute(path)) as stream:
                    data: bytes = stream.read()
            except FileNotFoundError:
                return None
            except OSError as error:
                if is_gone(error):  # deleted between being opened and read
                    return None
                raise
            return data

        return self._insist(path, read)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStorage) and other.location == self.location

    def __hash__(self) -> int:
        return hash(self.location)

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        """Returns the objects and prefixes directly below a folder whose names begin so."""
        selector = fs.FileSelector(self._absolute(folder), allow_not_found=True)

        def entries() -> tuple[fs.FileInfo, ...]:
            found = self._files.get_file_info(selector)
            if not found:
                self._check_bucket()
            return tuple(found)

        found = self._insist(folder, entries)
        named = (_info(folder, info) for info in found if info.base_name.startswith(prefix))
        return tuple(sorted(named, key=lambda info: info.path))

    def delete(self, path: str) -> None:
        """Removes an object if it is there."""

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._files.delete_file(self._absolute(path))

        self._insist(path, delete)

    def delete_folder(self, folder: str) -> None:
        """Removes the object that stands for an empty folder."""

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._files.delete_dir(self._absolute(folder))

        if not self.list(folder):
            self._insist(folder, delete)

    def exists(self, path: str) -> bool:
        """Says whether the object is there."""
        info = self._insist(path, lambda: self._files.get_file_info(self._absolute(path)))
        return bool(info.type == fs.FileType.File)

    @contextlib.contextmanager
    def local_copies(self, paths: Sequence[str]) -> Iterator[Mapping[str, Path]]:
        """Downloads the objects into a folder that is removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="podium-") as scratch:

            def download(path: str) -> tuple[str, Path] | None:
                data = self.read(path)
                if data is None:
                    return None
                copy = Path(scratch) / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(data)
                return path, copy

            with ThreadPoolExecutor(NUM_DOWNLOADS) as pool:
                yield dict(pair for pair in pool.map(download, paths) if pair)

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:  # noqa: ARG002 - part of the protocol
        """Keeps nobody out: an object store has no lock."""
        yield

    def stamp(self, path: str) -> str:
        """Returns what changes with an object's content: its ETag, else its size and time.

        Raises:
            StoreError: There is no such object, or it cannot be asked for.
        """

        def ask() -> str:
            info = self._files.get_file_info(self._absolute(path))
            if info.type != fs.FileType.File:
                raise FileNotFoundError("there is no such object")  # noqa: EM101 - explained below
            with self._files.open_input_file(self._absolute(path)) as file:
                etag = (file.metadata() or {}).get("ETag", b"").decode()
            return etag or f"{info.size} {info.mtime}"

        return self._insist(path, ask)

    def download(self, path: str, target: Path) -> None:
        """Copies an object into a file, a few MiB at a time.

        Raises:
            StoreError: The object cannot be read.
            OSError: The file cannot be written.
        """
        source = self._insist(path, lambda: self._files.open_input_file(self._absolute(path)))
        with source, target.open("wb") as file:
            size = source.size()
            for start in range(0, size, _CHUNK_BYTES):
                length = min(_CHUNK_BYTES, size - start)
                file.write(self._insist(path, functools.partial(source.read_at, length, start)))

    def _put(self, path: str, buffer: pa.Buffer) -> None:
        stream = self._files.open_output_stream(path)
        stream.write(buffer)
        stream.close()

    def _absolute(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _check_bucket(self) -> None:
        # Arrow lists a bucket that does not exist as if it were empty.
        bucket = self._root.partition("/")[0]
        if self._files.get_file_info(bucket).type == fs.FileType.NotFound:
            raise OSError(f"there is no bucket {bucket!r}")  # noqa: EM102 - explained by the caller

    def _insist(self, path: str, operation: Callable[[], _Answer]) -> _Answer:
        def explained() -> _Answer:
            try:
                return operation()
            except OSError as error:
                place = f"{self.place}/{path}"
                raise explain(place, error) from None  # the cause may repeat secrets

        return self._patience.insist(self.location, explained)


def _info(folder: str, info: fs.FileInfo) -> FileInfo:
    path = f"{folder}/{info.base_name}"
    if info.type == fs.FileType.Directory:
        return FileInfo(path=path, size_bytes=0, modified_at=None, is_folder=True)
    return FileInfo(path=path, size_bytes=info.size, modified_at=info.mtime)
