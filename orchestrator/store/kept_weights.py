"""Kept weights of finished trials: one file each, whose digest is in the row of its trial."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from orchestrator.store.documents import weights_path
from orchestrator.store.files import WEIGHTS
from orchestrator.store.storage import FileInfo, Storage, StoreError

_OWN = re.compile(r"([0-9a-f]{20})\.safetensors")


def read_weights(storage: Storage, trial_id: str, digest: str) -> bytes:
    """Returns the kept weights of a trial.

    Raises:
        StoreError: The file is missing, cannot be read, or has another SHA-256 than `digest`.
    """
    path = weights_path(trial_id)
    data = storage.read(path)
    problem = _problem(data, digest)
    if data is None or problem:
        msg = f"{storage.name}/{path}: {problem}; restore it from a copy"
        raise StoreError(msg)
    return data


def wrong_weights(storage: Storage, digests: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields path and problem of the missing and damaged files.

    Args:
        storage: Where the files are.
        digests: SHA-256 by trial id.
    """
    for trial_id, digest in digests.items():
        path = weights_path(trial_id)
        problem = _problem(storage.read(path), digest)
        if problem:
            yield path, problem


def unowned_weights(
    storage: Storage, finished: Collection[str], before: datetime
) -> Iterator[FileInfo]:
    """Yields files older than `before` whose trial is not finished; other names are the user's."""
    for file in storage.list(WEIGHTS):
        own = _OWN.fullmatch(file.name)
        is_old = file.modified_at is not None and file.modified_at < before
        if own and is_old and own[1] not in finished:
            yield file


def _problem(data: bytes | None, digest: str) -> str:
    if data is None:
        return "the kept weights of a finished trial are missing"
    if hashlib.sha256(data).hexdigest() != digest:
        return "the kept weights differ from those that the row of the trial names"
    return ""
