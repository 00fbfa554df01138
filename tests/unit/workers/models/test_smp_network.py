"""Any architecture and encoder of segmentation_models_pytorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.workers.models.demands import count, without_memory
from tests.unit.workers.models.filling import noise
from workers.catalogue import CatalogueError
from workers.catalogue.encoders import SMP_ARCHITECTURES, least_image_side, misfit
from workers.catalogue.losses import STUDY_LOSSES
from workers.contract import UserError
from workers.losses import build_loss
from workers.models import SegmentationOutput, build_model
from workers.models.encoder import build_with_encoder, check_image_side

TRANSFORMER = "tu-vit_tiny_patch16_224"


def encoder_for(architecture):
    return TRANSFORMER if architecture == "DPT" else "resnet18"


@pytest.mark.parametrize("architecture", SMP_ARCHITECTURES)
def test_every_architecture_takes_images_from_its_least_side_up(architecture):
    with torch.device("meta"):
        model = build_model(
            "smp", 3, architecture=architecture, encoder=encoder_for(architecture)
        ).eval()
        side = least_image_side(architecture)
        for height, width in ((side, side), (side + 32, side), (512, 512)):
            logits = model(torch.zeros(1, 3, height, width)).logits_BCHW
            assert logits.shape == (1, 3, height, width)
        if side > 32:
            with pytest.raises(UserError, match=f"images of {side - 32}x{side - 32} pixels"):
                check_image_side(model, side - 32)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("autocast", [False, True])
def test_every_architecture_trains_with_the_ten_losses(autocast):
    for architecture in SMP_ARCHITECTURES:
        torch.manual_seed(0)
        model = build_model("smp", architecture=architecture, encoder=encoder_for(architecture))
        side = max(64, least_image_side(architecture))
        truth = noise((2, side, side), stream=2) > 0
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            logits = model(noise((2, 3, side, side), stream=1)).logits_BCHW
            values = torch.stack([build_loss(name)(logits, truth) for name in STUDY_LOSSES])
        assert values.isfinite().all(), architecture
        values.sum().backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        unused = {name for name, _ in model.named_parameters()} - gradients.keys()
        # What smp builds and never runs: the transformer's end, in PSPNet the encoder's.
        ends = {"DPT": ("head.", "norm."), "PSPNet": ("layer3.", "layer4.")}.get(architecture, ())
        parts = ("network.encoder.", "network.encoder.model.")
        assert all(name.startswith(tuple(p + e for p in parts for e in ends)) for name in unused)
        assert all(gradient.isfinite().all() for gradient in gradients.values())


# Measured in smp. `test_sizes.py` has the U-Net, and further encoders under the models' own names.
@pytest.mark.parametrize(
    ("architecture", "encoder", "expected"),
    [("UnetPlusPlus", "resnet34", 26_078_609), ("DeepLabV3Plus", "resnet34", 22_437_457)],
)
def test_parameters_to_the_unit(architecture, encoder, expected):
    assert count(without_memory("smp", architecture=architecture, encoder=encoder)) == expected


def test_smp_unet_equals_the_unet_of_the_same_encoder():
    torch.manual_seed(3)
    own = build_model("smp", encoder="resnet18").state_dict()
    torch.manual_seed(3)
    other = build_model("unet", encoder="resnet18").state_dict()
    assert list(own) == list(other)
    assert all(torch.equal(own[key], other[key]) for key in own)


def test_the_name_of_an_architecture_is_free_in_case():
    model = without_memory("smp", architecture="segFORMER", encoder="mit_b0")
    assert type(model.network).__name__ == "Segformer"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"architecture": "UNet++"}, "unknown architecture; did you mean 'Unet'"),
        ({"architecture": "Unet", "encoder": "resnet43"}, "unknown encoder; did you mean"),
        ({"architecture": "DPT"}, "resnet34 does not fit DPT: it is no vision transformer"),
        ({"architecture": "PAN", "encoder": "vgg11"}, "vgg11 does not fit PAN: it cannot be dil"),
        ({"architecture": "Linknet", "encoder": "mit_b0"}, "it has no map at half the size"),
    ],
)
def test_misfit_in_the_table_is_refused_before_building(parameters, message):
    with pytest.raises(CatalogueError, match=message):
        build_model("smp", **parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"encoder": TRANSFORMER}, "does not fit Unet: Unsupported model downsampling"),
        ({"architecture": "PAN", "encoder": "tu-dla34"}, "'tu-dla34' does not fit PAN"),
        ({"architecture": "DPT", "encoder": "tu-resnet18"}, "no vision transformer of free"),
        ({"architecture": "DPT", "encoder": "tu-vit_tiny_patch16_225"}, "did you mean"),
        ({"architecture": "DPT", "encoder": "tu-vit_small_patch14_dinov2"}, "patches of 14x14"),
    ],
)
def test_misfit_found_while_building_names_the_encoder(parameters, message):
    with pytest.raises(UserError, match=message) as caught:
        without_memory("smp", **parameters)
    assert f"parameters.encoder: '{parameters['encoder']}'" in str(caught.value)


FEW = ("resnet18", "vgg11", "mit_b0")
FAMILIES = (
    *FEW, "dpn68", "se_resnet50", "densenet121", "inceptionresnetv2", "inceptionv4",
    "efficientnet-b0", "mobilenet_v2", "xception", "mobileone_s0",
)  # fmt: skip


# An encoder of every family for one architecture that dilates it and one that takes every scale.
@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("architecture", "encoders"),
    [
        ("DeepLabV3", FAMILIES), ("UnetPlusPlus", FAMILIES),
        ("DeepLabV3Plus", FEW), ("PAN", FEW), ("Linknet", FEW), ("FPN", FEW),
    ],
)  # fmt: skip
def test_smp_refuses_exactly_the_table_of_misfits(architecture, encoders):
    refused = set()
    for encoder in encoders:
        with torch.device("meta"):
            try:
                build_with_encoder(architecture, encoder, 1)
            except UserError:
                refused.add(encoder)
    assert refused == {e for e in encoders if misfit(architecture, e)}


def test_transformer_without_class_token_has_no_readout_token():
    # timm's SigLIP pools its tokens; smp would warn.
    model = without_memory("smp", architecture="DPT", encoder="tu-vit_base_patch16_siglip_224")
    assert not model.network.encoder.has_prefix_tokens


def test_encoder_of_fixed_image_size_is_refused_at_others():
    model = without_memory("smp", encoder="tu-swin_tiny_patch4_window7_224").train()
    check_image_side(model, 224)
    with pytest.raises(UserError, match=r"images of 64x64 pixels: .*doesn't match model"):
        check_image_side(model, 64)
    assert model.training


def test_maps_of_another_size_than_the_image_are_refused():
    class Halving(nn.Conv2d):
        def forward(self, input):
            return SegmentationOutput(super().forward(input))

    with pytest.raises(UserError, match="64x64 pixels the network makes maps of 32x32"):
        check_image_side(Halving(3, 1, 2, stride=2), 64)
