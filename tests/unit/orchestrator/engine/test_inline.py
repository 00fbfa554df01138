"""The engine without Ray gives a trial the GPU that it asks for."""

from __future__ import annotations

import io

import pytest

from orchestrator.engine.base import TrialJob, TrialQueue
from orchestrator.engine.inline import InlineEngine
from orchestrator.progress import JsonProgress
from orchestrator.store import Store
from tests.unit.orchestrator.store.trials import make_result, make_spec
from workers.contract import FailureClass, Runtime
from workers.identity import trial_id

SPEC = make_spec(1)


def run(tmp_path, gpus, error=None):
    """Returns what the trainer was given, and the report."""
    given: list[Runtime] = []

    def train(spec, runtime, checkpoints, on_epoch):
        given.append(runtime)
        if error:
            raise error
        return make_result(1)

    job = TrialJob(
        trial_id=trial_id(SPEC),
        spec=SPEC,
        runtime=Runtime(data_root=None, cache_dir="unused"),
        gpus=gpus,
    )
    queue = TrialQueue([job], JsonProgress(io.StringIO()))
    report = InlineEngine(train).run(queue, Store(tmp_path))
    return given[0], report


@pytest.mark.parametrize(
    ("gpus", "visible", "expected"),
    [
        (0.0, "3,4", ((), 1.0)),
        (None, None, ((), 1.0)),
        (0.25, None, (("0",), 0.25)),
        (1.0, "3,4", (("3",), 1.0)),
        (2.0, "3,4", (("3",), 1.0)),
    ],
)
def test_a_trial_gets_the_requested_gpu(tmp_path, monkeypatch, gpus, visible, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    runtime, report = run(tmp_path, gpus)
    assert (runtime.gpu_ids, runtime.gpu_share) == expected
    assert report.outcomes[0].status == "completed"


def test_out_of_memory_message_names_the_next_share(tmp_path):
    _, report = run(tmp_path, 0.25, RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"))
    (outcome,) = report.outcomes
    assert outcome.failure_class == FailureClass.OUT_OF_MEMORY
    assert outcome.message.endswith("(on 0.25 GPU; next on 0.5 GPU)")
