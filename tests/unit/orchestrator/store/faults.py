"""A storage whose process dies at a chosen write or delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from orchestrator.store.storage import Buffer, FileInfo, Storage


class Killed(BaseException):
    """The process is killed. It is not an Exception, so that no code handles it."""


class DyingStorage:
    """Forwards every call, until the process dies before operation number `dies_at`.

    With `torn`, a write that it dies at leaves the temporary file behind, half written.
    """

    def __init__(self, inner: Storage, dies_at: int | None = None, *, torn: bool = False) -> None:
        self._inner = inner
        self._dies_at = dies_at
        self._torn = torn
        self.operations: list[str] = []

    @property
    def location(self) -> str:
        return self._inner.location

    @property
    def name(self) -> str:
        return self._inner.name

    def write(self, path: str, data: Buffer) -> None:
        if self._count(f"write {path}") and self._torn:
            folder, _, name = path.rpartition("/")
            self._inner.write(f"{folder}/.{name}.0123abcd.tmp", data[: len(data) // 2])
        self._die_if_due()
        self._inner.write(path, data)

    def delete(self, path: str) -> None:
        self._count(f"delete {path}")
        self._die_if_due()
        self._inner.delete(path)

    def touch(self, path: str) -> None:
        self._count(f"mark {path}")
        self._die_if_due()
        self._inner.touch(path)

    def delete_folder(self, folder: str) -> None:
        self._inner.delete_folder(folder)

    def read(self, path: str) -> bytes | None:
        self._die_if_due()
        return self._inner.read(path)

    def list(self, folder: str, prefix: str = "") -> tuple[FileInfo, ...]:
        self._die_if_due()
        return self._inner.list(folder, prefix)

    def exists(self, path: str) -> bool:
        return self._inner.exists(path)

    def local_copies(self, paths: Sequence[str]) -> AbstractContextManager[Mapping[str, Path]]:
        return self._inner.local_copies(paths)

    def lock(self, name: str) -> AbstractContextManager[object]:
        return self._inner.lock(name)

    def _count(self, operation: str) -> bool:
        self.operations.append(operation)
        return len(self.operations) == self._dies_at

    def _die_if_due(self) -> None:
        if self._dies_at is not None and len(self.operations) >= self._dies_at:
            raise Killed
