"""Searches as a trial source, without Ray: order, early stops, failures, and several drivers."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest

from orchestrator.engine.base import TrialJob, execute
from orchestrator.engine.inline import InlineEngine
from orchestrator.engine.ray_nodes import examine, needs_of
from orchestrator.engine.sharing import OtherDrivers
from orchestrator.progress import JsonProgress
from orchestrator.run import runtime_of
from orchestrator.store import RunRecord
from orchestrator.tune.search import Search, SearchReport, open_search, run_search
from orchestrator.tune.source import SearchSource
from tests.integration.searches import made_up_trainer, search_config

ASHA = {"trials": 14, "random_trials": 6, "pruning": "asha", "grace_epochs": 1}


def run(config, *overrides: str, trainer=made_up_trainer):
    """Runs a search in this process; returns it, its report and the events."""
    stream, search = io.StringIO(), open_search(config, overrides)
    report = run_search(search, InlineEngine(trainer), progress=JsonProgress(stream))
    return search, report, [json.loads(line) for line in stream.getvalue().splitlines()]


def tried(search: Search):
    """Returns `candidates` without the column that depends on the clock."""
    frame = search.store.read("candidates").drop(columns=["committed_at"])
    return frame.sort_values(["search_id", "number", "trial_id"]).to_dict("records")


@pytest.mark.parametrize("tune", [{"trials": 14, "random_trials": 6}, ASHA], ids=["plain", "asha"])
def test_an_interrupted_search_ends_like_an_uninterrupted_one(tmp_path, tune):
    """The same proposals and the same stops, to the last bit, with two trainings per candidate."""
    whole, parts = (
        search_config(tmp_path / name, tune=tune, repeats=2) for name in ("whole", "parts")
    )
    expected, num_trained = tried(run(whole)[0]), 0

    def interrupts(*arguments):
        nonlocal num_trained
        num_trained += 1
        if num_trained % 6 == 0:
            raise KeyboardInterrupt
        return made_up_trainer(*arguments)

    reports: list[SearchReport] = []
    while not reports or reports[-1].interrupted:
        search, report, _ = run(parts, trainer=interrupts)
        assert report is not None
        reports.append(report)
    assert len(reports) >= 3
    assert tried(search) == expected
    num_pruned = sum(row["status"] == "pruned" for row in expected)
    assert num_pruned >= 3 if "pruning" in tune else num_pruned == 0


def test_a_prolonged_search_ends_like_one_with_the_whole_budget(tmp_path):
    whole, parts = (search_config(tmp_path / name) for name in ("whole", "parts"))
    for trials in (4, 9):
        longer, _, _ = run(parts, f"tune.trials={trials}")
    assert tried(longer) == tried(run(whole, "tune.trials=9")[0])
    assert run(parts, "tune.trials=9")[1] is None


def test_a_candidate_is_one_trial_on_the_display(tmp_path):
    _, _, events = run(search_config(tmp_path, repeats=2, tune={"trials": 2}))
    names = [event["event"] for event in events]
    assert names.count("trial_started") == names.count("trial_finished") == 2
    assert events[1]["label"] == "focal · #0"
    mine = [event for event in events[2:-1] if event["trial_id"] == events[1]["trial_id"]]
    steps = [event["epoch"] for event in mine if event["event"] == "epoch"]
    assert steps == [1, 2, 3, 4]


def test_a_failed_candidate_does_not_stop_the_others(tmp_path):
    def fails(spec, *rest):
        if spec.loss.parameters["gamma"] != 0.2:
            raise KeyError("no such thing")
        return made_up_trainer(spec, *rest)

    search, report, events = run(search_config(tmp_path, tune={"trials": 3}), trainer=fails)
    assert report is not None
    assert report.num_failed == 2
    assert [one.number for one in search.results()[0].candidates] == [0]
    failed = [event for event in events if event["event"] == "trial_failed"]
    assert {event["label"] for event in failed} == {"focal · #1", "focal · #2"}


class Driver:
    """A driver of a search that runs one training when the test says so."""

    def __init__(self, config, run_id: str) -> None:
        self.search = open_search(config)
        self.notes: list[str] = []
        self.stream = io.StringIO()
        now = datetime.now(UTC)
        self.run = RunRecord(
            run_id=run_id, grid_id="g", host="elsewhere", process_id=7, started_at=now,
            heartbeat_at=now, num_pending=1,
        )  # fmt: skip
        self.search.store.save_run(self.run)
        self.others = OtherDrivers(
            store=self.search.store, run_id=run_id, on_wait=self.notes.append, pause=self.pause
        )
        self.source = SearchSource(
            self.search.studies,
            self.search.known,
            self.others,
            JsonProgress(self.stream),
            partial(runtime_of, self.search.config),
        )
        self.meanwhile: list[Callable[[], object]] = [self.fail]

    def fail(self) -> None:
        raise AssertionError("this driver waits for ever")

    def pause(self) -> None:
        self.meanwhile.pop(0)()

    def start(self) -> TrialJob | None:
        job = self.source.next(1)
        if job is not None:
            self.source.started(job)
        return job

    def end(self, job: TrialJob) -> None:
        def on_epoch(record):
            self.source.goes_on(job.trial_id, record.epoch, record.val_dice, record.seconds)

        self.source.ended(execute(job, self.search.store, made_up_trainer, on_epoch))

    def step(self) -> bool:
        job = self.start()
        if job is not None:
            self.end(job)
        return job is not None

    def die(self) -> None:
        self.search.store.delete_run(self.run.run_id)

    def numbers(self) -> list[int]:
        return sorted(row.number for row in self.search.store.candidates())

    def events(self, name: str) -> list[str]:
        found = map(json.loads, self.stream.getvalue().splitlines())
        return [event["label"] for event in found if event["event"] == name]


@pytest.fixture
def config(tmp_path):
    return search_config(tmp_path, repeats=2, tune={"trials": 4, "random_trials": 2})


def test_two_drivers_try_each_candidate_once(config):
    drivers = [Driver(config, "a"), Driver(config, "b")]
    while sum(driver.step() for driver in drivers):
        pass
    for driver in drivers:
        driver.source.wait()
        assert driver.source.is_finished
        assert len(driver.events("trial_finished")) == 4
    assert drivers[0].numbers() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_candidate_of_another_driver_is_waited_for(config):
    first, second = Driver(config, "a"), Driver(config, "b")
    job = first.start()
    assert job is not None
    while second.step():
        pass
    assert second.source.is_finished
    assert second.events("trial_left") == ["focal · #0"]
    second.meanwhile = [lambda: first.end(job), first.step]
    second.source.wait()
    assert second.source.is_finished
    assert second.numbers() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(second.events("trial_finished")) == [f"focal · #{n}" for n in range(4)]
    (note,) = second.notes
    assert "1 that process 7 on elsewhere is training" in note


def test_a_candidate_of_a_lost_driver_is_tried_here(config):
    first, second = Driver(config, "a"), Driver(config, "b")
    assert first.start() is not None
    while second.step():
        pass
    second.meanwhile = [first.die]
    second.source.wait()
    while second.step():
        pass
    assert second.numbers() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_half_tried_candidate_is_continued_by_another_driver(config):
    first = Driver(config, "a")
    assert [first.step() for _ in range(3)] == [True] * 3
    first.die()
    second = Driver(config, "b")
    job = second.start()
    assert job is not None
    half = [row for row in second.search.store.candidates() if row.number == 1]
    assert job.spec.loss.parameters["gamma"] == half[0].parameters["gamma"]
    assert (job.spec.repeat, half[0].spec.repeat) == (1, 0)


def test_a_training_that_a_lost_driver_still_runs_is_waited_for(config):
    """The other driver has lost its claim on the candidate, but not the one on the training."""
    first, second = Driver(config, "a"), Driver(config, "b")
    job = first.start()
    assert job is not None
    claims = first.search.store.claims("a")
    claims.release(first.search.studies[0].candidate_id(0))
    assert claims.claim(job.trial_id, datetime.now(UTC)) is None
    while second.step():
        pass
    assert second.numbers() == [1, 1, 2, 2, 3, 3]
    second.meanwhile = [first.die]
    second.source.wait()
    while second.step():
        pass
    assert second.numbers() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_every_node_must_see_the_run_of_the_search(config, tmp_path):
    driver = Driver(config, "a")
    needs = needs_of(driver.source.jobs, driver.search.store)
    assert examine(needs).problems == ()
    shutil.rmtree(tmp_path / "results")
    (problem,) = examine(needs).problems
    assert problem.startswith(f"results: what the driver wrote to {tmp_path}/results is not seen")
