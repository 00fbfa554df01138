"""Archives as data roots, in a file or on an S3-compatible server: unpacked once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyarrow import fs

from orchestrator.plan.archives import local_root, unpacked_root
from orchestrator.sweep import open_sweep
from tests.conftest import ROOT
from tests.integration.sweeps import assert_same_tables, run, write_config, write_pictures
from workers.contract import UserError

Put = Callable[[Path], str]


@pytest.fixture(params=["file", "s3"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Put:
    """Uploads or moves an archive and returns the data root."""
    if request.param == "file":
        place = tmp_path / "mounted"
        place.mkdir()
        return lambda archive: str(archive.rename(place / "data.tar"))
    bucket = request.getfixturevalue("s3_bucket")
    files, _ = fs.FileSystem.from_uri(f"s3://{bucket}")

    def upload(archive: Path) -> str:
        with files.open_output_stream(f"{bucket}/some/data.tar") as stream:
            stream.write(archive.read_bytes())
        return f"s3://{bucket}/some/data.tar"

    return upload


def pack(folder: Path, *, seed: int = 0) -> Path:
    """Makes data.tar, which holds the dataset `mine`."""
    data = write_pictures(folder / f"data-{seed}", "mine", seed=seed)
    with tarfile.open(folder / "data.tar", "w") as tar:
        tar.add(data, arcname=".")
    return folder / "data.tar"


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "archives").iterdir() if path.suffix == ".tmp"]


def test_archive_is_unpacked_once_for_many_callers(tmp_path, put):
    root, cache = put(pack(tmp_path)), tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: unpacked_root(root, cache), range(8)))
    (folder,) = folders
    assert len(list((folder / "mine" / "images").iterdir())) == 15
    before = folder.stat()
    assert unpacked_root(root, cache) == folder
    assert folder.stat() == before
    assert leftovers(cache) == []


def test_a_changed_archive_is_another_folder(tmp_path, put):
    cache = tmp_path / "cache"
    first = unpacked_root(put(pack(tmp_path)), cache)
    second = unpacked_root(put(pack(tmp_path, seed=1)), cache)
    assert first != second
    assert first.is_dir()
    one, other = ((folder / "mine/images/0.png").read_bytes() for folder in (first, second))
    assert one != other


def test_plan_counts_unpacked_images_and_fetches_nothing(tmp_path, put):
    root, cache = put(pack(tmp_path)), tmp_path / "cache"
    assert local_root("/data", cache, fetch=False) == Path("/data")
    assert local_root(root, cache, fetch=False) is None
    assert not cache.exists()
    folder = unpacked_root(root, cache)
    assert local_root(root, cache, fetch=False) == folder


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_sweep_from_an_archive_equals_a_sweep_from_its_folder(tmp_path, put):
    entry = {"name": "folder", "alias": "mine", "root": str(tmp_path / "data-0")}
    (tmp_path / "plain").mkdir()
    archive = pack(tmp_path)
    run(write_config(tmp_path / "plain", datasets=[entry]))
    config = write_config(tmp_path, datasets=[entry | {"root": put(archive)}])
    assert [t.action for t in open_sweep(config).plan.trials] == ["RUN"] * 4
    report, _ = run(config)
    assert [outcome.status for outcome in report.outcomes] == ["completed"] * 4
    assert_same_tables(tmp_path / "plain" / "results", tmp_path / "results")


def test_missing_archive_is_reported_with_its_location(tmp_path, s3_bucket):
    with pytest.raises(UserError, match=rf"s3://{s3_bucket}/no.tar: there is no such object"):
        unpacked_root(f"s3://{s3_bucket}/no.tar", tmp_path)
    with pytest.raises(UserError, match=r"data.root: /no/such.tar: No such file"):
        unpacked_root("/no/such.tar", tmp_path)
    assert not (tmp_path / "archives").exists()


def test_a_bad_archive_leaves_nothing_behind(tmp_path, put):
    (tmp_path / "data.tar").write_bytes(b"not an archive")
    root = put(tmp_path / "data.tar")
    with pytest.raises(UserError, match="is not a readable archive"):
        unpacked_root(root, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache" / "archives").iterdir()] == [".lock"]


def test_killed_unpacking_starts_again(tmp_path, put):
    root, cache = put(pack(tmp_path)), tmp_path / "cache"
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "import orchestrator.plan.archives as archives\n"
        "def unpack(archive, folder, shown):\n"
        "    (folder / 'mine').mkdir()\n"
        "    os.kill(os.getpid(), 9)\n"
        "archives.unpack = unpack\n"
        "archives.unpacked_root(sys.argv[1], Path(sys.argv[2]))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, root, str(cache)], cwd=ROOT, env=dict(os.environ), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert leftovers(cache)
    folder = unpacked_root(root, cache)
    assert len(list((folder / "mine" / "masks").iterdir())) == 15
    assert leftovers(cache) == []
