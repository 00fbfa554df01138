"""Names of the architectures and encoders of segmentation_models_pytorch (smp)."""

from __future__ import annotations

from pydantic_core import PydanticCustomError

from workers.catalogue import nearest

TIMM_PREFIX = "tu-"
"""`tu-NAME` is timm's network NAME; timm knows over a thousand, so only building one checks it."""

SMP_ENCODERS = (
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    "resnext50_32x4d",
    *(f"resnext101_32x{width}d" for width in (4, 8, 16, 32, 48)),
    *(f"dpn{size}" for size in ("68", "68b", "92", "98", "107", "131")),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    "senet154",
    *(f"se_resnet{depth}" for depth in (50, 101, 152)),
    *(f"se_resnext{depth}_32x4d" for depth in (50, 101)),
    *(f"densenet{depth}" for depth in (121, 169, 201, 161)),
    "inceptionresnetv2",
    "inceptionv4",
    *(f"efficientnet-b{size}" for size in range(8)),
    "mobilenet_v2",
    "xception",
    *(f"mit_b{size}" for size in range(6)),
    *(f"mobileone_s{size}" for size in range(5)),
)
"""smp 0.6's own, without its `timm-` names, which it deprecates in favour of `tu-`."""

SMP_ARCHITECTURES = (
    "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus",
    "PAN", "UPerNet", "Segformer", "DPT",
)  # fmt: skip

_NOT_DILATED = ("vgg", "densenet", "inceptionresnetv2", "inceptionv4", "xception")
_DILATING = ("DeepLabV3", "DeepLabV3Plus", "PAN")
_EVERY_SCALE = ("UnetPlusPlus", "Linknet")
_NO_HALF_SCALE = "mit_"
_LEAST_SIDES = {"PAN": 128}

LEAST_IMAGE_SIDE = 32
"""Least height and width of an image in pixels, except for models that state another."""


def misfit(architecture: str, encoder: str) -> str | None:
    """Returns why an architecture of smp cannot have an encoder, with the remedy; None if it can.

    Of timm's networks, `tu-NAME`, only building shows whether they fit.
    """
    timm = encoder.startswith(TIMM_PREFIX)
    if architecture == "DPT" and not timm:
        return f"is no vision transformer; name one of timm, as {TIMM_PREFIX}vit_tiny_patch16_224"
    if architecture in _DILATING and encoder.startswith(_NOT_DILATED):
        return "cannot be dilated, since it pools; try resnet34"
    if architecture in _EVERY_SCALE and encoder.startswith(_NO_HALF_SCALE):
        return "has no map at half the size; try resnet34"
    return None


def least_image_side(architecture: str) -> int:
    """Returns the least side in pixels of the images that an architecture of smp takes.

    PAN halves the map of stride 16 three times.
    """
    return _LEAST_SIDES.get(architecture, LEAST_IMAGE_SIDE)


def check_architecture_name(name: str) -> str:
    """Returns the name as smp spells it, or refuses it with the nearest ones."""
    for known in SMP_ARCHITECTURES:
        if known.lower() == name.lower():
            return known
    kind, message = "architecture", "unknown architecture; {remedy}"
    remedy = nearest(name, SMP_ARCHITECTURES)
    raise PydanticCustomError(kind, message, {"remedy": remedy})


def check_encoder_name(name: str) -> str:
    """Returns the name, or refuses it with the nearest ones."""
    if name.startswith(TIMM_PREFIX) or name in SMP_ENCODERS:
        return name
    remedy = f"{nearest(name, SMP_ENCODERS)}, and {TIMM_PREFIX}NAME for a timm network"
    kind, message = "encoder", "unknown encoder; {remedy}"
    raise PydanticCustomError(kind, message, {"remedy": remedy})
