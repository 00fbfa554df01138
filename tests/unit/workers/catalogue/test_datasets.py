from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers.catalogue import CatalogueError, load
from workers.catalogue.datasets import DATASETS, complete_dataset
from workers.datasets.generated import ImageGenerator
from workers.datasets.layouts.layout import Layout

REPOSITORY = Path(__file__).resolve().parents[4]


def test_catalogue_has_these_datasets() -> None:
    assert list(DATASETS) == [
        "isic-2017", "wound", "cvc-clinicdb", "kvasir-seg", "breast-benign", "breast-malignant",
        "folder", "synthetic-skin", "synthetic-wound", "synthetic-endoscopy-wide",
        "synthetic-endoscopy-close", "synthetic-ultrasound-benign",
        "synthetic-ultrasound-malignant",
    ]  # fmt: skip


def test_entries_point_to_their_code_and_state_their_facts() -> None:
    for name, entry in DATASETS.items():
        expected = ImageGenerator if entry.kind == "generated" else Layout
        assert isinstance(load(entry.open), expected), name
        assert entry.title
        assert entry.source
        assert entry.citation
        assert entry.licence
        assert (entry.folder is None) == (entry.kind == "generated")
        if entry.num_images is not None:
            assert entry.archives


def test_rules_and_generators_have_distinct_names() -> None:
    objects = [load(entry.open) for entry in DATASETS.values()]
    labels = [item.rules if isinstance(item, Layout) else item.name for item in objects]
    assert len(set(labels)) == len(labels)


def test_defaults_are_filled_in() -> None:
    assert complete_dataset("cvc-clinicdb", {}) == ("cvc-clinicdb", {"format": "auto"})
    assert complete_dataset("synthetic-skin", {"seed": 3})[1] == {
        "num_images": 60,
        "seed": 3,
        "size": 96,
    }
    assert complete_dataset("folder", {"label": "mine"})[1] == {"label": "mine"}


def test_neither_torch_nor_ray_is_loaded() -> None:
    code = (
        "import sys, workers.datasets, workers.datasets.cache, workers.datasets.split, "
        "workers.datasets.survey; print({'torch', 'ray', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("option", "complete"),
    [
        ({"lesion": [2, 1, 2]}, {"lesion": [1, 2]}),
        ({"lesion": [[255, 0, 0], "#00FF00"]}, {"lesion": ["#00ff00", "#ff0000"]}),
        ({"threshold": 127, "channel": "alpha"}, {"threshold": 127.0, "channel": "alpha"}),
    ],
)
def test_the_option_mask_is_complete_and_in_one_form(option, complete):
    assert complete_dataset("wound", {"mask": option}) == ("wound", {"mask": complete})


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({}, "set lesion, threshold, channel or inverted"),
        ({"lesson": [1]}, "keys lesion, threshold, channel"),
        (5, "keys lesion, threshold, channel"),
        ({"lesion": []}, "must be a list"),
        ({"lesion": 1}, "must be a list"),
        ({"lesion": [True]}, "True is no value of a mask"),
        ({"lesion": ["red"]}, "'red' is no value of a mask"),
        ({"lesion": [1, "#ff0000"]}, "only numbers or only colours"),
        ({"lesion": [1], "threshold": 3}, "not both"),
        ({"lesion": ["#ff0000"], "channel": "red"}, "leave channel out"),
        ({"threshold": "127"}, "must be a number"),
        ({"channel": "grey"}, "'brightest', 'alpha'"),
    ],
)
def test_the_option_mask_is_closed(option, reason):
    with pytest.raises(CatalogueError, match=reason):
        complete_dataset("folder", {"mask": option})


def test_without_the_option_mask_parameters_are_as_before():
    assert complete_dataset("folder", {"label": "a"}) == ("folder", {"label": "a"})
    assert complete_dataset("wound", {"mask": None}) == ("wound", {})
