"""ColonSegNet (Jha et al., IEEE Access 2021, arXiv:2011.07631)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workers.models.blocks import AttendedShortcut, conv_norm_act
from workers.models.output import SegmentationOutput, check_image

_REDUCTION = 16


class EncoderBlock(nn.Module):
    """Residual blocks before and after a convolution of stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.fine = AttendedShortcut(in_channels, out_channels, reduction=_REDUCTION)
        self.halve = conv_norm_act(out_channels, out_channels, stride=2, bias=True)
        self.coarse = AttendedShortcut(out_channels, out_channels, reduction=_REDUCTION)

    def forward(self, features_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the features at the incoming size and at half of it."""
        fine_BCHW = self.fine(features_BCHW)
        return fine_BCHW, self.coarse(self.halve(fine_BCHW))


class UpConcat(nn.Module):
    """Enlarges one map by a 4x4 transposed convolution, appends a second, mixes both.

    Args:
        coarse: Channels of the smaller map.
        up: Channels it has when enlarged.
        skip: Channels of the other map.
        out: Channels of the result.
        factor: 2, or 4 for a convolution whose windows do not overlap.
        up_first: Whether the enlarged map comes before the other one.
    """

    def __init__(
        self, *, coarse: int, up: int, skip: int, out: int, factor: int = 2, up_first: bool = True
    ) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(coarse, up, 4, stride=factor, padding=(4 - factor) // 2)
        self.mix = AttendedShortcut(up + skip, out, reduction=_REDUCTION)
        self.up_first = up_first

    def forward(self, coarse_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        """Returns maps of the size of `skip_BCHW`, `factor` times that of `coarse_BCHW`."""
        both = (self.up(coarse_BCHW), skip_BCHW)
        both_BCHW = torch.cat(both if self.up_first else both[::-1], dim=1)
        mixed_BCHW: Tensor = self.mix(both_BCHW)
        return mixed_BCHW


class ColonSegNet(nn.Module):
    """Two encoder blocks and two decoder blocks; each encoder map is used twice.

    As in the authors' code the decoder enlarges with transposed convolutions without norm or
    activation, and the first one jumps from 1/8 to 1/2 of the input. The second encoder block's
    pooled map, which nothing uses, is not computed. Weights start as torch's defaults, like
    theirs; the state dict has their order.

    Args:
        num_classes: Output channels.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder1 = EncoderBlock(3, 64)
        self.encoder2 = EncoderBlock(64, 256)
        self.pool = nn.MaxPool2d(2)
        self.decode_half_from_eighth = UpConcat(coarse=256, up=128, skip=64, out=128, factor=4)
        self.decode_half = UpConcat(coarse=256, up=128, skip=128, out=128, up_first=False)
        self.decode_full_from_half = UpConcat(coarse=128, up=64, skip=64, out=64)
        self.decode_full = UpConcat(coarse=64, up=32, skip=64, out=32, up_first=False)
        self.head = nn.Conv2d(32, num_classes, 1)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        full_BCHW, half_BCHW = self.encoder1(image_BCHW)
        quarter_BCHW, eighth_BCHW = self.encoder2(self.pool(half_BCHW))
        features_BCHW = self.decode_half_from_eighth(eighth_BCHW, half_BCHW)
        features_BCHW = self.decode_half(quarter_BCHW, features_BCHW)
        features_BCHW = self.decode_full_from_half(features_BCHW, full_BCHW)
        features_BCHW = self.decode_full(half_BCHW, features_BCHW)
        return SegmentationOutput(self.head(features_BCHW))


def build(num_classes: int) -> nn.Module:
    """Builds the network: 5,014,049 parameters for one class."""
    return ColonSegNet(num_classes)
