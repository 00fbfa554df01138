"""Queries over both kinds of storage; only named tables are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import podium
from orchestrator.store import SAVED_QUERIES, Store
from orchestrator.store.storage import Storage
from tests.conformance.conftest import Backend
from tests.unit.orchestrator.store.test_views import document, fill
from tests.unit.orchestrator.store.trials import NOW
from workers.contract import UserError


def test_sql_query_and_frame_return_stored_rows(backend: Backend) -> None:
    store = Store(backend.location)
    with pytest.raises(UserError, match="no results here"):
        podium.query(backend.location, "FROM trials")
    fill(store)
    store.save_grid(document())
    counts = "SELECT status, count(*) AS n FROM grid GROUP BY 1 ORDER BY 1"
    expected = [("completed", 2), ("diverged", 1), ("failed", 2), ("missing", 7)]
    for _ in range(2):
        assert podium.query(backend.location, counts).to_records(index=False).tolist() == expected
        assert len(podium.read_epochs(backend.location)) == 6
        assert len(podium.query(backend.location, SAVED_QUERIES["missing"].sql)) == 6
        store.compact(NOW)


def test_query_fetches_only_the_named_tables(
    backend: Backend, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Store(backend.location))
    fetched: list[str] = []
    copies = type(storage).local_copies

    def noted(self: Storage, paths: Sequence[str]) -> AbstractContextManager[Mapping[str, Path]]:
        fetched.extend(paths)
        return copies(self, paths)

    monkeypatch.setattr(type(storage), "local_copies", noted)
    podium.query(backend.location, "SELECT max(dice) FROM trials")
    assert {path.partition("/")[0] for path in fetched} == {"trials"}
