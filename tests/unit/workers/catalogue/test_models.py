"""The table of models: complete parameters, refusals with a remedy, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workers.catalogue import CatalogueError
from workers.catalogue.models import MODELS, complete_model


def test_the_four_models_with_their_published_sizes():
    facts = {n: (e.parameters, e.gmacs_224, e.min_train_batch) for n, e in MODELS.items()}
    assert facts == {
        "fcn": (134_265_699, 21.21, 1),
        "deeplabv3plus": (41_036_865, 9.60, 2),
        "unet": (31_037_633, 36.88, 1),
        "unetpp": (9_163_428, 26.41, 1),
    }
    assert all(entry.citation and entry.title for entry in MODELS.values())


@pytest.mark.parametrize(
    ("name", "given", "complete"),
    [
        ("fcn", {}, {}),
        ("deeplabv3plus", {}, {"encoder": "tu-xception65", "atrous_rates": [6, 12, 18]}),
        ("unet", {}, {"width": 64, "encoder": None}),
        ("unet", {"width": None}, {"width": 64, "encoder": None}),
        ("unet", {"width": 8}, {"width": 8, "encoder": None}),
        ("unet", {"encoder": "resnet18"}, {"width": None, "encoder": "resnet18"}),
        ("unetpp", {}, {"width": 32, "deep_supervision": True, "encoder": None}),
        (
            "unetpp",
            {"deep_supervision": False},
            {"width": 32, "deep_supervision": False, "encoder": None},
        ),
        (
            "unetpp",
            {"encoder": "resnet18"},
            {"width": None, "deep_supervision": False, "encoder": "resnet18"},
        ),
    ],
)
def test_defaults_are_filled_in_and_completing_twice_changes_nothing(name, given, complete):
    assert complete_model(name, given) == (name, complete)
    assert complete_model(name, complete) == (name, complete)


@pytest.mark.parametrize(
    ("name", "given", "path", "hint"),
    [
        ("unett", {}, ("name",), "did you mean 'unet'"),
        ("unet", {"witdh": 8}, ("parameters", "witdh"), "did you mean 'width'"),
        ("unet", {"width": 0}, ("parameters", "width"), "greater than 0"),
        ("unet", {"encoder": ""}, ("parameters", "encoder"), "unknown encoder"),
        ("unet", {"width": 8, "encoder": "resnet18"}, ("parameters",), "width is of the plain"),
        (
            "unetpp",
            {"deep_supervision": True, "encoder": "resnet18"},
            ("parameters",),
            "deep_supervision is of the plain",
        ),
        ("fcn", {"width": 8}, ("parameters", "width"), "it takes none"),
        ("deeplabv3plus", {"atrous_rates": [6, 12]}, ("parameters", "atrous_rates", "2"), "Field"),
    ],
)
def test_refusals_say_where_and_what(name, given, path, hint):
    with pytest.raises(CatalogueError) as caught:
        complete_model(name, given)
    assert caught.value.path == path
    assert hint in caught.value.reason


def test_the_catalogue_loads_neither_torch_nor_smp():
    code = (
        "import sys, workers.catalogue.models, workers.catalogue.losses\n"
        "print([m for m in ('torch', 'timm', 'segmentation_models_pytorch') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
