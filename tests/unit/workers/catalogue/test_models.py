"""The table of models: complete parameters, refusals with a remedy, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workers.catalogue import CatalogueError
from workers.catalogue.encoders import SMP_ENCODERS
from workers.catalogue.models import (
    MODELS,
    complete_model,
    input_normalisation,
    min_train_batch,
    weights_of,
)


def test_every_model_with_its_published_size():
    facts = {
        n: (e.parameters, e.gmacs_224, min_train_batch(n, complete_model(n, {})[1], 224))
        for n, e in MODELS.items()
    }
    assert facts == {
        "fcn": (134_265_699, 21.21, 1),
        "deeplabv3plus": (41_036_865, 9.60, 2),
        "unet": (31_037_633, 36.88, 1),
        "unetpp": (9_163_428, 26.41, 1),
        "colonsegnet": (5_014_049, 30.16, 1),
        "fat-net": (28_754_017, 22.92, 1),
        "fcbformer": (52_962_337, 29.87, 1),
        "colonformer": (52_944_528, 9.50, 2),
        "caranet": (44_593_560, 8.73, 1),
        "esfpnet": (61_690_049, 9.16, 1),
        "duck-net": (38_867_668, 18.49, 1),
        "emcad": (26_764_399, 4.39, 1),
        "fanet": (6_738_178, 155.19, 1),
        "nnunet": (20_618_148, 10.91, 1),
        "nnunet-resenc": (71_815_652, 24.20, 1),
        "frozen-vit": (2_738_849, 6.14, 2),
        "smp": (24_436_369, 5.98, 2),
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
def test_complete_model_fills_defaults_and_is_idempotent(name, given, complete):
    assert complete_model(name, given) == (name, complete)
    assert complete_model(name, complete) == (name, complete)


@pytest.mark.parametrize(
    ("name", "given", "path", "hint"),
    [
        ("unett", {}, ("name",), "did you mean 'unet'"),
        ("unet", {"witdh": 8}, ("parameters", "witdh"), "did you mean 'width'"),
        ("unet", {"width": 0}, ("parameters", "width"), "greater than 0"),
        ("unet", {"encoder": ""}, ("parameters", "encoder"), "unknown encoder"),
        (
            "unet",
            {"width": 8, "encoder": "resnet18"},
            ("parameters",),
            "width belongs to the plain",
        ),
        (
            "unetpp",
            {"deep_supervision": True, "encoder": "resnet18"},
            ("parameters",),
            "deep_supervision belongs to the plain",
        ),
        ("fcn", {"width": 8}, ("parameters", "width"), "known: pretrained"),
        ("colonsegnet", {"width": 8}, ("parameters", "width"), "it takes none"),
        ("colonsegnet", {"pretrained": True}, ("parameters", "pretrained"), "it takes none"),
        ("fanet", {"iterations": 0}, ("parameters", "iterations"), "must be at least 1"),
        ("nnunet", {"stages": 7}, ("parameters", "stages"), "must be at most 6"),
        ("nnunet", {"pretrained": True}, ("parameters", "pretrained"), "known: stages"),
        (
            "frozen-vit",
            {"encoder": "resnet34"},
            ("parameters",),
            "does not fit DPT: it is no vision transformer",
        ),
        (
            "frozen-vit",
            {"encoder": "tu-vit_tiny_patch16_224", "pretrained": True},
            ("parameters", "pretrained"),
            "no weights of vit_tiny_patch16_224; set `pretrained`",
        ),
        ("esfpnet", {"variant": "XL"}, ("parameters", "variant"), "'T', 'S' or 'L'"),
        ("fcn", {"pretrained": 1}, ("parameters", "pretrained"), "true, false or the path"),
        ("fcn", {"pretrained": ""}, ("parameters", "pretrained"), "true, false or the path"),
        ("fcn", {"pretrained": None}, ("parameters", "pretrained"), "true, false or the path"),
        ("unet", {"pretrained": True}, ("parameters", "pretrained"), "name an encoder"),
        ("unet", {"pretrained": "a.pth"}, ("parameters", "pretrained"), "name an encoder"),
        (
            "unet",
            {"encoder": "tu-convnext_tiny", "pretrained": True},
            ("parameters", "pretrained"),
            "no weights of convnext_tiny; set `pretrained`",
        ),
        (
            "deeplabv3plus",
            {"atrous_rates": [6, 12]},
            ("parameters", "atrous_rates", "2"),
            "a value is missing",
        ),
    ],
)
def test_refusals_name_path_and_reason(name, given, path, hint):
    with pytest.raises(CatalogueError) as caught:
        complete_model(name, given)
    assert caught.value.path == path
    assert hint in caught.value.reason


def test_later_option_at_its_default_is_omitted():
    for name in ("fcn", "caranet"):
        assert complete_model(name, {"pretrained": False}) == (name, {})
    for value in (True, "sha256:0"):
        assert complete_model("fcn", {"pretrained": value}) == ("fcn", {"pretrained": value})
    for name, entry in MODELS.items():
        for key in entry.options.later:
            assert key not in complete_model(name, {})[1]


def test_weights_bring_their_scaling_and_their_licence():
    def facts(name, **given):
        complete = complete_model(name, {"pretrained": True} | given)[1]
        found = [(w.name, w.hub) for w in weights_of(name, complete)]
        return found, input_normalisation(name, complete)

    assert facts("deeplabv3plus") == ([("xception65.tf_in1k", "timm/xception65.tf_in1k")], "half")
    assert facts("esfpnet", variant="T") == (
        [("mit_b0.imagenet", "smp-hub/mit_b0.imagenet")],
        "imagenet",
    )
    assert [name for name, _ in facts("fat-net")[0]] == [
        "resnet34.tv_in1k",
        "deit_tiny_distilled_patch16_224.fb_in1k",
    ]
    dino = "vit_base_patch16_dinov3.lvd1689m"
    assert facts("frozen-vit", encoder="tu-vit_base_patch16_dinov3") == (
        [(dino, f"timm/{dino}")],
        "imagenet",
    )
    assert facts("unet", encoder="tu-convnext_tiny", pretrained="a.pth")[1] is None
    assert facts("unet", encoder="dpn68")[1] == "dpn"
    assert input_normalisation("deeplabv3plus", complete_model("deeplabv3plus", {})[1]) is None
    mit = [w for n in ("esfpnet", "colonformer") for w in weights_of(n, complete_model(n, {})[1])]
    mit += weights_of("unet", {"encoder": "mit_b1"})
    assert all("non-commercial" in item.licence for item in mit)


def test_hub_files_of_smp_encoders_are_those_of_smp():
    import segmentation_models_pytorch as smp

    for name in SMP_ENCODERS:
        (weights,) = weights_of("unet", {"encoder": name})
        settings = smp.encoders.encoders[name]["pretrained_settings"].values()
        assert weights.hub in [item["repo_id"] for item in settings], name


def test_the_catalogue_loads_neither_torch_nor_smp():
    code = (
        "import sys, workers.weights, workers.requirements, workers.catalogue.losses\n"
        "print([m for m in ('torch', 'timm', 'segmentation_models_pytorch') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
