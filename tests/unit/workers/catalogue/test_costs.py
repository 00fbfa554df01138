"""The shipped table of training steps, and what is scaled from it."""

from __future__ import annotations

import pytest

from workers.catalogue.costs import (
    STATE_BYTES_PER_PARAMETER,
    measured_steps,
    model_size,
    pass_seconds,
    step_memory_bytes,
)
from workers.catalogue.models import MODELS, complete_model


def test_the_table_holds_every_model_with_the_catalogues_sizes():
    table = measured_steps()
    assert list(table) == list(MODELS)
    for name, row in table.items():
        assert row.size.parameters == MODELS[name].parameters
        assert row.size.gmacs_224 == pytest.approx(MODELS[name].gmacs_224, rel=0.005)
        assert row.seconds_per_step > 0
        assert row.peak_memory_bytes > STATE_BYTES_PER_PARAMETER * row.size.parameters
    assert measured_steps("a device that nobody measured") == {}


@pytest.mark.parametrize("name", ["unet", "fcn", "emcad"])
def test_at_the_sizes_it_was_measured_the_table_gives_itself_back(name):
    row, complete = measured_steps()[name], complete_model(name, {})[1]
    sizes = {"image_size": row.image_size, "batch_size": row.batch_size}
    memory = step_memory_bytes(name, complete, **sizes)
    assert memory == pytest.approx(row.peak_memory_bytes, rel=0.01)
    images_224 = row.batch_size * (row.image_size / 224) ** 2
    seconds = pass_seconds(name, complete, threads=row.threads)
    assert seconds is not None
    assert seconds * images_224 == pytest.approx(row.seconds_per_step, rel=0.01)
    assert pass_seconds(name, complete, threads=2 * row.threads) == pytest.approx(seconds / 2)


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


def test_a_model_without_a_row_counts_as_the_worst_of_the_table():
    assert pass_seconds("somebodys-model", {}, threads=1) is None
    sizes = {"image_size": 224, "batch_size": 8}
    assert step_memory_bytes("somebodys-model", {}, **sizes) >= step_memory_bytes(
        "unet", complete_model("unet", {})[1], **sizes
    )
