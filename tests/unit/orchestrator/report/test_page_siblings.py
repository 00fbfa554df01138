"""The section on test images with a sibling in training."""

from __future__ import annotations

import dataclasses
import html
import re

import pandas as pd
import pytest

from orchestrator.report.data import Sampling
from orchestrator.report.page import render_page
from orchestrator.report.sections import compute_sections
from tests.unit.orchestrator.report.factory import TITLES, Tables, arranged, make_data

DATA = make_data(2, 1, 3, 2, num_epochs=4, image_size=24)
NUM_IMAGES = 20


def section(data: Tables, metric: str = "dice") -> str:
    few = Sampling(num_draws=100)
    page = render_page(
        compute_sections(arranged(dataclasses.replace(data, sampling=few, metric=metric))), {}
    )
    found = page.partition('<section id="siblings">')[2].partition("</section>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", found)).split())


def siblings(related: dict[str, int], known: int = NUM_IMAGES) -> pd.DataFrame:
    """Of each dataset so many of 20 test images have an equal picture; the clean Dice is 0.5."""
    trials = DATA.trials
    equal = trials["dataset"].map(related)
    return pd.DataFrame(
        {
            "trial_id": trials["trial_id"],
            "num_images": NUM_IMAGES,
            "num_known": known,
            "num_group": 0,
            "num_similar": 0,
            "num_equal": equal,
            "num_clean": NUM_IMAGES - equal,
            "clean": 0.5 + 0.001 * trials["loss"].factorize()[0],
        }
    )


def shown(related: dict[str, int], known: int = NUM_IMAGES, metric: str = "dice") -> str:
    return section(dataclasses.replace(DATA, siblings=siblings(related, known)), metric)


SKIN, WOUND = "synthetic-skin", "synthetic-wound"


def test_siblings_of_older_results_are_unknown():
    assert "Unknown: the version of Podium that wrote these results" in section(DATA)
    assert "Unknown: the version" in shown({SKIN: 0, WOUND: 0}, known=0)


def test_a_dataset_without_siblings_has_a_sentence():
    text = shown({SKIN: 0, WOUND: 0})
    assert "No test image has a sibling in training." in text
    assert "The podium without these images" not in text


def test_a_podium_without_siblings_needs_enough_images():
    text = shown({SKIN: 5, WOUND: 16})
    assert "Skin (synthetic) 20 5 25.0 % 5 0 0" in text
    assert "Wound (synthetic) 20 16 80.0 % 16 0 0" in text
    assert "Wound (synthetic) is left out: one repeat has 4 test images without a sibling" in text
    podium = text.partition("The podium without these images")[2]
    assert "By dataset 1 dataset, 6 of 6 trials" in podium
    # 0.502, 0.501 and 0.500, whatever the stored Dice is.
    assert DATA.titles is not None
    third, second, first = (TITLES.losses[loss] for loss in DATA.trials["loss"].unique())
    assert re.search(rf"{first} 3 points 1 {second} 2 points 2 {third} 1 point 3", podium)


@pytest.mark.parametrize(
    ("related", "metric", "reason"),
    [
        (19, "dice", "no dataset has 5 test images without a sibling in every repeat"),
        (3, "best_val_dice", "Best validation Dice cannot be computed from the pixel counts"),
    ],
)
def test_a_missing_podium_without_siblings_has_a_reason(related, metric, reason):
    text = shown({SKIN: related, WOUND: related}, metric=metric)
    assert f"There is no podium without these images: {reason}" in text
