"""Guarantees on a GPU: equal bits, limited shares, no waits, two trials at the same time."""

from __future__ import annotations

import contextlib

import pytest

from orchestrator.engine.ray_cluster import ClusterOptions
from orchestrator.engine.ray_tune import RayTuneEngine
from orchestrator.progress import JsonProgress
from orchestrator.run import run_sweep
from orchestrator.store import Store
from orchestrator.sweep import open_sweep
from tests.benchmarks.gpu_phases import (
    MemoryCheckpoints,
    Settings,
    bits,
    host_waits,
    trial_spec,
)
from tests.integration.sweeps import write_config
from workers.catalogue.models import MODELS
from workers.contract import FailureClass
from workers.failures import classify_failure, spoils_process

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.timeout(120)]

NETWORKS = [name for name in MODELS if name != "smp"]
TOO_SMALL = 0.001
"""A share that the CUDA context uses completely."""


def some(name: str, settings: Settings) -> None:
    """Skips all networks except the smallest in a rehearsal."""
    if not settings.use_gpu and name != "unet":
        pytest.skip("a rehearsal trains U-Net alone")


@pytest.mark.parametrize("name", NETWORKS)
def test_repeated_and_resumed_trials_have_equal_bits(name, settings):
    some(name, settings)
    spec, runtime = (
        trial_spec(name, settings, epochs=3),
        settings.runtime(checkpoint_interval_seconds=0),
    )
    whole = bits(spec, runtime)
    assert bits(spec, runtime) == whole
    kept = MemoryCheckpoints(stop_after=2)
    with contextlib.suppress(KeyboardInterrupt):
        bits(spec, runtime, kept)
    assert kept.num_saves == 2
    assert bits(spec, runtime, kept) == whole


@pytest.mark.parametrize("name", NETWORKS)
def test_no_step_waits_for_the_device(name, settings):
    some(name, settings)
    assert host_waits(name, settings) == []


def test_too_small_gpu_share_is_out_of_memory(settings):
    if not settings.use_gpu:
        pytest.skip("a CPU has no share to exceed")
    spec = trial_spec("unet", settings, epochs=1)
    with pytest.raises(Exception, match=r"(?i)memory|engine|cuda|cublas|cudnn") as caught:
        bits(spec, settings.runtime(gpu_share=TOO_SMALL))
    assert classify_failure(caught.value, capped=True) == FailureClass.OUT_OF_MEMORY
    assert spoils_process(caught.value)


def run_on_ray(folder, gpus: float, **changes):
    """Runs four small trials, each with a GPU share, and returns their store."""
    config = write_config(folder, resources={"cpus": 1, "gpus": gpus}, **changes)
    sweep = open_sweep(config, ["cluster.gpus=1"])
    engine = RayTuneEngine(ClusterOptions(num_cpus=2, num_gpus=1, trial_gpus=gpus))
    with (folder / "progress.json").open("w") as stream:
        run_sweep(sweep, engine, JsonProgress(stream))
    return Store(str(folder / "results"))


@pytest.mark.ray
def test_two_trials_share_a_gpu_through_ray(tmp_path, settings):
    trials = run_on_ray(tmp_path, 0.5).read("trials")
    assert list(trials["status"]) == ["completed"] * 4
    assert set(trials["gpu_ids"]) == {"0"}
    assert trials["device"].str.startswith("cpu").all() != settings.use_gpu


@pytest.mark.ray
def test_too_small_gpu_share_grows_through_ray(tmp_path, settings):
    if not settings.use_gpu:
        pytest.skip("a CPU has no share to exceed")
    store = run_on_ray(tmp_path, 0.01, losses=["dice"], repeats=1, data={"image_size": 224})
    assert list(store.read("trials")["status"]) == ["completed"]
    shares = [row.gpus for row in store.failures()]
    assert shares[0] == 0.01
    assert all(row.failure_class == FailureClass.OUT_OF_MEMORY for row in store.failures())
