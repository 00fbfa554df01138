"""Files of the store besides tables: checkpoints, kept weights, and documents of grids."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.store.files import CHECKPOINTS, GRIDS, WEIGHTS
from orchestrator.store.storage import Storage, StoreError
from orchestrator.untrusted import MAX_DOCUMENT_BYTES, MalformedError, grid_document

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SavedCheckpoints:
    """The checkpoint of one trial, as a file of the store."""

    storage: Storage
    path: str

    def load(self) -> bytes | None:
        """Returns the last checkpoint, or None.

        Raises:
            StoreError: The file cannot be read.
        """
        return self.storage.read(self.path)

    def save(self, state: bytes | memoryview) -> None:
        """Replaces the checkpoint in one step and durably.

        Raises:
            StoreError: The file cannot be written.
        """
        self.storage.write(self.path, state)


def checkpoint_path(trial_id: str) -> str:
    """Returns the path of a trial's checkpoint."""
    return f"{CHECKPOINTS}/{_safe(trial_id)}.pt"


def weights_path(trial_id: str) -> str:
    """Returns the path of a trial's kept weights."""
    return f"{WEIGHTS}/{_safe(trial_id)}.safetensors"


def save_grid(storage: Storage, document: Mapping[str, Any]) -> None:
    """Writes a grid document; its name is its `grid_id`."""
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    storage.write(f"{GRIDS}/{_safe(document['grid_id'])}.json", text.encode())


@dataclass(frozen=True, kw_only=True)
class Grids:
    """The grid documents of the results.

    Attributes:
        documents: The readable documents, sorted by the time they were saved.
        malformed: The problem of each file that is not a readable document, by path.
    """

    documents: tuple[dict[str, Any], ...]
    malformed: Mapping[str, str]

    def notes(self, results: str) -> tuple[str, ...]:
        """Returns a sentence on each malformed file."""
        return tuple(
            f"{results}/{path}: {reason}; it is skipped (podium run of its configuration writes it "
            "again; podium verify --quarantine moves it aside)"
            for path, reason in self.malformed.items()
        )


def read_grids(storage: Storage) -> Grids:
    """Reads the grids.

    Raises:
        StoreError: The folder or a file cannot be read.
    """
    documents, malformed = [], {}
    for file in storage.list(GRIDS):
        if file.is_folder or not file.name.endswith(".json"):
            continue
        try:
            if file.size_bytes > MAX_DOCUMENT_BYTES:
                malformed[file.path] = f"is larger than {MAX_DOCUMENT_BYTES >> 20} MiB"
                continue
            data = storage.read(file.path)
            if data is not None:
                documents.append(grid_document(data, file.name))
        except MalformedError as error:
            malformed[file.path] = str(error)
    documents.sort(key=lambda grid: (str(grid.get("saved_at")), grid["grid_id"]))
    return Grids(documents=tuple(documents), malformed=malformed)


def load_grids(storage: Storage) -> list[dict[str, Any]]:
    """Returns the grid documents, sorted by the time they were saved.

    Raises:
        StoreError: A file cannot be read or is malformed, so that the newest grid is unknown.
    """
    grids = read_grids(storage)
    if grids.malformed:
        path, reason = next(iter(grids.malformed.items()))
        msg = (
            f"{storage.name}/{path}: {reason}; move it aside (podium verify --quarantine does) "
            "and run its configuration again, which writes the file again"
        )
        raise StoreError(msg)
    return list(grids.documents)


def _safe(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        msg = f"{name!r} cannot name a file"
        raise ValueError(msg)
    return name
