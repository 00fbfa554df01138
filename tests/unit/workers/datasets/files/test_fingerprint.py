from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from workers.contract import Component, UserError
from workers.datasets import open_dataset
from workers.datasets.files import fingerprint as module
from workers.datasets.files.fingerprint import SETTLED_NS, hash_files

MINE = Component(name="folder", label="mine")
LATER_NS = 4_000_000_000_000_000_000  # long after any file was written


def test_known_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    hashes = hash_files(tmp_path, [tmp_path / "a"], tmp_path / "cache")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hashes == {tmp_path / "a": expected}


def test_same_content_elsewhere_has_the_same_fingerprint(
    folder_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy") / "moved"
    shutil.copytree(folder_dataset, copy)
    prints = {
        open_dataset(MINE, root).fingerprint(root / "cache") for root in (folder_dataset, copy)
    }
    assert len(prints) == 1
    assert len(prints.pop()) == 32


def test_every_byte_name_and_group_counts(folder_dataset: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = open_dataset(MINE, folder_dataset).fingerprint(cache)
    mask = folder_dataset / "masks" / "3.png"
    status, content = mask.stat(), mask.read_bytes()
    # The same size and modification time: only the time of status change gives it away.
    mask.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(mask, ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = open_dataset(MINE, folder_dataset).fingerprint(cache)
    mask.write_bytes(content)
    restored = open_dataset(MINE, folder_dataset).fingerprint(cache)
    for folder in ("images", "masks"):
        (folder_dataset / folder / "3.png").rename(folder_dataset / folder / "33.png")
    renamed = open_dataset(MINE, folder_dataset).fingerprint(cache)
    assert before == restored
    assert len({before, changed, renamed}) == 3


def test_another_preparation_is_other_content(
    folder_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_dataset(MINE, folder_dataset).fingerprint(tmp_path / "cache")
    monkeypatch.setattr("workers.datasets.dataset.PREPARATION", 0)
    assert open_dataset(MINE, folder_dataset).fingerprint(tmp_path / "cache") != before


def test_second_call_reads_no_file(
    folder_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(folder_dataset.glob("*/*.png"))
    first = hash_files(folder_dataset, files, tmp_path / "cache", lambda: LATER_NS)

    def unexpected(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(module, "hash_file", unexpected)
    assert hash_files(folder_dataset, files, tmp_path / "cache") == first
    files[0].write_bytes(b"new")
    with pytest.raises(AssertionError):
        hash_files(folder_dataset, files, tmp_path / "cache")


def test_a_file_just_written_is_not_remembered_yet(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    memory = tmp_path / "cache" / "hashes"
    just_now = file.stat().st_ctime_ns + SETTLED_NS // 2
    hash_files(tmp_path, [file], tmp_path / "cache", lambda: just_now)
    assert [path.read_text() for path in memory.glob("*.json")] == ["{}"]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', "{", '{"a": [1, 2, "x", "y"]}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    first = hash_files(tmp_path, [tmp_path / "a"], tmp_path / "cache", lambda: LATER_NS)
    (memory,) = (tmp_path / "cache" / "hashes").glob("*.json")
    memory.write_text(content)
    assert hash_files(tmp_path, [tmp_path / "a"], tmp_path / "cache") == first


def test_a_vanished_file_is_named(folder_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(MINE, folder_dataset)
    (folder_dataset / "images" / "2.png").unlink()
    with pytest.raises(UserError, match=r"images/2\.png: cannot be read: No such file"):
        dataset.fingerprint(tmp_path / "cache")
