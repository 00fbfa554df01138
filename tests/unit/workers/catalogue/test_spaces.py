"""Search spaces of losses, values put into them, and the learning rate a loss may bring."""

from __future__ import annotations

from typing import Any

import pytest

from workers.catalogue import CatalogueError
from workers.catalogue.losses import (
    LOSSES,
    STUDY_LOSSES,
    complete_loss,
    search_space,
    value_of,
    with_values,
)
from workers.catalogue.spaces import Choices, Range
from workers.contract import Component, TrainingProtocol, TrialSpec
from workers.identity import trial_id
from workers.losses import build_loss


def test_the_spaces_of_the_catalogue():
    assert {name: list(search_space(name)) for name in ("iou", "dice", "bce", "focal")} == {
        "iou": ["smooth", "learning_rate"],
        "dice": ["smooth", "learning_rate"],
        "bce": ["learning_rate"],
        "focal": ["alpha", "gamma", "learning_rate"],
    }
    assert list(search_space("focal+iou")) == [
        "iou.smooth", "weights.focal", "focal.gamma", "learning_rate",
    ]  # fmt: skip


@pytest.mark.parametrize("name", dict.fromkeys((*LOSSES, *STUDY_LOSSES)))
def test_search_space_is_valid_and_contains_the_default(name):
    _, defaults = complete_loss(name, {})
    for key, domain in search_space(name).items():
        for value in domain.extremes:
            changed = with_values(name, defaults, {key: value})
            assert value_of(name, changed, key) == value
            build_loss(name, **changed)
        default: Any = value_of(name, defaults, key)
        if isinstance(domain, Choices):
            assert default in domain.values
        else:
            assert (
                default is None if key == "learning_rate" else domain.low <= default <= domain.high
            )


def test_values_by_hand():
    _, defaults = complete_loss("iou+focal", {})
    found = with_values("iou+focal", defaults, {"weights.focal": 3.0, "focal.gamma": 2.0})
    assert found["weights"] == [1.0, 3.0]
    assert found["focal"] == {"alpha": 0.8, "gamma": 2.0}
    assert defaults["weights"] == [1.0, 1.0]  # nothing given was changed


@pytest.mark.parametrize("key", ["gamma.focal", "weights.bce", "bce.x", "gama"])
def test_an_unknown_key_is_refused(key):
    with pytest.raises(CatalogueError, match="unknown parameter"):
        with_values("iou+focal", complete_loss("iou+focal", {})[1], {key: 1.0})


def test_learning_rate_is_a_parameter_of_every_loss():
    assert complete_loss("bce", {"learning_rate": 1})[1] == {"learning_rate": 1.0}
    assert "learning_rate" not in complete_loss("bce", {})[1]
    build_loss("dice+bce", learning_rate=0.1)
    for wrong in (0, -1, "0.1", True, float("inf"), 1e31):
        with pytest.raises(CatalogueError, match="a number above 0"):
            complete_loss("iou+bce", {"learning_rate": wrong})


def test_the_loss_decides_the_learning_rate_and_the_id():
    def spec(**parameters: float) -> TrialSpec:
        return TrialSpec(
            dataset=Component(name="wound"), model=Component(name="unet"),
            loss=Component(name="bce", parameters=parameters), repeat=0, seed=1,
            training=TrainingProtocol(learning_rate=0.5),
        )  # fmt: skip

    assert spec().learning_rate == 0.5
    assert spec(learning_rate=0.25).learning_rate == 0.25
    assert trial_id(spec()) != trial_id(spec(learning_rate=0.25))


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1, 1, False), (2, 1, False), (0, 1, True), (0, float("inf"), False)]
)
def test_invalid_range_is_refused(low, high, log):
    with pytest.raises(ValueError, match=r"below high|begins above 0"):
        Range(low=low, high=high, log=log)


@pytest.mark.parametrize("values", [(), (1,), (1, 1), ([1], [2]), (None, 1)])
def test_invalid_choices_are_refused(values):
    with pytest.raises(ValueError, match=r"at least two|every choice"):
        Choices(values=values)
