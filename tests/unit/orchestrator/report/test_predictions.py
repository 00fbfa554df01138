"""Example predictions: which image, which mask, which Dice."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.report.predictions import MAX_EXAMPLES, dice, draw_example, examples
from tests.unit.orchestrator.report.factory import Tables, arranged, make_data


def png(pixels, mode="L"):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(size):
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (200, 120, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


TRUTH = [[0, 0, 0, 0], [0, 255, 255, 0], [0, 255, 255, 0], [0, 0, 0, 0]]
LEFT_HALF = [[255, 255, 0, 0]] * 4


def prediction(trial_id, loss, image, grey, *, model="u", low=-1.0, high=1.0):
    return {
        "trial_id": trial_id, "dataset": "w", "model": model, "loss": loss, "repeat": 0,
        "image": image, "image_jpeg": jpeg(4), "truth_png": png(TRUTH, "1"),
        "logits_png": png(grey), "logit_min": low, "logit_max": high,
    }  # fmt: skip


def trial(trial_id, loss, test_dice, model="u"):
    return {
        "trial_id": trial_id, "dataset": "w", "model": model, "loss": loss, "repeat": 0,
        "dice": test_dice, "status": "completed",
    }  # fmt: skip


def choose(trials, predictions):
    data = Tables(trials=pd.DataFrame(trials), predictions=pd.DataFrame(predictions))
    return examples(arranged(data))


def test_dice_by_hand_and_of_empty_masks():
    truth = np.array(TRUTH) > 0
    left = np.array(LEFT_HALF) > 0
    nothing = np.zeros((4, 4), dtype=bool)
    assert dice(left, truth) == pytest.approx(2 * 2 / (8 + 4))
    assert dice(truth, truth) == 1
    assert dice(nothing, truth) == 0
    assert dice(nothing, nothing) == 1


def test_the_mask_is_where_the_logit_is_positive():
    trials = [trial("t1", "a", 0.5), trial("t2", "b", 0.4)]
    # Grey 64 of 255 on a scale from -1 to 7 is a logit just over 1: lesion.
    rows = [
        prediction("t1", "a", "x.png", LEFT_HALF),
        prediction("t2", "b", "x.png", np.full((4, 4), 64), high=7.0),
    ]
    (example,) = choose(trials, rows)
    assert (example.dataset, example.model, example.image) == ("w", "u", "x.png")
    assert list(example.masks) == ["a", "b"]
    first, second = (example.masks[loss]["half"] for loss in ("a", "b"))
    np.testing.assert_array_equal(first.lesion, np.array(LEFT_HALF) > 0)
    assert first.dice == pytest.approx(1 / 3)
    assert second.lesion.all()
    np.testing.assert_array_equal(example.truth, np.array(TRUTH) > 0)


def test_the_typical_image_is_chosen_not_the_best():
    rows = [
        prediction("t1", "a", "best.png", TRUTH),
        prediction("t1", "a", "typical.png", LEFT_HALF),
    ]
    (example,) = choose([trial("t1", "a", 0.4)], rows)
    assert example.image == "typical.png"
    (example,) = choose([trial("t1", "a", 0.9)], rows)
    assert example.image == "best.png"


def test_the_model_with_the_most_losses_is_chosen():
    trials = [trial("t1", "a", 0.9, "v"), trial("t2", "a", 0.2), trial("t3", "b", 0.2)]
    rows = [
        prediction("t1", "a", "x.png", TRUTH, model="v"),
        prediction("t2", "a", "x.png", TRUTH),
        prediction("t3", "b", "x.png", TRUTH),
    ]
    (example,) = choose(trials, rows)
    assert example.model == "u"


def test_predictions_of_other_trials_are_left_out():
    assert choose([trial("t1", "a", 0.9)], [prediction("old", "a", "x.png", TRUTH)]) == []
    assert choose([trial("t1", "a", 0.9)], []) == []


def test_not_too_many_datasets():
    found = examples(arranged(make_data(14, 1, 1, 1, image_size=16, num_epochs=2)))
    assert len(found) == MAX_EXAMPLES


def test_a_mask_of_noise_is_drawn_coarsely():
    noise = np.random.default_rng(0).integers(0, 2, (96, 96)) * 255
    rows = [prediction("t1", "a", "x.png", noise) | {"truth_png": png(noise, "1")}]
    drawn = draw_example(choose([trial("t1", "a", 0.9)], rows)[0])
    assert 1000 < len(drawn.tiles["half"][0].path) <= 40_000
    assert drawn.tiles["half"][0].dice == 1


def test_an_empty_prediction_is_marked():
    rows = [prediction("t1", "a", "x.png", np.zeros((4, 4)))]
    drawn = draw_example(choose([trial("t1", "a", 0.1)], rows)[0])
    assert drawn.tiles["half"][0].empty
    assert drawn.tiles["half"][0].path == ""
