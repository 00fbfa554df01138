"""Expected seconds, from measured rows if possible, otherwise computed; and the wall time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.cost import (
    ASSUMED_GMACS_PER_CPU_THREAD,
    CostModel,
    EstimateSource,
    gmacs_224,
    makespan_seconds,
    num_slots,
)
from orchestrator.plan.planner import plan
from tests.unit.orchestrator.plan.builders import (
    FCN,
    IOU,
    SKIN,
    UNET_8,
    WOUND,
    make_grid,
    make_specs,
    row_of,
)
from workers.catalogue.costs import Measured, ModelSize, gpu_step_seconds, measured_steps
from workers.catalogue.models import MODELS, complete_model
from workers.contract import Component

GRID = make_grid()
SKIN_UNET, SKIN_FCN, WOUND_UNET = (
    next(s for s in GRID.trials if (s.dataset, s.model) == pair)
    for pair in ((SKIN, UNET_8), (SKIN, FCN), (WOUND, UNET_8))
)


def costs(*rows, cpus: float = 1, gpus: float = 0, num_images=None) -> CostModel:
    return CostModel(
        rows,
        GRID.trials,
        GRID.protocol_id,
        cpus_per_trial=cpus,
        gpus_per_trial=gpus,
        num_images=num_images,
    )


def test_without_rows_the_shipped_table_of_steps_is_scaled():
    estimate = costs().estimate(SKIN_FCN)
    row = measured_steps()["fcn"]
    # 100 images of 224 pixels: 60 for training (3 passes), 20 for validation (1 pass); 10 epochs.
    passes = 10 * (3 * 60 + 20)
    step_of_one_image = row.seconds_per_step / (row.batch_size * (row.image_size / 224) ** 2)
    expected = passes / 3 * step_of_one_image * row.threads * gmacs_224(FCN) / row.size.gmacs_224
    assert estimate.seconds == pytest.approx(expected)
    assert estimate.source is EstimateSource.TABLE


def test_cost_without_rows_and_table_uses_an_assumed_speed(monkeypatch):
    monkeypatch.setattr("workers.catalogue.costs.measured_steps", dict)
    estimate = costs().estimate(SKIN_FCN)
    passes = 10 * (3 * 60 + 20)
    expected = MODELS["fcn"].gmacs_224 * passes / ASSUMED_GMACS_PER_CPU_THREAD
    assert estimate.seconds == pytest.approx(expected)
    assert estimate.source is EstimateSource.ASSUMED


def test_half_the_side_costs_a_quarter():
    small = make_specs([SKIN], [FCN], [IOU], image_size=32)[0]
    large = make_specs([SKIN], [FCN], [IOU], image_size=64)[0]
    ratio = costs().estimate(large).seconds / costs().estimate(small).seconds
    assert ratio == pytest.approx(4)


def test_a_gpu_and_more_threads_are_faster(monkeypatch):
    monkeypatch.setattr("workers.catalogue.costs.measured_steps", dict)
    cpu = costs().estimate(SKIN_FCN).seconds
    assert costs(cpus=4).estimate(SKIN_FCN).seconds == pytest.approx(cpu / 4)
    assert costs(gpus=1).estimate(SKIN_FCN).seconds < cpu


def test_assumed_gpu_seconds_follow_steps_and_are_marked():
    # 100 images in batches of 8: 8 steps on 60, 3 forward passes on 20; 10 epochs.
    seconds = gpu_step_seconds("fcn", FCN.parameters, image_size=224, batch_size=8, share=1.0)
    estimate = costs(gpus=1).estimate(SKIN_FCN)
    assert estimate.seconds == pytest.approx(10 * (8 * seconds.step + 3 * seconds.forward))
    assert estimate.source is EstimateSource.ASSUMED_GPU
    assert "assumed" in estimate.source


def test_a_measured_table_of_the_gpu_at_hand_is_used(monkeypatch):
    row = Measured(
        size=ModelSize(parameters=1.0, gmacs_224=gmacs_224(FCN)), image_size=224, batch_size=8,
        threads=2, seconds_per_step=0.5, seconds_per_forward=0.1, peak_memory_bytes=1e9,
        reserved_memory_bytes=2e9,
    )  # fmt: skip
    tables = {"GPU-9": {"fcn": row}}
    monkeypatch.setattr(
        "workers.catalogue.costs.measured_steps", lambda device="cpu": tables.get(device, {})
    )
    monkeypatch.setattr(
        "orchestrator.plan.cost.measured_steps", lambda device: tables.get(device, {})
    )
    known = make_grid(make_specs([SKIN], [FCN], [IOU]), gpus_per_trial=1)
    trial = plan(known, {}, device="GPU-9").trials[0]
    # 8 steps on 60 images and 3 forward passes on 20; 10 epochs.
    assert trial.expected_seconds == pytest.approx(10 * (8 * 0.5 + 3 * 0.1))
    assert trial.source is EstimateSource.TABLE


def test_measured_seconds_of_a_cell_are_averaged():
    rows = [row_of(SKIN_FCN, train_seconds=seconds) for seconds in (10.0, 20.0)]
    estimate = costs(*rows).estimate(SKIN_FCN)
    assert (estimate.seconds, estimate.source) == (15.0, EstimateSource.MEASURED)


def test_same_model_on_another_dataset_is_scaled_by_images():
    row = row_of(SKIN_UNET, train_seconds=10.0)  # 60 + 20 images, 10 epochs
    estimate = costs(row, num_images={"wound": 1000}).estimate(WOUND_UNET)
    assert estimate.seconds == pytest.approx(100.0)
    assert estimate.source is EstimateSource.SAME_MODEL


def test_expected_epochs_are_the_measured_epochs():
    stopped_early = row_of(SKIN_UNET, train_seconds=10.0, num_epochs=5)
    # Twice as long an epoch as above, but half as many.
    estimate = costs(stopped_early, num_images={"wound": 1000}).estimate(WOUND_UNET)
    assert estimate.seconds == pytest.approx(100.0)


def test_another_model_is_calibrated_by_multiply_adds():
    row = row_of(SKIN_UNET, train_seconds=10.0)
    estimate = costs(row).estimate(SKIN_FCN)
    ratio = gmacs_224(FCN) / gmacs_224(UNET_8)
    assert estimate.seconds == pytest.approx(10 * ratio)
    assert estimate.source is EstimateSource.CALIBRATED


def test_another_protocol_gives_the_speed_not_the_seconds():
    smaller = make_specs([SKIN], [UNET_8], [IOU], image_size=32)[0]
    estimate = costs(row_of(smaller, train_seconds=1.0)).estimate(SKIN_UNET)
    assert estimate.seconds == pytest.approx(49.0)
    assert estimate.source is EstimateSource.SAME_MODEL


@pytest.mark.parametrize(
    "useless",
    [
        {"status": "diverged"},
        {"train_seconds": 0.0},
        {"train_seconds": float("nan")},
        {"num_epochs": 0},
        {"device": "NVIDIA H200"},
    ],
    ids=str,
)
def test_rows_that_measure_no_whole_trial_are_ignored(useless):
    assert costs(row_of(SKIN_FCN, **useless)).estimate(SKIN_FCN).source is EstimateSource.TABLE


def test_cpu_seconds_are_scaled_to_the_threads():
    row = row_of(SKIN_FCN, train_seconds=10.0, num_threads=4)
    assert costs(row, cpus=2).estimate(SKIN_FCN).seconds == pytest.approx(20.0)


def test_gpu_rows_count_for_gpu_trials():
    row = row_of(SKIN_FCN, device="NVIDIA H200", train_seconds=3.0, num_threads=8)
    assert costs(row, gpus=1).estimate(SKIN_FCN).seconds == 3.0


def test_a_plain_network_costs_as_the_square_of_its_width():
    narrow = Component(name="unet", parameters=complete_model("unet", {"width": 8})[1])
    assert gmacs_224(narrow) == pytest.approx(36.88 / 64)


def test_cost_of_default_models_equals_the_catalogue():
    for name, entry in MODELS.items():
        component = Component(name=name, parameters=complete_model(name, {})[1])
        assert gmacs_224(component) == entry.gmacs_224
    for name, options in (("emcad", {"variant": "B0"}), ("duck-net", {"filters": 34})):
        (variant,) = MODELS[name].variants
        parameters = complete_model(name, options)[1]
        assert gmacs_224(Component(name=name, parameters=parameters)) == variant.gmacs_224
    assert gmacs_224(Component(name="model-3")) == MODELS["unet"].gmacs_224


def test_a_lighter_encoder_costs_less():
    parameters = complete_model("unet", {"encoder": "resnet18"})[1]
    assert gmacs_224(Component(name="unet", parameters=parameters)) == 5.98


@pytest.mark.parametrize(
    ("seconds", "slots", "expected"),
    [
        ([], 2, 0),
        ([3, 2, 2], 1, 7),
        ([3, 2, 2], 2, 4),
        ([3, 2, 2], 3, 3),
        ([3, 2, 2], 99, 3),
        ([4, 3, 3, 2, 2], 2, 8),
    ],
)
def test_makespans_that_can_be_checked_by_hand(seconds, slots, expected):
    assert makespan_seconds(seconds, slots) == expected


def test_no_slot_is_refused():
    with pytest.raises(ValueError, match="0 slots"):
        makespan_seconds([1], 0)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1000), min_size=1, max_size=30), st.integers(1, 8))
def test_a_makespan_lies_between_its_bounds(seconds, slots):
    wall = makespan_seconds(sorted(seconds, reverse=True), slots)
    ideal = max(max(seconds), sum(seconds) / slots)
    assert wall >= ideal * (1 - 1e-9)
    # Graham 1966: in any order, no slot is idle while a trial waits.
    assert wall <= sum(seconds) / slots + max(seconds) * (1 - 1 / slots) + 1e-6


@pytest.mark.parametrize(
    ("cpus", "gpus", "cpu_share", "gpu_share", "slots"),
    [
        (2, 0, 1, 0, 2),
        (2, 0, 0.5, 0, 4),
        (2, 0, 4, 0, 0),
        (16, 2, 1, 1, 2),
        (16, 2, 1, 0.25, 8),
        (16, 2, 1, 0.3, 6),
        (16, 2, 1, 0.6, 2),
        (16, 1, 1, 0.1, 10),
        (4, 2, 1, 0.25, 4),
        (64, 8, 1, 3, 2),
        (16, 0, 1, 1, 0),
    ],
)
def test_slots_fit_the_scarcer_resource(cpus, gpus, cpu_share, gpu_share, slots):
    assert (
        num_slots(cpus=cpus, gpus=gpus, cpus_per_trial=cpu_share, gpus_per_trial=gpu_share) == slots
    )
