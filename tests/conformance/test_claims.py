"""Claims: at most one live driver claims a trial, on every kind of storage."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.store import RunRecord, Store
from orchestrator.store.drivers import SILENT
from orchestrator.store.storage import Storage
from tests.unit.orchestrator.store.trials import NOW

TRIAL, OTHER = "a" * 20, "b" * 20
NAMES = ("1", "2")


def driver(run_id: str, heartbeat: datetime = NOW) -> RunRecord:
    return RunRecord(
        run_id=run_id, grid_id="g", host=f"node-{run_id}", process_id=7, started_at=NOW,
        heartbeat_at=heartbeat, num_pending=4,
    )  # fmt: skip


@pytest.fixture
def store(storage: Storage) -> Store:
    """A store with two running drivers."""
    store = Store(storage.location, storage=storage)
    for run_id in NAMES:
        store.save_run(driver(run_id))
    return store


def never() -> None:
    raise AssertionError("no driver has to wait here")


def wait_in_vain() -> None:
    pass


def test_trial_has_one_driver_until_its_claim_is_released(store: Store) -> None:
    one, two = (store.claims(name) for name in NAMES)
    assert one.claim(TRIAL, NOW, never) is None
    assert one.claim(TRIAL, NOW, never) is None  # again, after a lost process
    assert two.claim(TRIAL, NOW, never) == driver("1")
    assert two.claim(OTHER, NOW, never) is None
    assert one.claim(OTHER, NOW, wait_in_vain) == driver("2")
    assert one.of_others({TRIAL, OTHER}, NOW) == {OTHER: driver("2")}
    assert one.of_others({TRIAL}, NOW) == {}
    one.release(TRIAL)
    one.release(TRIAL)
    assert two.claim(TRIAL, NOW, never) is None
    two.release_all()
    assert one.of_others({TRIAL, OTHER}, NOW) == two.of_others({TRIAL, OTHER}, NOW) == {}


def test_of_two_claims_at_once_the_later_id_withdraws(store: Store, storage: Storage) -> None:
    one, two = (store.claims(name) for name in NAMES)
    storage.touch(f"_claims/{TRIAL}.2")  # the driver with the later id has written its claim

    def later_driver_claims() -> None:
        assert two.claim(TRIAL, NOW, never) == driver("1")

    assert one.claim(TRIAL, NOW, later_driver_claims) is None


def test_older_claim_needs_no_pause(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in NAMES:
        store.save_run(driver(name))
    assert store.claims("2").claim(TRIAL, NOW, never) is None
    file = tmp_path / "_claims" / f"{TRIAL}.2"
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 3))
    assert store.claims("1").claim(TRIAL, NOW, never) == driver("2")


def test_claim_is_void_after_its_driver_stopped(store: Store) -> None:
    one, two = (store.claims(name) for name in NAMES)
    assert one.claim(TRIAL, NOW, never) is None
    almost = NOW + SILENT - timedelta(seconds=1)
    assert two.claim(TRIAL, almost, never) == driver("1")
    store.save_run(driver("2", NOW + SILENT))
    assert two.claim(TRIAL, NOW + SILENT, never) is None
    two.release_all()
    # The driver was suspended; now its claim is valid again.
    store.save_run(driver("1", NOW + SILENT))
    assert two.claim(TRIAL, NOW + SILENT, never) == driver("1", NOW + SILENT)
    store.delete_run("1")
    assert two.claim(TRIAL, NOW + SILENT, never) is None


def test_clean_up_removes_only_claims_of_stopped_drivers(store: Store, storage: Storage) -> None:
    one, two = (store.claims(name) for name in NAMES)
    one.claim(TRIAL, NOW, never)
    two.claim(OTHER, NOW, never)
    store.delete_run("1")
    assert store.clean_up(NOW) == (f"_claims/{TRIAL}.1",)
    assert [file.name for file in storage.list("_claims")] == [f"{OTHER}.2"]


def test_concurrent_drivers_never_claim_a_trial_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = [str(number) for number in range(4)]
    for name in names:
        store.save_run(driver(name))
    held = {f"{number:020x}": threading.Lock() for number in range(8)}
    taken, twice = [], []
    start = threading.Barrier(len(names))

    def work(name: str) -> None:
        claims = store.claims(name)
        start.wait()
        for _ in range(12):
            for trial_id, lock in held.items():
                if claims.claim(trial_id, NOW, wait_in_vain) is None:
                    if not lock.acquire(blocking=False):
                        twice.append((name, trial_id))
                        continue
                    taken.append(trial_id)
                    lock.release()
                    claims.release(trial_id)

    workers = [threading.Thread(target=work, args=(name,)) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert twice == []
    assert set(taken) == set(held)
