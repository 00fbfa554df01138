"""The encoder names are smp's, and an unknown one is refused with the nearest."""

import pytest
import segmentation_models_pytorch as smp

from workers.catalogue import CatalogueError
from workers.catalogue.encoders import SMP_ENCODERS
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
    assert min_train_batch("unet", {"encoder": "resnet18"}) == 2
    assert min_train_batch("unet", {"width": 8, "encoder": None}) == 1
    assert min_train_batch("deeplabv3plus", {"encoder": "tu-xception65"}) == 2
