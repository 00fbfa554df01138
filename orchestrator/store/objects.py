"""Results on an S3-compatible object store: serialised in memory, then one put."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from orchestrator.store.storage import FileInfo, StoreError, secrets_of, without_secrets

NUM_DOWNLOADS = 16
REMEDY = (
    "check that the bucket exists, that the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) "
    "allow it and that the endpoint (AWS_ENDPOINT_URL) answers; then run the same command again"
)


class ObjectStorage:
    """Objects below one prefix of a bucket."""

    def __init__(self, uri: str) -> None:
        if not uri.removeprefix("s3://").partition("?")[0].partition("/")[0]:
            msg = f"{uri}: names no bucket; write s3://bucket/prefix"
            raise StoreError(msg)
        self.location = uri
        self.place = without_secrets(uri)
        # Up to 5 MB travel in a single request; without this every put would be a multipart one.
        delayed = f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"
        try:
            self._files, self._root = fs.FileSystem.from_uri(delayed)
        except (OSError, pa.ArrowInvalid) as error:
            # The cause repeats the URI with its secrets, so it is not chained.
            msg = f"{self.place}: {self._clean(error)}; {REMEDY}"
            raise StoreError(msg) from None

    def write(self, path: str, data: bytes) -> None:
        """Puts an object, whole or not at all.

        Arrow publishes what an open stream holds so far when the stream is dropped, for example
        by Ctrl-C between opening and writing. No signal reaches a thread, and the thread is waited
        for.
        """
        buffer = pa.py_buffer(data)
        with self._explained(path), ThreadPoolExecutor(1) as pool:
            pool.submit(self._put, self._absolute(path), buffer).result()

    def read(self, path: str) -> bytes | None:
        """Returns an object's bytes, or None."""
        with self._explained(path), contextlib.suppress(FileNotFoundError):
            with self._files.open_input_stream(self._absolute(path)) as stream:
                data: bytes = stream.read()
            return data
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStorage) and other.location == self.location

    def __hash__(self) -> int:
        return hash(self.location)

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        """Returns the objects and prefixes directly below a folder whose names begin so."""
        selector = fs.FileSelector(self._absolute(folder), allow_not_found=True)
        with self._explained(folder):
            entries = self._files.get_file_info(selector)
            if not entries:
                self._check_bucket()
        found = [_info(folder, entry) for entry in entries if entry.base_name.startswith(prefix)]
        return tuple(sorted(found, key=lambda info: info.path))

    def delete(self, path: str) -> None:
        """Removes an object if it is there."""
        with self._explained(path), contextlib.suppress(FileNotFoundError):
            self._files.delete_file(self._absolute(path))

    def exists(self, path: str) -> bool:
        """Says whether the object is there."""
        with self._explained(path):
            info = self._files.get_file_info(self._absolute(path))
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

    def _clean(self, error: BaseException) -> str:
        text = str(error)
        for secret in secrets_of(self.location):
            text = text.replace(secret, "***")
        return text

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = f"{self.place}/{path}"
            msg = f"{place}: {self._clean(error)}; {REMEDY}"
            raise StoreError(msg) from None


def _info(folder: str, info: fs.FileInfo) -> FileInfo:
    path = f"{folder}/{info.base_name}"
    if info.type == fs.FileType.Directory:
        return FileInfo(path=path, size_bytes=0, modified_at=None, is_folder=True)
    return FileInfo(path=path, size_bytes=info.size, modified_at=info.mtime)
