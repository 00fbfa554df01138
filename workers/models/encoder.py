"""Networks of segmentation_models_pytorch (smp) with any of its encoders, random weights.

smp and timm enter here and in `smp_network` only, and inside the functions: their import takes
longer than torch's, and a network without an encoder needs neither.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from workers.catalogue import nearest
from workers.catalogue.encoders import TIMM_PREFIX
from workers.contract import UserError
from workers.models.output import SegmentationOutput, check_image

_REFUSALS = (ValueError, TypeError, NotImplementedError, AssertionError)
"""Errors of smp and timm for encoders that cannot be dilated or do not have maps at every scale."""


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
    architecture: str, encoder: str, num_classes: int, **arguments: object
) -> EncoderNetwork:
    """Builds an smp network.

    Args:
        architecture: Name of the class in smp.
        encoder: Name of an smp encoder, or `tu-NAME` for a timm network.
        num_classes: Output channels.
        arguments: Further arguments of the architecture.

    Raises:
        UserError: The encoder is unknown or does not fit the architecture.
    """
    import segmentation_models_pytorch as smp

    if encoder.startswith(TIMM_PREFIX):
        check_timm_network(encoder)
    # smp reads MiT's drop-path rates from a tensor, which the meta device does not fill.
    on_cpu = torch.device("cpu") if encoder.startswith("mit_") else contextlib.nullcontext()
    try:
        with on_cpu:
            network = getattr(smp, architecture)(
                encoder_name=encoder, encoder_weights=None, classes=num_classes, **arguments
            )
    except _REFUSALS as error:
        reason = str(error) or type(error).__name__
        msg = f"parameters.encoder: {encoder!r} does not fit {architecture}: {reason}; try resnet34"
        raise UserError(msg) from error
    return EncoderNetwork(network.to(torch.get_default_device()))


def check_image_side(network: nn.Module, side: int) -> None:
    """Raises UserError unless a network takes square images of this side, by one forward pass.

    Encoders that cut an image into windows or patches take only some sizes; only a pass shows it.

    Args:
        network: Any of the models; its mode is restored.
        side: In pixels, a multiple of 32.
    """
    parameter = next(network.parameters())
    image_BCHW = torch.zeros(1, 3, side, side, device=parameter.device)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            shape = network(image_BCHW).logits_BCHW.shape
    except (*_REFUSALS, RuntimeError) as error:
        msg = f"the network does not take images of {side}x{side} pixels: {error}"
        raise UserError(msg) from error
    finally:
        network.train(was_training)
    if shape[2:] != image_BCHW.shape[2:]:
        height, width = shape[2:]
        msg = f"of images of {side}x{side} pixels the network makes maps of {height}x{width}"
        raise UserError(msg)
