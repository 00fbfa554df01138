"""Random damage to files: no reader crashes, and each names the files it cannot read."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.store import TABLES, Store, StoreError
from orchestrator.store.codec import decode, encode_part
from tests.unit.orchestrator.store.test_views import document
from tests.unit.orchestrator.store.trials import (
    NOW,
    make_candidate,
    make_failure,
    make_result,
    make_spec,
)
from workers.identity import trial_id

LATER = NOW + timedelta(days=36_500)
Damage = Callable[[bytes], bytes]


@pytest.fixture(scope="module", params=["parts", "compacts"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a file in every folder."""
    root: Path = tmp_path_factory.mktemp("whole") / "results"
    store = Store(root)
    for number in range(3):
        store.commit(make_spec(number), make_result(number), committed_at=NOW)
    store.record_failure(make_failure(5))
    store.commit_candidate(make_candidate(0, 6))
    store.save_grid(document())
    if request.param == "compacts":
        store.compact(NOW)
    return root


def readers(store: Store) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yields all readers with their names."""
    yield "committed", store.committed
    yield "failures", store.failures
    yield "damaged", store.damaged
    yield "find_committed", lambda: store.find_committed(trial_id(make_spec(0)))
    yield "num_failures", lambda: store.num_failures(trial_id(make_spec(5)))
    for table in TABLES:
        yield f"read {table}", lambda table=table: store.read(table)  # type: ignore[misc]
    yield "query", lambda: store.query("SELECT * FROM grid JOIN trials USING (trial_id)")
    yield "query images", lambda: store.query("SELECT sum(tp) FROM images")
    yield "grids", store.grids
    yield "runs", store.runs
    yield "feed", lambda: (store.feed().refresh(), store.feed().curve(trial_id(make_spec(0))))
    yield "verify", lambda: store.verify(LATER)
    yield "heal", lambda: store.clean_up(NOW)
    yield "compact", lambda: store.compact(NOW)


def truncated(share: float) -> Damage:
    return lambda data: data[: int(len(data) * share)]


def flipped(place: float, bit: int) -> Damage:
    def flip(data: bytes) -> bytes:
        at = int(place * (len(data) - 1))
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]

    return flip


shares = st.floats(0, 0.999)
damages = st.one_of(
    st.builds(truncated, shares),
    st.builds(flipped, shares, st.integers(0, 7)),
    st.binary(max_size=50).map(lambda junk: lambda _data: junk),
    st.binary(min_size=1, max_size=30).map(lambda junk: lambda data: data[:40] + junk + data[40:]),
    st.sampled_from([*TABLES]).map(lambda table: lambda data, table=table: _other(table, data)),
)


def _other(table: str, _data: bytes) -> bytes:
    """An intact file of one table under the name of another."""
    return encode_part(TABLES[table], [])


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.slow
@pytest.mark.timeout(240)
@given(data=st.data(), damage=damages)
@pytest.mark.parametrize("folder", [*TABLES, "_grids"])
def test_readers_report_unreadable_files(
    whole: Path, folder: str, tmp_path: Path, data: st.DataObject, damage: Damage
) -> None:
    root = tmp_path / "results"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    files = sorted(path for path in (root / folder).iterdir() if not path.name.startswith("."))
    path = data.draw(st.sampled_from(files))
    before = path.read_bytes()
    path.write_bytes(damage(before))
    if path.read_bytes() != before and folder != "_grids":
        named = {problem.path for problem in Store(root).verify(LATER).problems}
        # Damage outside the rows of a part (first bytes, description) changes no value.
        is_harmless = decode(path.read_bytes()) == decode(before)
        assert f"{folder}/{path.name}" in named or (is_harmless and path.name.startswith("part-"))
    refused = {}
    for name, use in readers(Store(root)):
        try:
            use()
        except StoreError as error:
            refused[name] = str(error)
    unnamed = {name: text for name, text in refused.items() if f"{root}/{folder}" not in text}
    assert unnamed == {}


def _special(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(path.parent):
            bound.bind(path.name)  # the whole path can be too long for a socket
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
@pytest.mark.parametrize("whole", ["parts"], indirect=True)
def test_readers_do_not_wait_for_pipes(whole: Path, tmp_path: Path, kind: str) -> None:
    folders = ("trials", "images", "_grids", "_runs") if kind == "pipe" else ("trials",)
    for folder in folders:
        root = tmp_path / folder / "results"
        shutil.copytree(whole, root)
        (root / folder).mkdir(exist_ok=True)
        for path in sorted((root / folder).iterdir())[:1] or [root / folder / "x.json"]:
            path.unlink(missing_ok=True)
            _special(path, kind)
        named = {problem.path for problem in Store(root).verify(LATER).problems}
        assert folder.startswith("_") or f"{folder}/{path.name}" in named
        refused = {}
        for name, use in readers(Store(root)):
            try:
                use()
            except StoreError as error:
                refused[name] = str(error)
        assert {text for text in refused.values() if str(path) not in text} == set()
        found = Store(root).verify(LATER)
        Store(root).quarantine(found)
        assert path.exists() == (kind != "folder" or folder == "_runs"), folder
