"""DUCK-Net (Dumitru et al., Scientific Reports 13, 2023, doi 10.1038/s41598-023-36940-5)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from workers.models.blocks import DilatedConv2d
from workers.models.output import SegmentationOutput, check_image

_NUM_LEVELS = 5


def _norm(channels: int) -> nn.BatchNorm2d:
    """Returns batch norm with Keras' defaults; its momentum 0.99 is 0.01 in torch's terms."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _he_uniform(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
    return _without_bias(conv)


def _glorot_uniform(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.xavier_uniform_(conv.weight)
    return _without_bias(conv)


def _without_bias(conv: nn.Conv2d) -> nn.Conv2d:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _halving_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return _glorot_uniform(nn.Conv2d(in_channels, out_channels, 2, stride=2))


def _conv_relu_norm(in_channels: int, out_channels: int, *, dilation: int = 1) -> nn.Sequential:
    """Returns a 3x3 convolution, ReLU and batch norm: in this order."""
    convolution = nn.Conv2d if dilation == 1 else DilatedConv2d
    conv = convolution(in_channels, out_channels, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(_he_uniform(conv), nn.ReLU(), _norm(out_channels))


def _scope(in_channels: int, out_channels: int, num_convs: int) -> nn.Sequential:
    """Returns 3x3 convolutions of dilation 1, 2, ... in series."""
    widths = [in_channels] + [out_channels] * (num_convs - 1)
    return nn.Sequential(
        *(_conv_relu_norm(width, out_channels, dilation=k) for k, width in enumerate(widths, 1))
    )


def _separated(in_channels: int, out_channels: int) -> nn.Sequential:
    """Returns a 1x6 and a 6x1 convolution.

    An even kernel has no centre: Keras' "same" puts 2 zeros before and 3 behind.
    """
    return nn.Sequential(
        nn.ZeroPad2d((2, 3, 0, 0)),
        _he_uniform(nn.Conv2d(in_channels, out_channels, (1, 6))),
        nn.ReLU(),
        _norm(out_channels),
        nn.ZeroPad2d((0, 0, 2, 3)),
        _he_uniform(nn.Conv2d(out_channels, out_channels, (6, 1))),
        nn.ReLU(),
        _norm(out_channels),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside ReLU of a 1x1 convolution; batch norm on the sum."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.shortcut = _he_uniform(nn.Conv2d(in_channels, out_channels, 1))
        self.main = nn.Sequential(
            _conv_relu_norm(in_channels, out_channels), _conv_relu_norm(out_channels, out_channels)
        )
        self.norm = _norm(out_channels)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns `out_channels` maps of the same height and width."""
        total_BCHW = self.main(features_BCHW) + relu(self.shortcut(features_BCHW))
        normed_BCHW: Tensor = self.norm(total_BCHW)
        return normed_BCHW


def _residuals(in_channels: int, out_channels: int, num_blocks: int) -> nn.Sequential:
    widths = [in_channels] + [out_channels] * (num_blocks - 1)
    return nn.Sequential(*(ResidualBlock(width, out_channels) for width in widths))


class DUCKBlock(nn.Module):
    """Six branches of different reach in parallel, summed between two batch norms."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm_in = _norm(in_channels)
        self.branches = nn.ModuleList(
            [
                _scope(in_channels, out_channels, 3),
                _scope(in_channels, out_channels, 2),
                _residuals(in_channels, out_channels, 1),
                _residuals(in_channels, out_channels, 2),
                _residuals(in_channels, out_channels, 3),
                _separated(in_channels, out_channels),
            ]
        )
        self.norm_out = _norm(out_channels)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns `out_channels` maps of the same height and width."""
        features_BCHW = self.norm_in(features_BCHW)
        first, *others = self.branches
        total_BCHW = first(features_BCHW)
        for branch in others:
            total_BCHW = total_BCHW + branch(features_BCHW)
        normed_BCHW: Tensor = self.norm_out(total_BCHW)
        return normed_BCHW


class DownLevel(nn.Module):
    """Halves the features above, adds the image reduced to the same size, and goes on."""

    def __init__(self, in_channels: int, out_channels: int, block: nn.Module) -> None:
        super().__init__()
        self.halve = _halving_conv(in_channels, out_channels)
        self.block = block

    def forward(self, above_BCHW: Tensor, image_BCHW: Tensor) -> Tensor:
        """Returns features at half the height and width of `above_BCHW`."""
        features_BCHW: Tensor = self.block(self.halve(above_BCHW) + image_BCHW)
        return features_BCHW


class DUCKNet(nn.Module):
    """Five halvings; the linearly reduced image joins at each; skips are added, not concatenated.

    As in the authors' Keras code: convolution, ReLU and batch norm in this order, batch norm with
    Keras' eps 1e-3 and momentum, unequal padding of the separated convolutions, nearest-neighbour
    enlargement. He-uniform weights in the blocks, Glorot-uniform in strided and last convolutions
    (Keras' default), all biases zero. The logits before the authors'
    final sigmoid are returned.

    The coarsest map is 1/32 of the image: batch norm cannot train on one image of 32x32 pixels.

    Args:
        num_classes: Output channels.
        filters: Channels of the finest level; each level below has twice as many.
    """

    def __init__(self, num_classes: int, filters: int) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(_NUM_LEVELS + 1)]
        *_, wide, widest = widths
        bottom = nn.Sequential(*_residuals(widest, widest, 2), *_residuals(widest, wide, 2))
        sources = (3, *widths[1:-1])
        self.reduce_image = nn.ModuleList(
            _halving_conv(source, width) for source, width in zip(sources, widths[1:], strict=True)
        )
        self.stem = DUCKBlock(3, filters)
        self.down = nn.ModuleList(
            DownLevel(width // 2, width, DUCKBlock(width, width)) for width in widths[1:-1]
        )
        self.down.append(DownLevel(wide, widest, bottom))
        self.up = nn.ModuleList(DUCKBlock(width, width // 2) for width in widths[-2:0:-1])
        self.up.append(DUCKBlock(filters, filters))
        self.head = _glorot_uniform(nn.Conv2d(filters, num_classes, 1))

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        features_BCHW = self.stem(image_BCHW)
        skips: list[Tensor] = []
        for reduce_image, down in zip(self.reduce_image, self.down, strict=True):
            skips.append(features_BCHW)
            image_BCHW = reduce_image(image_BCHW)
            features_BCHW = down(features_BCHW, image_BCHW)
        for up in self.up:
            fine_BCHW = interpolate(features_BCHW, scale_factor=2, mode="nearest")
            features_BCHW = up(fine_BCHW + skips.pop())
        return SegmentationOutput(self.head(features_BCHW))


def build(num_classes: int, *, filters: int) -> nn.Module:
    """Builds the network: 38,867,668 parameters with 17 filters, 155,303,507 with 34."""
    return DUCKNet(num_classes, filters)
