"""What the store keeps besides tables: checkpoints of running trials and the grids asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.store.files import CHECKPOINTS, GRIDS
from orchestrator.store.storage import Storage, StoreError

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SavedCheckpoints:
    """One trial's state as a file of the store."""

    storage: Storage
    path: str

    def load(self) -> bytes | None:
        """Returns the last saved state, or None.

        Raises:
            StoreError: The file cannot be read.
        """
        return self.storage.read(self.path)

    def save(self, state: bytes | memoryview) -> None:
        """Replaces the saved state, durably and at once.

        Raises:
            StoreError: The file cannot be written.
        """
        self.storage.write(self.path, state)


def checkpoint_path(trial_id: str) -> str:
    """Returns where a trial keeps its state."""
    return f"{CHECKPOINTS}/{_safe(trial_id)}.pt"


def save_grid(storage: Storage, document: Mapping[str, Any]) -> None:
    """Keeps a grid under its `grid_id`."""
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    storage.write(f"{GRIDS}/{_safe(document['grid_id'])}.json", text.encode())


def load_grids(storage: Storage) -> list[dict[str, Any]]:
    """Returns the grids, the one saved last at the end.

    Raises:
        StoreError: A file cannot be read or is torn.
    """
    documents = []
    for file in storage.list(GRIDS):
        data = storage.read(file.path) if file.name.endswith(".json") else None
        if data is None:
            continue
        try:
            documents.append(json.loads(data))
        except ValueError as error:
            msg = f"{storage.place}/{file.path}: {error}; delete it and run its configuration again"
            raise StoreError(msg) from error
    return sorted(documents, key=lambda grid: (str(grid.get("saved_at")), grid["grid_id"]))


def _safe(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        msg = f"{name!r} cannot name a file"
        raise ValueError(msg)
    return name
