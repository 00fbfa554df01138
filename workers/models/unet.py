"""U-Net (Ronneberger et al., arXiv:1505.04597): the plain one, or smp's with an encoder."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from workers.models.encoder import build_with_encoder
from workers.models.initialisation import he_normal
from workers.models.output import SegmentationOutput, check_image

_NUM_DOWN = 4


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Five levels of two 3x3 convolutions, skips concatenated on the way up.

    Differs from the paper as most code does: padded convolutions, so that output and input have
    one size, and batch norm in place of convolution biases. Weights as in the paper's section 3
    (see `he_normal`).

    Args:
        num_classes: Output channels.
        width: Channels of the finest level; each level below has twice as many.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(_NUM_DOWN + 1)]
        pairs = list(itertools.pairwise(widths))
        self.stem = _double_conv(3, width)
        self.down = nn.ModuleList(_double_conv(fine, coarse) for fine, coarse in pairs)
        self.pool = nn.MaxPool2d(2)
        upward = pairs[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, f, 2, stride=2) for f, c in upward)
        self.merge = nn.ModuleList(_double_conv(2 * fine, fine) for fine, _ in upward)
        self.head = nn.Conv2d(width, num_classes, 1)
        he_normal(self)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        features_BCHW = self.stem(image_BCHW)
        skips: list[Tensor] = []
        for down in self.down:
            skips.append(features_BCHW)
            features_BCHW = down(self.pool(features_BCHW))
        for up, merge in zip(self.up, self.merge, strict=True):
            features_BCHW = merge(torch.cat((skips.pop(), up(features_BCHW)), dim=1))
        return SegmentationOutput(self.head(features_BCHW))


def build(num_classes: int, *, width: int | None, encoder: str | None) -> nn.Module:
    """Builds the plain network (width 64: 31,037,633 parameters), or smp's with an encoder.

    Raises:
        UserError: The encoder is unknown or does not fit.
        ValueError: Not exactly one of width and encoder is given.
    """
    if encoder is not None and width is None:
        return build_with_encoder("Unet", encoder, num_classes)
    if encoder is None and width is not None:
        return UNet(num_classes, width)
    msg = f"exactly one of width ({width}) and encoder ({encoder}) makes a U-Net"
    raise ValueError(msg)
