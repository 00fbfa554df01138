"""ESFPNet (Chang et al., arXiv:2207.07759): MiT encoder, efficient stage-wise feature pyramid."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from workers.models.backbones import mix_transformer, mix_transformer_maps, pyramid_widths
from workers.models.blocks import conv_norm_act
from workers.models.output import SegmentationOutput, check_image
from workers.models.resampling import enlarge_bilinear

Variant = Literal["T", "S", "L"]

_ENCODER_SIZES: dict[Variant, str] = {"T": "b0", "S": "b2", "L": "b4"}


class LinearPrediction(nn.Linear):
    """One linear map of the channels, the same at every pixel.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, input: Tensor) -> Tensor:
        """Returns the mapped features, of the same shape (B, C, H, W)."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def _enlarge(features_BCHW: Tensor, factor: int) -> Tensor:
    return enlarge_bilinear(features_BCHW, factor, align_corners=False)


def _fuse(in_channels: int, out_channels: int) -> nn.Sequential:
    layers = conv_norm_act(in_channels, out_channels, kernel_size=1)
    kernel = layers.get_parameter("0.weight")
    nn.init.kaiming_normal_(kernel, mode="fan_out", nonlinearity="relu")
    return layers


class ESFPNet(nn.Module):
    """Four maps, mapped linearly, fused from deep to shallow, and all joined for the prediction.

    The deepest slot of the last join is the linear prediction of the deepest map itself, not a
    fused map. All resizing is bilinear with align_corners False, and
    also brings the logits from stride 4 to the size of the image, which the original leaves to its
    training loop. Stochastic depth as in MiT: 0.1.

    Initialisation: the encoder as smp's (`mix_transformer`); fusing convolutions N(0, 2 / fan-out),
    as mmcv's ConvModule does; all else torch's default.

    Args:
        num_classes: Output channels.
        encoder_size: b0 to b5.
    """

    def __init__(self, num_classes: int, encoder_size: str) -> None:
        super().__init__()
        widths = pyramid_widths(encoder_size)
        self.backbone = mix_transformer(encoder_size)
        self.predictions = nn.ModuleList(LinearPrediction(width) for width in widths)
        # Deepest first, as below; the predictions after fusing are shallowest first.
        self.fusions = nn.ModuleList(
            _fuse(widths[level] + widths[level + 1], widths[level]) for level in (2, 1, 0)
        )
        self.fused_predictions = nn.ModuleList(LinearPrediction(width) for width in widths[:3])
        self.head = nn.Conv2d(sum(widths), num_classes, 1)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        maps = mix_transformer_maps(self.backbone, image_BCHW)
        *shallower, deepest_BCHW = (
            predict(features_BCHW)
            for predict, features_BCHW in zip(self.predictions, maps, strict=True)
        )
        pyramid = [deepest_BCHW]
        for fuse, predict in zip(self.fusions, reversed(self.fused_predictions), strict=True):
            pair_BCHW = torch.cat((shallower.pop(), _enlarge(pyramid[0], 2)), dim=1)
            pyramid.insert(0, predict(fuse(pair_BCHW)))
        joined_BCHW = torch.cat(
            [pyramid[0], *(_enlarge(m, 2**level) for level, m in enumerate(pyramid) if level)],
            dim=1,
        )
        return SegmentationOutput(_enlarge(self.head(joined_BCHW), 4))


def build(num_classes: int, *, variant: Variant) -> nn.Module:
    """Builds the network; parameters with one class: T 3,532,129, S 25,043,649, L 61,690,049."""
    return ESFPNet(num_classes, _ENCODER_SIZES[variant])
