"""The encoder names are smp's, and an unknown one is refused with the nearest."""

import pytest
import segmentation_models_pytorch as smp

from workers.catalogue import CatalogueError
from workers.catalogue.encoders import SMP_ARCHITECTURES, SMP_ENCODERS
from workers.catalogue.models import complete_model, min_train_batch


def test_the_names_are_those_of_smp():
    own = {name for name in smp.encoders.get_encoder_names() if not name.startswith("timm-")}
    assert set(SMP_ENCODERS) == own


@pytest.mark.parametrize(
    ("given", "near"),
    [("resnet_18", "resnet18"), ("timm-efficientnet-b0", "efficientnet-b0"), ("MIT_B0", "mit_b0")],
)
def test_a_misspelt_encoder_names_the_nearest(given, near):
    with pytest.raises(CatalogueError, match=f"unknown encoder; did you mean .*'{near}'"):
        complete_model("unet", {"encoder": given})


def test_networks_with_an_encoder_never_train_on_one_image():
    assert min_train_batch("unet", {"encoder": "resnet18"}, 224) == 2
    assert min_train_batch("unet", {"width": 8, "encoder": None}, 32) == 1
    assert min_train_batch("deeplabv3plus", {"encoder": "tu-xception65"}, 224) == 2


def test_batch_norm_at_stride_32_needs_two_small_images():
    for name in ("caranet", "duck-net", "emcad"):
        assert [min_train_batch(name, {}, side) for side in (32, 64)] == [2, 1]


def test_the_architectures_are_those_of_smp_in_any_case():
    mapping = smp.MODEL_ARCHITECTURES_MAPPING
    assert {mapping[name.lower()].__name__ for name in SMP_ARCHITECTURES} == set(SMP_ARCHITECTURES)
    assert len(SMP_ARCHITECTURES) == len(mapping)
    assert complete_model("smp", {"architecture": "fpn"})[1]["architecture"] == "FPN"
    with pytest.raises(CatalogueError, match="unknown architecture; did you mean 'Unet'"):
        complete_model("smp", {"architecture": "Unett"})
