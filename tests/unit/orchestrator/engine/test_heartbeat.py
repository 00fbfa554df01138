"""What a running driver tells the store about itself."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.engine.heartbeat import Heartbeat
from orchestrator.progress import (
    EpochEnded,
    SweepFinished,
    SweepStarted,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)
from orchestrator.store import RunningTrial, RunRecord, Store
from orchestrator.store.storage import StoreError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Display:
    def __init__(self):
        self.calls = []

    def on(self, event):
        self.calls.append(event)

    def close(self):
        self.calls.append("close")


class ListeningStore(Store):
    """Says when a document was written."""

    def __init__(self, place):
        super().__init__(place)
        self.written = threading.Semaphore(0)

    def save_run(self, run):
        super().save_run(run)
        self.written.release()


@pytest.fixture
def store(tmp_path):
    return ListeningStore(tmp_path / "res")


def open_heartbeat(store, display=None):
    return Heartbeat(display or Display(), store, "grid", now=lambda: NOON, interval_seconds=0.01)


def wait_for_run(store):
    for _ in range(2):  # The second one was begun after the call.
        assert store.written.acquire(timeout=10)
    while store.written.acquire(blocking=False):
        pass
    assert store.written.acquire(timeout=10)
    assert store.written.acquire(timeout=10)
    (run,) = store.runs()
    return run


def test_the_driver_document_shows_running_trials(store):
    heartbeat = open_heartbeat(store)
    heartbeat.on(SweepStarted(10, 4, 6))
    heartbeat.on(TrialStarted("a" * 20, "kvasir · unet · iou · 0"))
    heartbeat.on(TrialStarted("b" * 20, "kvasir · unet · bce · 0"))
    heartbeat.on(EpochEnded("a" * 20, 1, 0.25))
    heartbeat.on(EpochEnded("a" * 20, 2, float("nan")))
    heartbeat.on(TrialFinished("b" * 20, "completed", 0.5, 3.0))
    run = wait_for_run(store)
    assert (run.num_pending, run.num_ended, run.grid_id) == (4, 1, "grid")
    assert run.running == (
        RunningTrial(
            trial_id="a" * 20, label="kvasir · unet · iou · 0", since=NOON, val_dice=(0.25, None)
        ),
    )
    heartbeat.close()
    heartbeat.close()
    assert store.runs() == []


def test_epochs_after_a_checkpoint_are_not_doubled(store):
    heartbeat = open_heartbeat(store)
    heartbeat.on(SweepStarted(1, 1, 0))
    heartbeat.on(TrialStarted("a" * 20, "one"))
    for epoch, dice in ((1, 0.1), (2, 0.2), (1, 0.1), (2, 0.2), (3, 0.3)):
        heartbeat.on(EpochEnded("a" * 20, epoch, dice))
    assert wait_for_run(store).running[0].val_dice == (0.1, 0.2, 0.3)
    heartbeat.on(TrialFailed("a" * 20, "bug", "oh"))
    assert wait_for_run(store).running == ()
    heartbeat.close()


def test_the_heartbeat_passes_events_to_the_display(store):
    display = Display()
    heartbeat = open_heartbeat(store, display)
    heartbeat.on(SweepStarted(3, 0, 3))
    heartbeat.on(SweepFinished(interrupted=True))
    heartbeat.close()
    assert display.calls == [SweepStarted(3, 0, 3), SweepFinished(interrupted=True), "close"]
    assert store.runs() == []


def test_a_store_that_cannot_be_written_does_not_stop_the_sweep(store, monkeypatch):
    tried = threading.Event()

    def refuse(run):
        tried.set()
        raise StoreError("full")

    monkeypatch.setattr(store, "save_run", refuse)
    heartbeat = open_heartbeat(store)
    heartbeat.on(SweepStarted(1, 1, 0))
    assert tried.wait(10)
    heartbeat.on(TrialFinished("a" * 20, "completed", 0.5, 1.0))
    heartbeat.close()


def record(**changes):
    values = {
        "run_id": "r1",
        "grid_id": "g",
        "host": "node",
        "process_id": 7,
        "started_at": NOON,
        "heartbeat_at": NOON,
        "num_pending": 2,
    }
    return RunRecord(**{**values, **changes})


def test_a_driver_is_alive_for_a_minute_after_a_heartbeat():
    assert record().is_alive(NOON + timedelta(seconds=59))
    assert not record().is_alive(NOON + timedelta(seconds=60))


def test_foreign_documents_are_left_out_and_old_ones_healed_away(store, tmp_path):
    store.save_run(record())
    folder = tmp_path / "res" / "_runs"
    (folder / "other.json").write_text(json.dumps({"run_id": "x", "running": 3}))
    (folder / "torn.json").write_text('{"run_id"')
    (folder / "note.txt").write_text("hello")
    assert store.runs() == [record()]
    store.clean_up(datetime.now(UTC))
    assert len(list(folder.iterdir())) == 4
    store.clean_up(datetime.now(UTC) + timedelta(hours=2))
    assert list(folder.iterdir()) == []
