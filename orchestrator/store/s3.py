"""Results on an S3-compatible object store: each file is serialised in memory and put at once."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from orchestrator.address import AddressError, S3Address, hide_credentials, parse_endpoint, parse_s3
from orchestrator.safe_text import mask
from orchestrator.store.storage import (
    RETRY_POLICY,
    Buffer,
    FileInfo,
    RetryPolicy,
    StoreError,
    TemporaryStoreError,
)

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 15.0
"""A request without any progress for this long has failed."""
NUM_REQUESTS = 3
"""How often the library repeats one failed request within a second or two. The storage then repeats
the whole operation, see `orchestrator.store.storage.RetryPolicy`."""

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

_TEMPORARY = re.compile(
    "NETWORK_CONNECTION|SLOW_DOWN|SlowDown|THROTTL|Throttl|INTERNAL_FAILURE|InternalError"
    "|SERVICE_UNAVAILABLE|ServiceUnavailable|REQUEST_TIMEOUT|RequestTimeout|OperationAborted"
    # The library repeated the end of an upload, because the first response was lost.
    "|NO_SUCH_UPLOAD|NoSuchUpload"
    r"|HTTP status (?:408|429|500|502|503|504)"
)
_CREDENTIALS = (
    "give credentials that may list, read, write and delete there (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, for temporary ones AWS_SESSION_TOKEN too, or AWS_PROFILE)"
)
_ENDPOINT = "the endpoint (AWS_ENDPOINT_URL, or ?endpoint_override=HOST:PORT&scheme=http)"
_REGION = "name the region of the bucket (AWS_DEFAULT_REGION, or ?region=NAME)"
_REMEDIES = (
    (r"TOO_SKEWED|TooSkewed", "set the clock of this machine"),
    (r"ExpiredToken|EXPIRED_TOKEN", f"the session is over: {_CREDENTIALS}"),
    (r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocation|HTTP status 301", _REGION),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|UNRECOGNIZED_CLIENT|HTTP status 40[13]",
        _CREDENTIALS,
    ),
    (r"NO_SUCH_BUCKET|there is no bucket", "create the bucket or correct its name"),
    (r"HTTP status 400", f"{_REGION}, and {_CREDENTIALS}"),
    (r"HTTP status 507|StorageFull|QuotaExceeded", "free some space there or have it enlarged"),
    (r"curlCode: 6\b", f"correct the host in {_ENDPOINT}"),
    (r"curlCode: 7\b", f"no server listens there: start the store or correct {_ENDPOINT}"),
    (r"curlCode: (35|60|77)\b", f"the certificate is not trusted: correct the scheme of {_ENDPOINT}"
     ", or give the authority's certificate (?tls_ca_file_path=FILE)"),
    (r"NETWORK_CONNECTION", f"check that the store answers and correct {_ENDPOINT}"),
    (_TEMPORARY.pattern, "the store is disturbed or overloaded; wait"),
)  # fmt: skip
_ANY = f"check credentials, bucket, region and {_ENDPOINT}"


def is_gone(error: OSError) -> bool:
    """Says whether a request failed because the object does not exist."""
    return re.search("NO_SUCH_KEY|NoSuchKey|RESOURCE_NOT_FOUND", str(error)) is not None


def open_bucket(address: S3Address) -> tuple[fs.S3FileSystem, str]:
    """Opens a bucket.

    The environment can give an endpoint (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`) and a region
    (`AWS_REGION`, `AWS_DEFAULT_REGION`). Without both, AWS is asked for the bucket's region.

    Returns:
        The file system, and the path of bucket and prefix in it.

    Raises:
        StoreError: The endpoint in the environment is not one, or the region of the bucket cannot
            be found.
    """
    given = dict(address.options)
    if "endpoint_override" in given:
        given |= parse_endpoint(given["endpoint_override"])
    options: dict[str, Any] = {**_endpoint(), **given}
    region = next((os.environ[name] for name in _REGIONS if os.environ.get(name)), None)
    try:
        if region and "region" not in options:
            options["region"] = region
        elif "region" not in options and "endpoint_override" not in options:
            options["region"] = fs.resolve_s3_region(address.bucket)
        files = fs.S3FileSystem(
            connect_timeout=CONNECT_SECONDS,
            request_timeout=SILENT_SECONDS,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=NUM_REQUESTS),
            # Sends up to 5 MB in one request; without this option, every put takes several.
            allow_delayed_open=True,
            **options,
        )
    except (OSError, ValueError, pa.ArrowException) as error:
        # The cause may repeat secrets, so it is not chained.
        raise explain(address.without_options, error) from None
    return files, f"{address.bucket}/{address.key}".rstrip("/")


def explain(location: str, error: BaseException) -> StoreError:
    """Returns an error with location, reason and remedy, without secrets."""
    reason = " ".join(str(error).split())
    # The remedy is found first, because masking a short secret can hide words of the reason.
    remedy = next((text for sign, text in _REMEDIES if re.search(sign, reason)), _ANY)
    kind = TemporaryStoreError if _TEMPORARY.search(reason) else StoreError
    return kind(f"{location}: {mask(reason, location)}; {remedy}; then run the same command again")


def _endpoint() -> dict[str, str]:
    name = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if name is None:
        return {}
    try:
        return parse_endpoint(os.environ[name])
    except AddressError as error:
        msg = f"{name}: {hide_credentials(os.environ[name])}: {error}"
        raise StoreError(msg) from None


NUM_DOWNLOADS = 16
_CHUNK_BYTES = 8 << 20

_Result = TypeVar("_Result")


class ObjectStorage:
    """Objects below one prefix of a bucket."""

    def __init__(self, uri: str, *, retry_policy: RetryPolicy = RETRY_POLICY) -> None:
        """Opens the bucket, without reading or writing."""
        address = parse_s3(uri)
        self.location = str(address)
        self.name = address.without_options
        self._retry_policy = retry_policy
        # Opening can ask for the region, which does not show that the bucket can be reached.
        opening = f"open {self.name}"
        self._files, self._root = retry_policy.run(opening, lambda: open_bucket(address))

    def write(self, path: str, data: Buffer) -> None:
        """Puts an object, whole or not at all.

        When an open stream is dropped, for example by Ctrl-C after opening, Arrow publishes its
        incomplete content. The put therefore runs in a thread, which no signal interrupts.
        """
        buffer = pa.py_buffer(data)
        with ThreadPoolExecutor(1) as pool:
            self._retried(
                path, lambda: pool.submit(self._put, self._absolute(path), buffer).result()
            )

    def touch(self, path: str) -> None:
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
                if is_gone(error):  # deleted after it was opened
                    return None
                raise
            return data

        return self._retried(path, read)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectStorage) and other.location == self.location

    def __hash__(self) -> int:
        return hash(self.location)

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        """Returns the objects and prefixes of a folder whose names begin with `prefix`."""
        selector = fs.FileSelector(self._absolute(folder), allow_not_found=True)

        def entries() -> tuple[fs.FileInfo, ...]:
            found = self._files.get_file_info(selector)
            if not found:
                self._check_bucket()
            return tuple(found)

        found = self._retried(folder, entries)
        named = (_info(folder, info) for info in found if info.base_name.startswith(prefix))
        return tuple(sorted(named, key=lambda info: info.path))

    def delete(self, path: str) -> None:
        """Removes an object, if it exists."""

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._files.delete_file(self._absolute(path))

        self._retried(path, delete)

    def delete_folder(self, folder: str) -> None:
        """Removes the object that stands for an empty folder."""

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._files.delete_dir(self._absolute(folder))

        if not self.list(folder):
            self._retried(folder, delete)

    def exists(self, path: str) -> bool:
        """Says whether an object exists."""
        info = self._retried(path, lambda: self._files.get_file_info(self._absolute(path)))
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
        """Does nothing, because an object store has no locks."""
        yield

    def stamp(self, path: str) -> str:
        """Returns a text that changes with an object's content: its ETag, or its size and time.

        Raises:
            StoreError: The object does not exist, or the request failed.
        """

        def ask() -> str:
            info = self._files.get_file_info(self._absolute(path))
            if info.type != fs.FileType.File:
                raise FileNotFoundError("there is no such object")  # noqa: EM101 - explained below
            with self._files.open_input_file(self._absolute(path)) as file:
                etag = (file.metadata() or {}).get("ETag", b"").decode()
            return etag or f"{info.size} {info.mtime}"

        return self._retried(path, ask)

    def download(self, path: str, target: Path) -> None:
        """Copies an object into a file, a few MiB at a time.

        Raises:
            StoreError: The object cannot be read.
            OSError: The file cannot be written.
        """
        source = self._retried(path, lambda: self._files.open_input_file(self._absolute(path)))
        with source, target.open("wb") as file:
            size = source.size()
            for start in range(0, size, _CHUNK_BYTES):
                length = min(_CHUNK_BYTES, size - start)
                file.write(self._retried(path, functools.partial(source.read_at, length, start)))

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

    def _retried(self, path: str, operation: Callable[[], _Result]) -> _Result:
        def explained() -> _Result:
            try:
                return operation()
            except OSError as error:
                file = f"{self.name}/{path}"
                raise explain(file, error) from None  # the cause may repeat secrets

        return self._retry_policy.run(self.location, explained)


def _info(folder: str, info: fs.FileInfo) -> FileInfo:
    path = f"{folder}/{info.base_name}"
    if info.type == fs.FileType.Directory:
        return FileInfo(path=path, size_bytes=0, modified_at=None, is_folder=True)
    return FileInfo(path=path, size_bytes=info.size, modified_at=info.mtime)
