"""The 2-D networks of nnU-Net: plain, and with a residual encoder.

Isensee et al., Nature Methods 18 (2021), arXiv:1904.08128, and arXiv:2404.09556 (residual encoder);
layers as in the authors' library dynamic-network-architectures.
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from workers.models.blocks import conv_norm_act
from workers.models.output import SegmentationOutput, check_image
from workers.models.resampling import enlarge_bilinear

_FINEST_WIDTH, _LARGEST_WIDTH = 32, 512
_RESIDUAL_BLOCKS = (1, 3, 4, 6, 6, 6)
_SLOPE = 0.01

_norm = functools.partial(nn.InstanceNorm2d, affine=True)
_activation = functools.partial(nn.LeakyReLU, _SLOPE, inplace=True)


def _conv(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    return conv_norm_act(
        in_channels, out_channels, stride=stride, bias=True, norm=_norm, activation=_activation
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the input, which is pooled and projected if the shape changes.

    The first convolution has the stride; the shortcut then averages 2x2 pixels (He et al.,
    arXiv:1812.01187, ResNet-D).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.first = _conv(in_channels, out_channels, stride=stride)
        self.second = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.last_norm = _norm(out_channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride))
        if in_channels != out_channels:
            self.shortcut.append(
                conv_norm_act(in_channels, out_channels, kernel_size=1, norm=_norm, activation=None)
            )

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns `out_channels` maps, smaller by the stride."""
        changed_BCHW = self.last_norm(self.second(self.first(features_BCHW)))
        return leaky_relu(changed_BCHW + self.shortcut(features_BCHW), _SLOPE)


def _plain_stage(in_channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_conv(in_channels, width, stride=stride), _conv(width, width))


def _residual_stage(in_channels: int, width: int, stride: int, num_blocks: int) -> nn.Sequential:
    blocks = [ResidualBlock(in_channels, width, stride=stride)]
    blocks += [ResidualBlock(width, width, stride=1) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)


class NNUNet(nn.Module):
    """U-Net with strided convolutions, instance norm and leaky ReLU, and heads on every level.

    nnU-Net chooses the number of stages from the image: it halves while a side is at least 8
    pixels. `stages` sets it here. As in the authors' training, the map of the coarsest head has no
    weight in the loss, so this head is left out. The other maps are enlarged bilinearly to the
    size of the image; the authors reduce the mask instead. Weights start as theirs: convolutions
    He-normal for slope 0.01, biases zero, and zero for the last norm gain of a residual block.

    Instance norm needs more than one pixel per map, so the image must be larger than
    2^(stages - 1) pixels in one direction.

    Args:
        num_classes: Output channels.
        stages: Levels of the encoder, at strides 1, 2, 4 and so on.
        residual: Whether the encoder has residual blocks, and the decoder one convolution per level
            instead of two.
    """

    def __init__(self, num_classes: int, stages: int, *, residual: bool) -> None:
        super().__init__()
        widths = [min(_FINEST_WIDTH * 2**stage, _LARGEST_WIDTH) for stage in range(stages)]
        pairs = list(itertools.pairwise(widths))
        if residual:
            self.stem = _conv(3, _FINEST_WIDTH)
            steps = [(_FINEST_WIDTH, _FINEST_WIDTH, 1), *((*pair, 2) for pair in pairs)]
            self.down = nn.ModuleList(
                _residual_stage(*step, number)
                for step, number in zip(steps, _RESIDUAL_BLOCKS, strict=False)
            )
        else:
            self.stem = nn.Sequential()
            steps = [(3, _FINEST_WIDTH, 1), *((*pair, 2) for pair in pairs)]
            self.down = nn.ModuleList(_plain_stage(*step) for step in steps)
        upward = pairs[::-1]
        self.merge = nn.ModuleList(
            _conv(2 * fine, fine)
            if residual
            else nn.Sequential(_conv(2 * fine, fine), _conv(fine, fine))
            for fine, _ in upward
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, f, 2, stride=2) for f, c in upward)
        self.heads = nn.ModuleList(nn.Conv2d(fine, num_classes, 1) for fine, _ in upward[1:])
        self._initialise()

    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, ResidualBlock):
                nn.init.zeros_(layer.last_norm.weight)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; those of strides 2, 4 and so on are auxiliary."""
        check_image(image_BCHW)
        features_BCHW = self.stem(image_BCHW)
        skips: list[Tensor] = []
        for down in self.down:
            features_BCHW = down(features_BCHW)
            skips.append(features_BCHW)
        features_BCHW = skips.pop()
        levels: list[Tensor] = []
        for up, merge in zip(self.up, self.merge, strict=True):
            features_BCHW = merge(torch.cat((up(features_BCHW), skips.pop()), dim=1))
            levels.append(features_BCHW)
        maps = [head(level) for head, level in zip(self.heads, levels[1:], strict=True)][::-1]
        auxiliary = tuple(
            enlarge_bilinear(item, 2**level, align_corners=False)
            for level, item in enumerate(maps[1:], start=1)
        )
        weights = tuple(0.5**level for level in range(1, len(maps)))
        return SegmentationOutput(maps[0], auxiliary, weights=weights)


def build(num_classes: int, *, stages: int) -> nn.Module:
    """Builds the plain network; with 6 stages it has 20,618,148 parameters."""
    return NNUNet(num_classes, stages, residual=False)


def build_residual(num_classes: int, *, stages: int) -> nn.Module:
    """Builds the network with a residual encoder; with 6 stages it has 71,815,652 parameters."""
    return NNUNet(num_classes, stages, residual=True)
