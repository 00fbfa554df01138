"""Any architecture with any encoder of segmentation_models_pytorch (smp), random weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from workers.catalogue.encoders import TIMM_PREFIX, misfit
from workers.contract import UserError
from workers.models.encoder import EncoderNetwork, build_with_encoder, check_timm_network
from workers.models.output import STRIDE

_TRANSFORMER = "DPT"
_EXAMPLE = f"{TIMM_PREFIX}vit_tiny_patch16_224"


def build(num_classes: int, *, architecture: str, encoder: str) -> nn.Module:
    """Builds a network of smp with smp's own defaults and initialisation.

    U-Net with ResNet-34 has 24,436,369 parameters with one class.

    Args:
        num_classes: Output channels.
        architecture: Name of the class in smp.
        encoder: Name of an smp encoder, or `tu-NAME` for a timm network.

    Raises:
        UserError: The encoder is unknown or does not fit the architecture.
    """
    reason = misfit(architecture, encoder)
    if reason is not None:
        msg = f"parameters.encoder: {encoder!r} does not fit {architecture}: it {reason}"
        raise UserError(msg)
    if architecture == _TRANSFORMER:
        return build_transformer(encoder, num_classes)
    return build_with_encoder(architecture, encoder, num_classes)


def build_transformer(encoder: str, num_classes: int, **arguments: object) -> EncoderNetwork:
    """Builds smp's DPT for images of any size.

    Args:
        encoder: `tu-NAME` for a vision transformer of timm.
        num_classes: Output channels.
        arguments: Further arguments of DPT. By default the class tokens, if there are any, are
            concatenated with the maps.

    Raises:
        UserError: The encoder is unknown or does not fit.
    """
    check_timm_network(encoder)
    network = _outline(encoder)
    patch_height, patch_width = _patch_size(network)
    if STRIDE % patch_height or STRIDE % patch_width:
        msg = (
            f"parameters.encoder: {encoder!r} does not fit {_TRANSFORMER}: its patches of "
            f"{patch_height}x{patch_width} pixels do not divide {STRIDE}; try {_EXAMPLE}"
        )
        raise UserError(msg)
    readout = "cat" if getattr(network, "num_prefix_tokens", 0) else "ignore"
    arguments = {"decoder_readout": readout, "dynamic_img_size": True} | arguments
    return build_with_encoder(_TRANSFORMER, encoder, num_classes, **arguments)


def _patch_size(network: nn.Module) -> tuple[int, int]:
    embedding = getattr(network, "patch_embed", None)
    return cast(tuple[int, int], getattr(embedding, "patch_size", (STRIDE, STRIDE)))


def _outline(encoder: str) -> nn.Module:
    """Returns timm's vision transformer without memory for its weights."""
    import timm

    name = encoder.removeprefix(TIMM_PREFIX)
    try:
        with torch.device("meta"):
            return timm.create_model(name, dynamic_img_size=True)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = (
            f"parameters.encoder: {encoder!r} does not fit {_TRANSFORMER}: it is no vision "
            f"transformer of free image size ({error}); try {_EXAMPLE}"
        )
        raise UserError(msg) from error
