"""Durable writes: whole or not at all, and built by one process."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from workers.durable import TEMPORARY, build_once, locked, replace_file, sync_folder


def write_entry(scratch: Path) -> Path:
    """Builds a folder with one file."""
    (scratch / "download").write_text("not kept")
    (scratch / "entry").mkdir()
    (scratch / "entry" / "a").write_text("built")
    return scratch / "entry"


def test_replaced_file_has_the_new_content(tmp_path):
    replace_file(tmp_path / "a", b"old")
    replace_file(tmp_path / "a", memoryview(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_failed_replacement_keeps_the_old_file(tmp_path, monkeypatch):
    replace_file(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_replaced_file_is_synced_before_the_rename_and_its_folder_after(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append("sync folder" if is_folder else "sync")
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        assert TEMPORARY.fullmatch(self.name)
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    replace_file(tmp_path / "x", b"data")
    assert events == ["sync", "rename", "sync folder"]


@pytest.mark.parametrize("many", [False, True])
def test_built_folder_is_synced_before_it_is_visible(tmp_path, monkeypatch, many):
    target, visible = tmp_path / "entry", []
    monkeypatch.setattr("workers.durable.MAX_SYNCED_FILES", 0 if many else 100)
    monkeypatch.setattr(os, "sync", lambda: visible.append(target.exists()))
    monkeypatch.setattr(os, "fsync", lambda _: visible.append(target.exists()))
    build_once(target, write_entry)
    assert visible == [False, True]
    assert (target / "a").read_text() == "built"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["entry", "entry.lock"]
    build_once(target, lambda _: pytest.fail("built twice"))


def test_rejected_folder_is_built_again(tmp_path):
    (tmp_path / "entry").mkdir()
    build_once(tmp_path / "entry", write_entry, is_built=lambda path: (path / "a").exists())
    assert (tmp_path / "entry" / "a").read_text() == "built"


def test_failed_build_leaves_nothing(tmp_path):
    def fail(scratch: Path) -> Path:
        write_entry(scratch)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "entry", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["entry.lock"]


def test_lock_removes_what_killed_processes_left_of_its_path(tmp_path):
    names = [".a.0123abcd.tmp", ".b.0123abcd.tmp", ".a.json.tmp", "a"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".a.01234567.tmp").mkdir()
    with locked(tmp_path / "a"):
        left = {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")}
    assert left == set(names[1:])
    assert TEMPORARY.fullmatch(names[0])


def test_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)
