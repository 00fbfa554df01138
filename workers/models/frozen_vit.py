"""A frozen vision transformer of timm with a narrow DPT decoder of smp."""

from __future__ import annotations

from typing import Self, cast

from torch import nn

from workers.models.encoder import EncoderNetwork
from workers.models.smp_network import build_transformer


class FrozenEncoderNetwork(EncoderNetwork):
    """An smp network whose encoder is never trained and always in evaluation mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        cast(nn.Module, network.encoder).requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of the decoder and the head."""
        super().train(mode)
        cast(nn.Module, self.network.encoder).eval()
        return self


def build(num_classes: int, *, encoder: str) -> nn.Module:
    """Builds the network; of DINOv3's smallest, 2,738,849 of 24,325,793 parameters are trained.

    Maps of four evenly spaced blocks of the transformer, without its class tokens, enter the
    decoder of DPT (Ranftl et al., arXiv:2103.13413) at the widths that Depth Anything (Yang et al.,
    arXiv:2406.09414) gives it beside the small transformer. Decoder and head start as in smp.

    Args:
        num_classes: Output channels.
        encoder: `tu-NAME` for a vision transformer of timm, with patches that divide 32 pixels.

    Raises:
        UserError: The encoder is unknown or does not fit.
    """
    network = build_transformer(
        encoder,
        num_classes,
        decoder_readout="ignore",
        decoder_intermediate_channels=(48, 96, 192, 384),
        decoder_fusion_channels=64,
    )
    return FrozenEncoderNetwork(network.network)
