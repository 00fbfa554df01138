"""What a driver does about trials that another one is training; time is the test's."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.engine.base import EngineReport, TrialJob, TrialQueue
from orchestrator.engine.inline import InlineEngine
from orchestrator.engine.sharing import POLL_SECONDS, SharedRun, remove_dead_drivers
from orchestrator.records import FailureRecord
from orchestrator.store import RunRecord, Store
from tests.unit.orchestrator.engine.test_heartbeat import Display
from tests.unit.orchestrator.store.trials import make_result, make_spec
from workers.contract import FailureClass, Runtime, TrialResult
from workers.identity import trial_id

START = datetime.now(UTC)
EARLIER = START - timedelta(days=3650)
JOBS = [
    TrialJob(
        trial_id=trial_id(make_spec(number)),
        spec=make_spec(number),
        runtime=Runtime(data_root=None, cache_dir="cache"),
        run_id="this",
    )
    for number in range(3)
]
IDS = [job.trial_id for job in JOBS]


@pytest.fixture(autouse=True)
def fresh_start() -> None:
    """Claims are taken by the wall clock, so a test must not begin a minute after its `START`."""
    global START
    START = datetime.now(UTC)


def driver(run_id: str, **changes: object) -> RunRecord:
    values: dict[str, object] = {
        "run_id": run_id, "grid_id": "g", "host": "elsewhere", "process_id": 7,
        "started_at": START, "heartbeat_at": START, "num_pending": 3,
    }  # fmt: skip
    return RunRecord(**(values | changes))  # type: ignore[arg-type]


class Scene:
    """A driver `this` beside another, `other`, that trains the second of three trials."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.store = Store(folder)
        self.store.save_run(driver("other", **changes))
        assert self.store.claims("other").claim(IDS[1], START) is None
        self.elapsed = timedelta(0)
        self.trained: list[str] = []
        self.notes: list[str] = []
        self.display = Display()

    def run(self, meanwhile: Callable[[int], None]) -> EngineReport:
        """Runs all three; `meanwhile` is told the number of each look at the other driver."""
        looks = 0

        def pause() -> None:
            nonlocal looks
            looks += 1
            self.elapsed += timedelta(seconds=POLL_SECONDS)
            meanwhile(looks)
            assert looks < 100, "it waits for ever"

        def trainer(spec, runtime, checkpoints, on_epoch) -> TrialResult:
            self.trained.append(trial_id(spec))
            return make_result(1)

        return SharedRun(
            engine=InlineEngine(trainer),
            store=self.store,
            progress=self.display,
            run_id="this",
            wanted=self.wanted,
            on_wait=self.notes.append,
            now=lambda: START + self.elapsed,
            pause=pause,
        ).run(JOBS)

    def wanted(self) -> Collection[str]:
        failed = {row.trial_id for row in self.store.failures() if row.failure_class == "bug"}
        return set(IDS) - set(self.store.committed()) - failed

    def calls(self, name: str) -> list[str]:
        return [event.trial_id for event in self.display.calls if event.name == name]


def test_a_trial_that_another_driver_finishes_is_not_trained(tmp_path):
    scene = Scene(tmp_path)

    def finish(look: int) -> None:
        if look == 3:
            scene.store.commit(make_spec(1), make_result(4), committed_at=START)
            scene.store.claims("other").release(IDS[1])

    report = scene.run(finish)
    assert scene.trained == [IDS[0], IDS[2]]
    assert {outcome.trial_id: outcome.dice for outcome in report.outcomes}[IDS[1]] == 0.04
    assert not report.interrupted
    assert scene.calls("trial_left") == [IDS[1]]
    assert scene.calls("trial_finished") == [IDS[0], IDS[2], IDS[1]]
    (note,) = scene.notes
    assert "1 that process 7 on elsewhere is training" in note


def test_a_trial_that_another_driver_releases_is_trained(tmp_path):
    scene = Scene(tmp_path)
    scene.run(lambda _: scene.store.claims("other").release(IDS[1]))
    assert scene.trained == [IDS[0], IDS[2], IDS[1]]
    assert list(tmp_path.glob("_claims/*")) == []


def test_a_silent_driver_loses_its_trial_after_a_minute(tmp_path):
    scene = Scene(tmp_path)
    looks: list[int] = []
    scene.run(looks.append)
    assert scene.trained == [IDS[0], IDS[2], IDS[1]]
    assert len(looks) == 60 / POLL_SECONDS


def test_a_silent_driver_with_a_fast_clock_loses_its_trial(tmp_path):
    scene = Scene(tmp_path, heartbeat_at=START + timedelta(hours=3))
    looks: list[int] = []
    scene.run(looks.append)
    assert scene.trained == [IDS[0], IDS[2], IDS[1]]
    assert len(looks) == 60 / POLL_SECONDS + 1


def test_a_live_driver_is_waited_for(tmp_path):
    scene = Scene(tmp_path)

    def beat(look: int) -> None:
        scene.store.save_run(driver("other", heartbeat_at=START + scene.elapsed))
        if look == 90:
            scene.store.claims("other").release(IDS[1])

    scene.run(beat)
    assert scene.trained == [IDS[0], IDS[2], IDS[1]]
    assert scene.elapsed == timedelta(seconds=90 * POLL_SECONDS)
    assert len(scene.notes) == 1


def test_a_bug_in_another_driver_is_not_repeated(tmp_path):
    scene = Scene(tmp_path)

    def fail(_: int) -> None:
        scene.store.record_failure(
            FailureRecord(
                spec=make_spec(1), attempt=1, failure_class=FailureClass.BUG, message="no",
                traceback="", host="elsewhere", failed_at=START,
            )
        )  # fmt: skip
        scene.store.claims("other").release(IDS[1])

    report = scene.run(fail)
    assert scene.trained == [IDS[0], IDS[2]]
    assert [outcome.status for outcome in report.outcomes].count("failed") == 1
    assert scene.calls("trial_failed") == [IDS[1]]


def test_an_interruption_ends_the_waiting(tmp_path):
    scene = Scene(tmp_path)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.run(stop)


def test_a_job_without_a_driver_is_not_claimed(tmp_path):
    class Unclaimable(Store):
        def claims(self, run_id):
            raise AssertionError

    job = TrialJob(trial_id=IDS[0], spec=make_spec(0), runtime=JOBS[0].runtime)
    engine = InlineEngine(lambda *_: make_result(1))
    report = engine.run(TrialQueue([job], Display()), Unclaimable(tmp_path))
    assert [outcome.status for outcome in report.outcomes] == ["completed"]


@pytest.fixture
def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_local_ended_drivers_are_removed_at_once(tmp_path, dead_process):
    store, here = Store(tmp_path), platform.node()
    now = datetime.now(UTC)
    for run in (
        driver("dead", host=here, process_id=dead_process),
        driver("number given again", host=here, process_id=os.getpid(), started_at=EARLIER),
        driver("this", host=here, process_id=os.getpid(), started_at=now),
        driver("unknown", process_id=dead_process),
        driver("silent", heartbeat_at=now - timedelta(seconds=60)),
    ):  # fmt: skip
        store.save_run(run)
    remove_dead_drivers(store, now)
    assert {run.run_id for run in store.runs()} == {"this", "unknown"}
