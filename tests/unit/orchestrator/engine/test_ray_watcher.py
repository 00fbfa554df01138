"""Events of Tune in, attempts and outcomes out: no cluster, and the clock is an argument."""

from __future__ import annotations

import dataclasses
import types
from typing import Any

import pytest
from ray import cloudpickle
from ray.exceptions import ActorDiedError, ActorUnavailableError

from orchestrator.engine.base import Outcome, TrialJob, TrialQueue, misplaced
from orchestrator.engine.ray_watcher import Attempts, Watcher
from orchestrator.plan.retries import MAX_LOST_NODES
from orchestrator.store import Store
from tests.unit.orchestrator.store.trials import NOW, make_spec
from workers.contract import FailureClass, Runtime
from workers.identity import trial_id

SPECS = [make_spec(number) for number in range(3)]
IDS = [trial_id(spec) for spec in SPECS]
RUNTIME = Runtime(data_root=None, cache_dir="unused")


def fields(outcome):
    return {k: v for k, v in dataclasses.asdict(outcome).items() if k != "trial_id"}


class Display:
    def __init__(self):
        self.calls: list[tuple[str, str]] = []

    def on(self, event):
        self.calls.append((event.name, event.trial_id))

    def close(self):
        pass


class Scene:
    """A watcher of three trials on a quarter of a GPU each."""

    def __init__(self, tmp_path, **options):
        self.time = 0.0
        self.folder = tmp_path
        self.store = Store(tmp_path)
        self.display: Any = Display()
        jobs = [
            TrialJob(trial_id=key, spec=spec, runtime=RUNTIME)
            for key, spec in zip(IDS, SPECS, strict=True)
        ]
        settings: dict[str, Any] = {
            "usual_gpus": 0.25,
            "max_failures": 1,
            "no_progress_seconds": None,
        }
        self.watcher = Watcher(
            TrialQueue(jobs, self.display), self.store, slots=4, clock=lambda: self.time,
            now=lambda: NOW, **settings | options,
        )  # fmt: skip

    def start(self):
        config = self.watcher.next_attempt()
        assert config is not None
        trial = types.SimpleNamespace(
            config=config, last_result={}, error_file=None, pickled_error_file=None,
            temporary_state=types.SimpleNamespace(ray_actor=f"actor of {config['trial_id']}"),
        )  # fmt: skip
        self.watcher.on_trial_start(0, [], trial)
        return trial

    def lose(self, trial, error=None, text="Failure # 1\n"):
        trial.error_file, trial.pickled_error_file = self.folder / "text", self.folder / "pickled"
        trial.error_file.write_text(text)
        trial.pickled_error_file.write_bytes(cloudpickle.dumps(error or ActorDiedError()))
        self.watcher.on_trial_error(0, [], trial)

    def end(self, trial, **values):
        outcome = Outcome(trial_id=trial.config["trial_id"], **values)
        self.watcher.on_trial_result(0, [], trial, {"outcome": dataclasses.asdict(outcome)})


def test_every_job_starts_once_and_the_end_waits_for_all(tmp_path):
    scene = Scene(tmp_path)
    attempts = Attempts(scene.watcher, is_stopped=lambda: False)
    configs = [attempts.suggest("any") for _ in IDS]
    assert [config["trial_id"] for config in configs] == IDS
    assert {(config["attempt"], config["gpus"]) for config in configs} == {(1, 0.25)}
    assert attempts.suggest("any") is None


def test_the_experiment_ends_with_the_last_outcome(tmp_path):
    scene = Scene(tmp_path)
    attempts = Attempts(scene.watcher, is_stopped=lambda: False)
    for _ in IDS:
        scene.end(scene.start(), status="completed", dice=0.5)
    assert attempts.suggest("any") == "FINISHED"
    assert [outcome.status for outcome in scene.watcher.outcomes] == ["completed"] * 3


def test_no_attempt_starts_after_a_stop(tmp_path):
    assert Attempts(Scene(tmp_path).watcher, is_stopped=lambda: True).suggest("any") == "FINISHED"


def test_out_of_memory_is_retried_last_with_twice_the_share(tmp_path):
    scene = Scene(tmp_path)
    scene.end(scene.start(), status="failed", failure_class=FailureClass.OUT_OF_MEMORY)
    rest = [scene.start().config for _ in range(3)]
    assert [config["trial_id"] for config in rest] == [IDS[1], IDS[2], IDS[0]]
    assert (rest[2]["attempt"], rest[2]["gpus"]) == (2, 0.5)
    assert scene.watcher.outcomes == []
    assert ("trial_left", IDS[0]) in scene.display.calls


def test_a_process_replaced_after_its_outcome_is_not_lost(tmp_path):
    scene = Scene(tmp_path)
    trial = scene.start()
    scene.end(trial, status="failed", failure_class=FailureClass.OUT_OF_MEMORY, spoiled=True)
    again = [scene.start() for _ in range(3)][-1]
    assert again.config["trial_id"] == IDS[0]
    scene.lose(trial)  # Tune hears of the end of the first process only now
    assert scene.store.failures() == ()
    scene.end(again, status="completed", dice=0.5)
    assert [outcome.trial_id for outcome in scene.watcher.outcomes] == [IDS[0]]


def test_a_lost_process_is_recorded_with_share_and_host(tmp_path):
    scene = Scene(tmp_path, max_failures=1)
    trial = scene.start()
    trial.last_result = {"hostname": "node-3"}
    scene.lose(trial)
    scene.start(), scene.start()
    scene.lose(scene.start(), text="Failure # 1\n\tip: 192.0.2.2\n")
    first, last = scene.store.failures()
    assert (first.host, last.host, first.gpus) == ("node-3", "192.0.2.2", 0.25)
    assert first.message.endswith("; started again")
    assert last.message.endswith("; given up for this run")
    (outcome,) = scene.watcher.outcomes
    assert (outcome.status, outcome.failure_class) == ("failed", FailureClass.INFRASTRUCTURE)


def test_lost_nodes_are_not_counted(tmp_path):
    scene = Scene(tmp_path, max_failures=0)
    for number in range(4):
        trial = scene.start()
        scene.lose(trial, ActorUnavailableError("Socket closed", None))
        assert len(scene.store.failures()) == number + 1
    assert scene.watcher.outcomes == []
    assert {row.message.split(" (")[0] for row in scene.store.failures()} == {"its node was lost"}


def test_a_bad_node_keeps_no_trial_and_is_recorded_once(tmp_path):
    scene = Scene(tmp_path, max_failures=0)
    problem = misplaced(IDS[0], "dataset a: not found")
    for _ in range(3):  # the first, and each of the others once
        scene.end(scene.start(), **{**fields(problem), "host": "node-9"})
    assert scene.watcher.outcomes == []
    (row,) = scene.store.failures()
    assert row.host == "node-9"
    assert row.message.endswith(
        "joined later and cannot run it: dataset a: not found; started again"
    )
    again = scene.start()
    assert (again.config["trial_id"], again.config["attempt"]) == (IDS[0], 2)


def test_a_trial_that_no_node_can_run_is_given_up(tmp_path):
    scene = Scene(tmp_path, max_failures=0)
    problem = fields(misplaced(IDS[0], "dataset a: not found"))
    num_sent = 0
    while not scene.watcher.is_finished:
        scene.end(scene.start(), **problem)
        num_sent += 1
    assert num_sent == 3 * (MAX_LOST_NODES + 1)
    assert [outcome.status for outcome in scene.watcher.outcomes] == ["failed"] * 3
    rows = scene.store.failures()
    assert sum(row.message.endswith("; given up for this run") for row in rows) == 3
    assert scene.watcher.is_finished


@pytest.mark.parametrize("transient", [False, True])
def test_only_transient_failures_are_retried(tmp_path, transient):
    scene = Scene(tmp_path)
    values = {"status": "failed", "failure_class": FailureClass.INFRASTRUCTURE}
    scene.end(scene.start(), transient=transient, **values)
    assert len(scene.watcher.outcomes) == (0 if transient else 1)


def test_a_trial_of_another_driver_has_ended_here(tmp_path):
    scene = Scene(tmp_path)
    scene.end(scene.start(), status="elsewhere", message="process 7 on node-1 is training it")
    assert [outcome.status for outcome in scene.watcher.outcomes] == ["elsewhere"]


def test_a_process_without_progress_is_ended_once(tmp_path, monkeypatch):
    killed: list[str] = []
    monkeypatch.setattr("ray.kill", killed.append)
    scene = Scene(tmp_path, no_progress_seconds=60)
    silent, lively = scene.start(), scene.start()
    for second in range(0, 100, 10):
        scene.time = second
        result = {"epoch": second + 1, "val_dice": 0.5, "seconds": 9.0}
        assert scene.watcher.goes_on(lively, result)
        scene.watcher.on_step_end(0, [])
    assert killed == [f"actor of {IDS[0]}"]
    scene.lose(silent)
    (failure,) = scene.store.failures()
    assert failure.failure_class is FailureClass.INFRASTRUCTURE
    assert failure.message == (
        "stalled: no epoch ended for 1 min, since 2026-11-22 11:58:30 UTC (epoch 0), so its "
        "process was ended (runtime.no_progress_minutes); started again"
    )


def test_without_a_limit_nothing_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.kill", pytest.fail)
    scene = Scene(tmp_path)
    scene.start()
    scene.time = 1e9
    scene.watcher.on_step_end(0, [])
