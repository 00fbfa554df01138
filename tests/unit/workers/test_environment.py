"""A process takes its share of a GPU and no more; torch.cuda stands in for one."""

from __future__ import annotations

import types

import pytest
import torch

from workers.contract import Runtime, TrainingProtocol
from workers.environment import prepare_process

GIB = 1 << 30

asked: list[tuple[tuple[bool, ...], dict[str, bool]]] = []
"""How determinism was asked for."""


@pytest.fixture
def limits(monkeypatch):
    """Fractions that were set, on a machine that seems to have a GPU of 80 GiB."""
    found: list[tuple[float, int]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda *words, **named: asked.append((words, named))
    )
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    properties = types.SimpleNamespace(total_memory=80 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda fraction, device: found.append((fraction, device)),
    )
    yield found
    monkeypatch.undo()
    prepare()  # as other tests expect it


def prepare(**runtime):
    settings = Runtime(data_root=None, cache_dir="unused", **runtime)
    return prepare_process(TrainingProtocol(), settings)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.125])
def test_concurrent_trials_and_contexts_fit_on_one_gpu(limits, share):
    assert prepare(gpu_ids=("0",), gpu_share=share).type == "cuda"
    ((fraction, device),) = limits
    assert device == 0
    used = fraction * 80 * GIB + 600 * 2**20
    assert used / share == pytest.approx(80 * GIB)


def test_whole_gpu_removes_the_limit_of_a_reused_process(limits):
    prepare(gpu_ids=("0",), gpu_share=0.5)
    prepare(gpu_ids=("0",), gpu_share=1.0)
    assert [fraction for fraction, _ in limits][1] == 1.0


def test_determinism_on_a_gpu_is_strict(limits):
    asked.clear()
    prepare(gpu_ids=("0",))
    assert asked == [((True,), {})]


def test_smallest_gpu_share_has_a_lower_bound(limits):
    prepare(gpu_ids=("0",), gpu_share=0.005)
    assert limits == [(0.001, 0)]


def test_process_without_assigned_gpu_uses_the_cpu(limits):
    assert prepare(gpu_share=0.5).type == "cpu"
    assert limits == []
