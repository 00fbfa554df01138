"""The table of losses: sums, their canonical form, refusals with a remedy."""

from __future__ import annotations

import itertools
import math

import pytest

from workers.catalogue import CatalogueError
from workers.catalogue.losses import LOSSES, STUDY_LOSSES, complete_loss, loss_title

REGION = {"sums": "batch", "smooth": 1e-6}
FOCAL = {"alpha": 0.8, "gamma": 0.2}


def schedule(start, end, epochs):
    return {"start": start, "end": end, "epochs": epochs}


def test_study_losses_have_their_published_names():
    assert [name for name in LOSSES if name in STUDY_LOSSES] == ["iou", "dice", "bce", "focal"]
    assert [loss_title(name) for name in STUDY_LOSSES] == [
        "IoU", "Dice", "BCE", "Focal", "IoUDice", "IoUBCE", "IoUFocal", "DiceBCE", "DiceFocal",
        "BCEFocal",
    ]  # fmt: skip
    assert all(complete_loss(name, {})[0] == name for name in STUDY_LOSSES)


def test_defaults_are_recorded():
    assert complete_loss("iou", {}) == ("iou", REGION)
    assert complete_loss("dice", {"sums": "image"}) == ("dice", REGION | {"sums": "image"})
    assert complete_loss("bce", {}) == ("bce", {})
    assert complete_loss("focal", {"gamma": 2}) == ("focal", {"alpha": 0.8, "gamma": 2.0})
    assert complete_loss("iou+focal", {}) == (
        "iou+focal",
        {"weights": [1.0, 1.0], "iou": REGION, "focal": FOCAL},
    )


def test_sum_is_reordered_with_its_weights():
    options = {"weights": [3, 1, 2], "focal": {"gamma": 2}}
    name, complete = complete_loss("focal+iou+bce", options)
    assert name == "iou+bce+focal"
    assert complete == {
        "weights": [1.0, 2.0, 3.0],
        "iou": REGION,
        "bce": {},
        "focal": {"alpha": 0.8, "gamma": 2.0},
    }


def test_schedule_of_weights_has_one_complete_form():
    given = [schedule(1, 0, 9), schedule(2, 2, 9)]
    name, complete = complete_loss("focal+iou", {"weights": given})
    assert complete["weights"] == [2.0, schedule(1.0, 0.0, 9)]
    assert complete_loss(name, complete) == (name, complete)


def test_titles_of_other_sums_are_separated():
    assert loss_title("focal-tversky+bce") == "Focal Tversky + BCE"
    assert loss_title("iou+dice+bce") == "IoUDiceBCE"


@pytest.mark.parametrize("parts", list(itertools.permutations(("iou", "dice", "focal"))))
def test_every_order_of_a_sum_has_one_complete_form(parts):
    weights = {"iou": 1.0, "dice": 2.0, "focal": 3.0}
    name, complete = complete_loss("+".join(parts), {"weights": [weights[p] for p in parts]})
    assert name == "iou+dice+focal"
    assert complete["weights"] == [1.0, 2.0, 3.0]
    assert list(complete) == ["weights", "iou", "dice", "focal"]
    assert complete_loss(name, complete) == (name, complete)


def test_spaces_around_the_plus_mean_nothing():
    assert complete_loss("iou + focal", {}) == complete_loss("iou+focal", {})


@pytest.mark.parametrize(
    ("name", "given", "path", "hint"),
    [
        ("fokal", {}, ("name",), "did you mean 'focal'"),
        ("iou+fokal", {}, ("name",), "unknown loss 'fokal'; did you mean 'focal'"),
        ("iou+", {}, ("name",), "unknown loss ''"),
        ("iou+iou", {}, ("name",), "'iou' is named twice"),
        ("focal", {"gama": 2}, ("parameters", "gama"), "did you mean 'gamma'"),
        ("focal", {"gamma": -1}, ("parameters", "gamma"), "must be at least 0"),
        ("focal", {"alpha": math.inf}, ("parameters", "alpha"), "finite"),
        ("iou", {"sums": "pixel"}, ("parameters", "sums"), "'batch' or 'image'"),
        ("iou", {"weights": [1]}, ("parameters", "weights"), "unknown parameter"),
        ("iou", {"learning_rate": 10**400}, ("parameters", "learning_rate"), "at most 1e+30"),
        ("iou+focal", {"gamma": 2}, ("parameters", "gamma"), "focal: {OPTION: VALUE}"),
        ("iou+focal", {"dice": {}}, ("parameters", "dice"), "known: weights, iou, focal"),
        ("iou+focal", {"focal": {"gama": 2}}, ("parameters", "focal", "gama"), "'gamma'"),
        ("iou+focal", {"focal": 2}, ("parameters", "focal"), "OPTION: VALUE"),
        ("iou+focal", {"weights": [1]}, ("parameters", "weights"), "list of 2 numbers"),
        ("iou+focal", {"weights": 1}, ("parameters", "weights"), "list of 2 numbers"),
        ("iou+focal", {"weights": "11"}, ("parameters", "weights"), "list of 2 numbers"),
        ("iou+focal", {"weights": [1, -1]}, ("parameters", "weights"), "at least 0"),
        ("iou+focal", {"weights": [1, True]}, ("parameters", "weights"), "finite number"),
        ("iou+focal", {"weights": [1, math.nan]}, ("parameters", "weights"), "finite number"),
        ("iou+focal", {"weights": [10**400, 1]}, ("parameters", "weights"), "finite number"),
        ("iou+focal", {"weights": [0, 0]}, ("parameters", "weights"), "above 0"),
        ("iou+focal", {"weights": [{"start": 1}, 1]}, ("parameters", "weights"), "{start: "),
        ("iou+focal", {"weights": [schedule(1, 0, 1), 1]}, ("parameters", "weights"), "2 epochs"),
        ("iou+focal", {"weights": [schedule(1, -1, 9), 1]}, ("parameters", "weights"), "least 0"),
        ("iou+focal", {"weights": [schedule(1, 0, 9), 0]}, ("parameters", "weights"), "in every"),
    ],
)
def test_refusals_name_path_and_reason(name, given, path, hint):
    with pytest.raises(CatalogueError) as caught:
        complete_loss(name, given)
    assert caught.value.path == path
    assert hint in caught.value.reason
