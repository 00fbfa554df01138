"""Networks of segmentation_models_pytorch (smp) with any of its encoders, random weights.

smp and timm enter here only, and inside the functions: their import takes longer than torch's,
and a network without an encoder needs neither.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from workers.catalogue import nearest
from workers.catalogue.encoders import TIMM_PREFIX
from workers.contract import UserError
from workers.models.output import SegmentationOutput, check_image

Architecture = Literal["Unet", "UnetPlusPlus", "DeepLabV3Plus"]


def check_timm_network(encoder: str) -> None:
    """Raises UserError, with the nearest names, unless timm has the network of `tu-NAME`."""
    import timm

    key = f"parameters.encoder: {encoder!r}"
    network = encoder.removeprefix(TIMM_PREFIX)
    if "." in network:
        remedy = f"{TIMM_PREFIX}{network.partition('.')[0]}"
        msg = f"{key} names weights, but weights start random; use {remedy!r}"
        raise UserError(msg)
    if not timm.is_model(network):
        close = nearest(network, timm.list_models()).partition("known:")[0]
        remedy = close or "see timm.list_models(); "
        msg = f"{key}: timm has no network of this name; {remedy}prefix {TIMM_PREFIX!r}"
        raise UserError(msg)


class EncoderNetwork(nn.Module):
    """An smp network behind the interface that all models share."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        return SegmentationOutput(self.network(image_BCHW))


def build_with_encoder(
    architecture: Architecture, encoder: str, num_classes: int, **arguments: object
) -> EncoderNetwork:
    """Builds an smp network.

    Args:
        architecture: Name of the class in smp.
        encoder: Name of an smp encoder, or `tu-NAME` for a timm network.
        num_classes: Output channels.
        arguments: Passed on to the architecture.

    Raises:
        UserError: The encoder is unknown or does not fit the architecture.
    """
    import segmentation_models_pytorch as smp

    if encoder.startswith(TIMM_PREFIX):
        check_timm_network(encoder)
    try:
        network = getattr(smp, architecture)(
            encoder_name=encoder, encoder_weights=None, classes=num_classes, **arguments
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        # smp and timm refuse encoders in these ways: no dilation, no maps at every scale.
        msg = f"parameters.encoder: {encoder!r} does not fit {architecture}: {error}; try resnet34"
        raise UserError(msg) from error
    return EncoderNetwork(network)
