"""The two kinds of storage with the same guarantees: a local folder and an S3-compatible store."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from orchestrator.store.opening import open_storage
from orchestrator.store.storage import Storage

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Backend:
    """One empty location.

    Attributes:
        location: The location for the store to open.
        plain_read: Reads a table without the code of the store.
    """

    location: str
    plain_read: Callable[[str], pd.DataFrame]


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """Port of an S3-compatible server on this machine's loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def s3_environment(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variables with server and credentials."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "dummy-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "dummy-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_port}")


@pytest.fixture
def s3_bucket(s3_environment: None) -> str:
    """An empty bucket."""
    bucket = f"bucket-{next(_NUMBERS)}"
    files, _ = fs.FileSystem.from_uri(f"s3://{bucket}?allow_bucket_creation=true")
    files.create_dir(bucket, recursive=False)
    return bucket


@pytest.fixture(params=["local", "s3"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """An empty location of each kind."""
    if request.param == "local":
        root = request.getfixturevalue("tmp_path") / "results"
        return Backend(str(root), lambda table: pd.read_parquet(root / table))
    location = f"s3://{request.getfixturevalue('s3_bucket')}/some/results"
    files, path = fs.FileSystem.from_uri(location)
    return Backend(location, lambda table: pd.read_parquet(f"{path}/{table}", filesystem=files))


@pytest.fixture
def storage(backend: Backend) -> Storage:
    """The opened storage."""
    return open_storage(backend.location)


@pytest.fixture
def mount(tmp_path: Path) -> tuple[str, ...]:
    """A command that runs another command with a small file system mounted, if the user can."""
    inside = tmp_path / "small"
    inside.mkdir()
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(inside)]
    if not shutil.which("unshare") or subprocess.run(probe, check=False).returncode != 0:
        pytest.skip("needs the permission to mount a tmpfs in a namespace of its own")
    return ("unshare", "--mount", "sh", "-ec")
