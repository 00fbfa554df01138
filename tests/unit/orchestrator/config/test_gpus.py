"""The GPU share that a trial needs for its memory."""

from __future__ import annotations

import math
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config.gpus import (
    gpu_share,
    local_gpu,
    resident_bytes,
    shares_for,
)
from orchestrator.plan.cost import num_slots
from orchestrator.plan.grid import build_grid, grid_from_document
from orchestrator.plan.planner import plan
from tests.unit.orchestrator.config.builders import load
from tests.unit.orchestrator.plan.test_grid import SAVED_AT
from workers.contract import Component, UserError

GIB = 2.0**30


@pytest.mark.parametrize(
    ("memory", "device", "margin", "share"),
    [
        (10, 80, 0, 0.125),
        (10, 80, 0.3, 0.1666),  # 13 of 80: six fit
        (27, 80, 0, 0.5),
        (26, 80, 0, 0.3333),
        (41, 80, 0, 1),
        (100, 80, 0, 1),  # the trial does not fit, and gets a whole GPU
        (2, 80, 0, 0.025),
        (0.01, 80, 0, 0.0156),
    ],
)
def test_shares_that_can_be_checked_by_hand(memory, device, margin, share):
    assert gpu_share(memory * GIB, device * GIB, margin) == share


@given(st.floats(1e-3, 1e3), st.floats(1, 200), st.floats(0, 1))
def test_a_gpu_share_admits_as_many_trials_as_fit(memory, device, margin):
    share = gpu_share(memory, device, margin)
    number = num_slots(cpus=10**6, gpus=1, cpus_per_trial=1, gpus_per_trial=share)
    assert 0 < share <= 1
    assert number == 1 or number * memory * (1 + margin) <= device * (1 + 1e-9)
    assert number == 64 or (number + 1) * memory * (1 + margin) > device * (1 - 1e-9)


@pytest.mark.parametrize(("memory", "device", "margin"), [(0, 1, 0), (1, 0, 0), (1, 1, -0.1)])
def test_meaningless_values_are_an_error(memory, device, margin):
    with pytest.raises(ValueError, match="margin"):
        gpu_share(memory, device, margin)


def share(*names: str, image_size: int = 224, batch_size: int = 8) -> float:
    found = shares_for(
        [Component(name=name) for name in names],
        image_size=image_size,
        batch_size=batch_size,
        gpu_memory_gib=80,
    )
    assert found is not None
    assert list(found) == list(names)
    return max(found.values())


def test_share_depends_on_model_and_image_size():
    models = [Component(name=name) for name in ("unet", "esfpnet", "emcad")]
    found = shares_for(models, image_size=224, batch_size=8, gpu_memory_gib=80)
    assert found == {name: share(name) for name in ("unet", "esfpnet", "emcad")}
    assert len(set(found.values())) == 3
    assert share("unet", image_size=64) < share("unet") < share("unet", batch_size=64)


def test_share_includes_the_images_of_the_dataset():
    skin = Component(name="synthetic-skin", parameters={"num_images": 100})
    assert resident_bytes(skin, 32) == 100 * 32 * 32 * 4
    assert resident_bytes(Component(name="isic-2017"), 224) == 2750 * 224 * 224 * 4
    assert resident_bytes(Component(name="folder"), 64) == 2000 * 64 * 64 * 4
    assert resident_bytes(skin, 32, num_maps=2) == 100 * 32 * 32 * (4 + 2 * 4)
    settings = {"image_size": 512, "batch_size": 2, "gpu_memory_gib": 80.0}
    unet, isic = Component(name="unet"), Component(name="isic-2017")
    alone = shares_for([unet], **settings)  # type: ignore[arg-type]
    among = shares_for([unet], [isic], **settings)  # type: ignore[arg-type]
    assert among is not None
    assert alone is not None
    assert among["unet"] > alone["unet"]


def auto(folder, *overrides):
    return load(folder, "resources.gpus=auto", *overrides)


def test_auto_becomes_a_number_that_grid_and_plan_use(tmp_path):
    config = auto(tmp_path, "cluster.gpu_memory_gib=80", "cluster.gpus=2")
    # The generated images need little memory.
    assert config.resources.gpus == pytest.approx(share("unet"), rel=0.1)
    grid = build_grid(config)
    assert grid.gpus_per_trial == config.resources.gpus
    assert grid_from_document(grid.document(SAVED_AT)).gpus_per_trial == grid.gpus_per_trial
    assert plan(grid, {}).pending[0].expected_seconds > 0
    twice = auto(tmp_path, "cluster.gpu_memory_gib=160").resources.gpus
    assert twice == pytest.approx(config.resources.gpus / 2, rel=0.2)


def test_auto_share_per_model_is_in_grid_plan_and_document(tmp_path):
    config = auto(tmp_path, "cluster.gpu_memory_gib=80", "models=[unet, fcbformer]")
    shares = config.gpu_shares
    assert config.resources.gpus == shares["fcbformer"] > shares["unet"] > 0
    grid = build_grid(config)
    for trial in plan(grid, {}).pending:
        assert trial.gpus == shares[trial.spec.model.label]
    kept = grid_from_document(grid.document(SAVED_AT))
    assert dict(kept.gpu_shares) == dict(shares)
    number = load(tmp_path, "resources.gpus=0.5")
    assert number.gpu_shares == {}
    assert {trial.gpus for trial in plan(build_grid(number), {}).pending} == {None}


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A machine with an nvidia-smi of chosen output."""

    def answer(text: str, code: int = 0) -> None:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    return answer


def test_memory_is_that_of_the_smallest_gpu(tmp_path, nvidia_smi):
    nvidia_smi("81920, NVIDIA A100 80GB\\n40960, NVIDIA A100-SXM4\\n")
    assert local_gpu() == ("NVIDIA A100-SXM4", 40 * GIB)
    config = auto(tmp_path, "cluster.gpu_memory_gib=40")
    assert math.isclose(float(auto(tmp_path).resources.gpus), float(config.resources.gpus))


@pytest.mark.parametrize(("text", "code"), [("", 9), ("No devices were found\\n", 0)])
def test_unknown_gpu_memory_is_refused_with_the_remedy(tmp_path, nvidia_smi, text, code):
    nvidia_smi(text, code)
    assert local_gpu() is None
    with pytest.raises(UserError, match=r"resources.gpus: 'auto': .* set cluster.gpu_memory_gib"):
        auto(tmp_path)


@pytest.mark.parametrize("value", ["all", "true", "-1", "1.5", ".nan", "[1]"])
def test_other_values_are_refused(tmp_path, value):
    with pytest.raises(UserError, match=r"resources.gpus: .*must be"):
        load(tmp_path, f"resources.gpus={value}")


@pytest.mark.parametrize("value", ["yes", "true", "-1", "[]", "[1, -1]", "[1, true]", ".inf"])
def test_weights_of_outputs_are_numbers_of_at_least_0(tmp_path, value):
    with pytest.raises(UserError, match=r"training.auxiliary_weight: .*must be"):
        load(tmp_path, f"training.auxiliary_weight={value}")
    protocol = load(tmp_path, "training.auxiliary_weight=[1, 0.5]").training.protocol()
    assert protocol.auxiliary_weight == (1.0, 0.5)
