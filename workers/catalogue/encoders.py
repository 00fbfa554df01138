"""Names of the encoders a network of segmentation_models_pytorch (smp) can have."""

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


def check_encoder_name(name: str) -> str:
    """Returns the name, or refuses it with the nearest ones."""
    if name.startswith(TIMM_PREFIX) or name in SMP_ENCODERS:
        return name
    remedy = f"{nearest(name, SMP_ENCODERS)}, and {TIMM_PREFIX}NAME for a timm network"
    kind, message = "encoder", "unknown encoder; {remedy}"
    raise PydanticCustomError(kind, message, {"remedy": remedy})
