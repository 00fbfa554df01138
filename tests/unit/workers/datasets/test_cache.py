from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.unit.workers.datasets.conftest import Write
from workers.contract import Component, UserError
from workers.datasets import FileDataset, open_dataset
from workers.datasets.cache import load_arrays
from workers.datasets.files.pictures import resize_image, resize_mask

REPOSITORY = Path(__file__).resolve().parents[4]
MINE = Component(name="folder", label="mine")

# A process that loads the arrays, notes each mask that it reads, and can die or meet a limit.
PROCESS = """
import os, resource, signal, sys
from pathlib import Path
from workers.contract import Component, UserError
from workers.datasets import FileDataset, cache, open_dataset

root, cache_dir, action = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
read_mask = FileDataset.read_mask

def noted(dataset, index, **options):
    with (root / "masks-read").open("a") as file:
        file.write("x")
    if action == "die" and index == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return read_mask(dataset, index, **options)

FileDataset.read_mask = noted
dataset = open_dataset(Component(name="folder"), root)
dataset.fingerprint(cache_dir)
if action == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    print(cache.load_arrays(dataset, 32, cache_dir).images.sum())
except UserError as error:
    print(error)
    sys.exit(2)
"""


def start(root: Path, cache_dir: Path, action: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(root), str(cache_dir), action],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def root(folder_dataset: Path, write_picture: Write, write_mask: Write) -> Path:
    for i in range(6, 12):
        write_picture(f"images/{i}.png", i, size=(40, 50))
        write_mask(f"masks/{i}.png", size=(40, 50))
    return folder_dataset


def test_arrays_hold_the_resized_dataset(root: Path, tmp_path: Path) -> None:
    dataset = open_dataset(MINE, root)
    arrays = load_arrays(dataset, 32, tmp_path / "cache")
    assert arrays.images.shape == (12, 32, 32, 3)
    assert arrays.masks.shape == (12, 32, 32)
    assert arrays.images.dtype == arrays.masks.dtype == np.uint8
    assert isinstance(arrays.images, np.memmap)
    assert isinstance(arrays.masks, np.memmap)
    assert not arrays.images.flags.writeable
    assert arrays.names == tuple(map(str, range(12)))
    assert arrays.fingerprint == dataset.fingerprint(tmp_path / "cache")
    for i in (0, 11):
        assert np.array_equal(arrays.images[i], resize_image(dataset.read_image(i), 32))
        mask = resize_mask(dataset.read_mask(i), width=32, height=32)
        assert np.array_equal(arrays.masks[i], mask.astype(np.uint8))
    assert set(np.unique(arrays.masks)) == {0, 1}


def test_each_size_and_content_has_its_own_entry(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert load_arrays(open_dataset(MINE, root), 32, cache).images.shape[1] == 32
    assert load_arrays(open_dataset(MINE, root), 64, cache).images.shape[1] == 64
    (root / "images" / "0.png").write_bytes((root / "images" / "1.png").read_bytes())
    load_arrays(open_dataset(MINE, root), 32, cache)
    assert len([path for path in (cache / "arrays").iterdir() if path.is_dir()]) == 3


def test_identical_images_share_a_group(
    root: Path, tmp_path: Path, write_picture: Write, write_mask: Write
) -> None:
    write_picture("images/7.png", 3)
    write_mask("masks/7.png")
    arrays = load_arrays(open_dataset(MINE, root), 32, tmp_path / "cache")
    assert arrays.groups[7] == arrays.groups[3] == "3"
    assert len(set(arrays.groups)) == 11


def test_second_call_builds_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(MINE, root)
    load_arrays(dataset, 32, tmp_path / "cache")
    monkeypatch.setattr(FileDataset, "read_mask", None)
    load_arrays(dataset, 32, tmp_path / "cache")


def test_four_processes_at_once_build_once(root: Path, tmp_path: Path) -> None:
    processes = [start(root, tmp_path / "cache", "load") for _ in range(4)]
    outputs = {process.communicate(timeout=25)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(outputs) == 1
    assert (root / "masks-read").read_text() == 12 * "x"


def test_sigkill_during_build_leaves_no_visible_entry(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = start(root, cache, "die")
    process.communicate(timeout=25)
    assert process.returncode == -signal.SIGKILL
    assert [path.suffix for path in (cache / "arrays").iterdir() if path.is_dir()] == [".tmp"]
    arrays = load_arrays(open_dataset(MINE, root), 32, cache)
    assert arrays.images.shape == (12, 32, 32, 3)
    assert not list((cache / "arrays").glob(".*.tmp"))


def test_a_limit_on_file_size_names_the_cache_and_its_key(root: Path, tmp_path: Path) -> None:
    process = start(root, tmp_path / "cache", "full")
    message, _ = process.communicate(timeout=25)
    assert process.returncode == 2
    assert f"cannot write the image cache in {tmp_path / 'cache'}: File too large" in message
    assert "data.cache" in message
    assert not [path for path in (tmp_path / "cache" / "arrays").iterdir() if path.is_dir()]


def test_a_full_disk_names_the_cache_and_its_key(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(MINE, root)
    dataset.fingerprint(tmp_path / "cache")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numpy.lib.format.write_array_header_1_0", full)
    with pytest.raises(UserError, match=r"No space left.*MB needed.*free some.*data\.cache"):
        load_arrays(dataset, 32, tmp_path / "cache")
    monkeypatch.undo()
    assert len(load_arrays(dataset, 32, tmp_path / "cache").images) == 12


def test_a_cache_that_is_a_file_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(UserError, match=r"cache: (Not a directory|File exists).*data\.cache"):
        load_arrays(open_dataset(MINE, root), 32, tmp_path / "cache")


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.json"])
def test_a_damaged_entry_is_built_again(root: Path, tmp_path: Path, name: str) -> None:
    dataset = open_dataset(MINE, root)
    good = np.array(load_arrays(dataset, 32, tmp_path / "cache").images)
    (entry,) = (path for path in (tmp_path / "cache" / "arrays").iterdir() if path.is_dir())
    os.truncate(entry / name, 100)
    assert np.array_equal(load_arrays(dataset, 32, tmp_path / "cache").images, good)
    shutil.rmtree(entry)
    assert np.array_equal(load_arrays(dataset, 32, tmp_path / "cache").images, good)


def test_unreadable_file_is_named(root: Path, tmp_path: Path) -> None:
    (root / "images" / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match=r"cannot be read as a picture: 1 \(images/4\.png.*remove"):
        load_arrays(open_dataset(MINE, root), 32, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache" / "arrays").iterdir() if path.is_dir()]
