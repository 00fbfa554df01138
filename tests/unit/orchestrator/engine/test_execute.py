"""One trial from specification to row: what a store that refuses costs, and what is recorded."""

from __future__ import annotations

import pytest

from orchestrator.engine.base import COMMIT_PAUSES_SECONDS, TrialJob, execute
from orchestrator.store import Store, StoreError
from tests.unit.orchestrator.store.trials import NOW, make_result, make_spec
from workers.contract import FailureClass, Runtime, UserError
from workers.identity import trial_id

SPEC = make_spec(1)


class Refusing(Store):
    """Refuses to commit as often as told."""

    def __init__(self, place, refusals: int):
        super().__init__(place)
        self.refusals = refusals

    def commit(self, spec, result, *, committed_at, attempt=None):
        if self.refusals:
            self.refusals -= 1
            msg = "trials: No space left on device; free some space"
            raise StoreError(msg)
        super().commit(spec, result, committed_at=committed_at, attempt=attempt)


class Run:
    """Executes one job and notes trainings and pauses."""

    def __init__(self, store, error: BaseException | None = None, gpus: float | None = 0.0):
        self.trainings = 0
        self.pauses: list[float] = []
        job = TrialJob(
            trial_id=trial_id(SPEC),
            spec=SPEC,
            runtime=Runtime(data_root=None, cache_dir="unused"),
            gpus=gpus,
        )

        def train(spec, runtime, checkpoints, on_epoch):
            self.trainings += 1
            if error:
                raise error
            return make_result(1)

        self.outcome = execute(job, store, train, print, lambda: NOW, self.pauses.append)


def test_commit_after_store_errors_does_not_train_again(tmp_path):
    store = Refusing(tmp_path, 3)
    run = Run(store)
    assert (run.outcome.status, run.trainings, len(run.pauses)) == ("completed", 1, 3)
    assert run.pauses == sorted(run.pauses)
    assert store.find_committed(trial_id(SPEC)) is not None
    assert store.failures() == ()


def test_commit_to_a_broken_store_fails_after_a_bounded_wait(tmp_path):
    store = Refusing(tmp_path, 100)
    run = Run(store)
    assert (run.outcome.status, run.trainings) == ("failed", 1)
    assert len(run.pauses) == len(COMMIT_PAUSES_SECONDS)
    assert sum(run.pauses) <= 1.25 * sum(COMMIT_PAUSES_SECONDS) == 375
    assert run.outcome.failure_class is FailureClass.INFRASTRUCTURE
    assert run.outcome.transient
    (failure,) = store.failures()
    assert "No space left on device" in failure.message


@pytest.mark.parametrize(
    ("error", "failure_class", "transient"),
    [
        (KeyError("x"), FailureClass.BUG, False),
        (UserError("the data is gone"), FailureClass.INFRASTRUCTURE, False),
        (OSError("stale file handle"), FailureClass.INFRASTRUCTURE, True),
        (StoreError("s3 is down"), FailureClass.INFRASTRUCTURE, True),
        (MemoryError(), FailureClass.OUT_OF_MEMORY, False),
    ],
)
def test_only_temporary_errors_are_transient(tmp_path, error, failure_class, transient):
    outcome = Run(Store(tmp_path), error).outcome
    assert (outcome.failure_class, outcome.transient) == (failure_class, transient)


@pytest.mark.parametrize(
    ("gpus", "end"),
    [
        (0.25, "(on 0.25 GPU; next on 0.5 GPU)"),
        (0.75, "(on 0.75 GPU; next on a whole GPU)"),
        (1.0, "(on a whole GPU; no larger share exists)"),
        (0.0, "(on no GPU; no larger share exists)"),
    ],
)
def test_out_of_memory_row_names_the_gpu_share(tmp_path, gpus, end):
    store = Store(tmp_path)
    Run(store, MemoryError("no room"), gpus)
    (failure,) = store.failures()
    assert failure.gpus == gpus
    assert failure.message == f"MemoryError: no room {end}"
    assert failure.traceback.endswith("MemoryError: no room\n")


def test_system_exit_in_a_trial_is_a_failure(tmp_path):
    run = Run(Store(tmp_path), SystemExit(3))
    assert (run.outcome.status, run.outcome.failure_class) == ("failed", FailureClass.BUG)
    (row,) = Store(tmp_path).failures()
    assert row.message == "SystemExit: 3"
