"""What a running driver tells the store about itself."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.engine.journal import RunJournal
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


def open_journal(store, display=None):
    return RunJournal(display or Display(), store, "grid", now=lambda: NOON, interval_seconds=0.01)


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
    journal = open_journal(store)
    journal.on(SweepStarted(10, 4, 6))
    journal.on(TrialStarted("a" * 20, "kvasir · unet · iou · 0"))
    journal.on(TrialStarted("b" * 20, "kvasir · unet · bce · 0"))
    journal.on(EpochEnded("a" * 20, 1, 0.25))
    journal.on(EpochEnded("a" * 20, 2, float("nan")))
    journal.on(TrialFinished("b" * 20, "completed", 0.5, 3.0))
    run = wait_for_run(store)
    assert (run.num_pending, run.num_ended, run.grid_id) == (4, 1, "grid")
    assert run.running == (
        RunningTrial(
            trial_id="a" * 20, label="kvasir · unet · iou · 0", since=NOON, val_dice=(0.25, None)
        ),
    )
    journal.close()
    journal.close()
    assert store.runs() == []


def test_epochs_after_a_checkpoint_are_not_doubled(store):
    journal = open_journal(store)
    journal.on(SweepStarted(1, 1, 0))
    journal.on(TrialStarted("a" * 20, "one"))
    for epoch, dice in ((1, 0.1), (2, 0.2), (1, 0.1), (2, 0.2), (3, 0.3)):
        journal.on(EpochEnded("a" * 20, epoch, dice))
    assert wait_for_run(store).running[0].val_dice == (0.1, 0.2, 0.3)
    journal.on(TrialFailed("a" * 20, "bug", "oh"))
    assert wait_for_run(store).running == ()
    journal.close()


def test_the_journal_passes_events_to_the_display(store):
    display = Display()
    journal = open_journal(store, display)
    journal.on(SweepStarted(3, 0, 3))
    journal.on(SweepFinished(interrupted=True))
    journal.close()
    assert display.calls == [SweepStarted(3, 0, 3), SweepFinished(interrupted=True), "close"]
    assert store.runs() == []


def test_a_store_that_cannot_be_written_does_not_stop_the_sweep(store, monkeypatch):
    tried = threading.Event()

    def refuse(run):
        tried.set()
        raise StoreError("full")

    monkeypatch.setattr(store, "save_run", refuse)
    journal = open_journal(store)
    journal.on(SweepStarted(1, 1, 0))
    assert tried.wait(10)
    journal.on(TrialFinished("a" * 20, "completed", 0.5, 1.0))
    journal.close()


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
