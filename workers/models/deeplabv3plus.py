"""DeepLab-V3+ (Chen et al., arXiv:1802.02611) at output stride 16, through smp."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from workers.models.encoder import build_with_encoder


def build(num_classes: int, *, encoder: str, atrous_rates: Sequence[int]) -> nn.Module:
    """Builds the network: separable convolutions in ASPP and decoder, logits up-sampled by 4.

    Batch norm in ASPP's pooled branch sees 1x1 maps: training needs two images per step. smp
    differs from the paper: one separable convolution more after ASPP, and one 3x3 fusion
    after the concatenation, not two.

    Args:
        num_classes: Output channels.
        encoder: smp encoder that can be dilated; the paper's is `tu-xception65`.
        atrous_rates: Dilations of ASPP's three 3x3 convolutions.

    Raises:
        UserError: The encoder is unknown or cannot be dilated.
    """
    return build_with_encoder(
        "DeepLabV3Plus", encoder, num_classes, decoder_atrous_rates=tuple(atrous_rates)
    )
