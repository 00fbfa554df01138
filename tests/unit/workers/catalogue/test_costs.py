"""The shipped table of training steps, and what is scaled from it."""

from __future__ import annotations

import pytest

from workers.catalogue.costs import (
    ASSUMED_GPU_BYTES_PER_SECOND,
    ASSUMED_GPU_FLOPS,
    ASSUMED_OPERATION_SECONDS,
    STATE_BYTES_PER_PARAMETER,
    gpu_step_seconds,
    measured_steps,
    model_size,
    pass_seconds,
    step_memory_bytes,
    traced_steps,
)
from workers.catalogue.models import MODELS, complete_model


def test_costs_cover_every_model_with_catalogue_sizes():
    table = measured_steps()
    assert list(table) == list(MODELS)
    for name, row in table.items():
        assert row.size.parameters == MODELS[name].parameters
        assert row.size.gmacs_224 == pytest.approx(MODELS[name].gmacs_224, rel=0.005)
        assert row.seconds_per_step > 0
        assert row.peak_memory_bytes > STATE_BYTES_PER_PARAMETER * row.size.parameters
    assert measured_steps("a device that nobody measured") == {}


@pytest.mark.parametrize("name", ["unet", "fcn", "emcad"])
def test_estimate_at_the_measured_sizes_equals_the_table(name):
    row, complete = measured_steps()[name], complete_model(name, {})[1]
    images_224 = row.batch_size * (row.image_size / 224) ** 2
    seconds = pass_seconds(name, complete, threads=row.threads)
    assert seconds is not None
    assert seconds * images_224 == pytest.approx(row.seconds_per_step, rel=0.01)
    assert pass_seconds(name, complete, threads=2 * row.threads) == pytest.approx(seconds / 2)


def test_every_model_was_traced():
    assert list(traced_steps()) == list(MODELS)
    for row in traced_steps().values():
        assert 0 < row.forward_operations < row.operations
        assert row.bytes_per_image > row.activation_bytes_per_image > 1e6


def test_memory_on_a_gpu_by_hand():
    # U-Net: 31,037,633 parameters of 20 bytes, and what eight images keep for the backward pass.
    row = traced_steps()["unet"]
    assert row.activation_bytes_per_image == pytest.approx(250.7 * 2**20, rel=0.01)
    complete = complete_model("unet", {})[1]
    memory = step_memory_bytes("unet", complete, image_size=224, batch_size=8)
    assert memory == 31_037_633 * 20 + 8 * row.activation_bytes_per_image
    # Half the width: a quarter of the weights, half of the activations.
    narrow = step_memory_bytes(
        "unet", complete_model("unet", {"width": 32})[1], image_size=224, batch_size=8
    )
    assert narrow == pytest.approx(31_037_633 * 5 + 4 * row.activation_bytes_per_image)


def test_seconds_on_a_gpu_by_hand():
    complete, row = complete_model("unet", {})[1], traced_steps()["unet"]
    whole = gpu_step_seconds("unet", complete, image_size=224, batch_size=8, share=1.0)
    arithmetic = 3 * 2 * 36.878e9 * 8 / ASSUMED_GPU_FLOPS
    traffic = row.bytes_per_image * 8 / ASSUMED_GPU_BYTES_PER_SECOND
    assert whole.step == pytest.approx(arithmetic + traffic, rel=1e-3)
    assert whole.forward == pytest.approx(whole.step / 3)
    half = gpu_step_seconds("unet", complete, image_size=224, batch_size=8, share=0.5)
    assert half.step == pytest.approx(2 * whole.step)
    # Of small images the host's starts of operations are left; a share does not change them.
    small = {
        share: gpu_step_seconds("emcad", {}, image_size=32, batch_size=1, share=share)
        for share in (1.0, 0.5)
    }
    assert small[1.0] == small[0.5]
    assert small[1.0].step == traced_steps()["emcad"].operations * ASSUMED_OPERATION_SECONDS


def test_weights_stay_and_activations_grow_with_the_batch():
    complete = complete_model("unet", {})[1]
    one, two, four = (
        step_memory_bytes("unet", complete, image_size=64, batch_size=n) for n in (1, 2, 4)
    )
    assert two - one == pytest.approx((four - two) / 2)
    weights = STATE_BYTES_PER_PARAMETER * MODELS["unet"].parameters
    assert one - (two - one) == pytest.approx(weights)


@pytest.mark.parametrize(
    ("name", "options", "parameters", "gmacs"),
    [
        ("unet", {}, 31_037_633, 36.88),
        ("unet", {"encoder": "resnet50"}, 32_521_105, 8.14),
        ("unet", {"width": 16}, 31_037_633 / 16, 36.88 / 16),
        ("duck-net", {"filters": 34}, 155_303_507, 73.66),
        ("esfpnet", {"variant": "T"}, 3_532_129, 0.514),
        ("unet", {"encoder": "resnet18"}, 31_037_633, 5.98),
    ],
)
def test_sizes_of_variants_are_known_or_scaled(name, options, parameters, gmacs):
    size = model_size(name, complete_model(name, options)[1])
    assert size.parameters == pytest.approx(parameters)
    assert size.gmacs_224 == pytest.approx(gmacs)


def test_unknown_model_costs_as_much_as_the_largest():
    assert pass_seconds("somebodys-model", {}, threads=1) is None
    unknown, unet = (
        step_memory_bytes(name, options, image_size=224, batch_size=8)
        for name, options in (("somebodys-model", {}), ("unet", complete_model("unet", {})[1]))
    )
    assert unknown >= unet
