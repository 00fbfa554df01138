"""FCBFormer (Sanderson and Matuszewski, arXiv:2208.08352): transformer beside full-size branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from workers.models.backbones import pvt_v2, pyramid_widths
from workers.models.output import SegmentationOutput, check_image

_NUM_GROUPS = 32
_EMPHASIS_WIDTH = 64
_SKIPS_PER_LEVEL = 3
_LEVEL_WIDTHS = (32, 32, 64, 64, 128, 128)


class ResidualBlock(nn.Module):
    """Twice GroupNorm (32 groups), SiLU and 3x3 convolution, added to the input.

    Args:
        in_channels: Channels of the input; a 1x1 convolution brings them to `out_channels` on the
            shortcut where the two differ.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *self._convolution(in_channels, out_channels),
            *self._convolution(out_channels, out_channels),
        )
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    @staticmethod
    def _convolution(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
        return (
            nn.GroupNorm(_NUM_GROUPS, in_channels),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
        )

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns (B, out_channels, H, W)."""
        output_BCHW: Tensor = self.shortcut(features_BCHW) + self.body(features_BCHW)
        return output_BCHW


def _two_blocks(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(in_channels, out_channels), ResidualBlock(out_channels, out_channels)
    )


class PyramidDecoder(nn.Module):
    """Joins the transformer's four maps at stride 4, from deep to shallow.

    Each map is emphasised locally (two residual blocks to 64 channels) and brought to stride 4 by
    nearest up-sampling; the deepest is joined with the next shallower one by two more blocks, and
    so on (the paper's LE and SFA).

    Args:
        widths: Channels of the maps, shallowest first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        width = _EMPHASIS_WIDTH
        self.emphasis = nn.ModuleList(_two_blocks(channels, width) for channels in widths)
        # One per join, shallowest first, as in the original.
        self.aggregation = nn.ModuleList(_two_blocks(2 * width, width) for _ in widths[1:])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Returns (B, 64, H / 4, W / 4)."""
        size = maps[0].shape[-2:]
        emphasised = [
            interpolate(emphasise(features_BCHW), size, mode="nearest")
            for emphasise, features_BCHW in zip(self.emphasis, maps, strict=True)
        ]
        joined_BCHW = emphasised.pop()
        for aggregate in reversed(self.aggregation):
            joined_BCHW = aggregate(torch.cat((emphasised.pop(), joined_BCHW), dim=1))
        return joined_BCHW


class FullSizeBranch(nn.Module):
    """A U-Net of residual blocks at six levels that begins and ends at the size of the image.

    Every output on the way down (stem, each block, each strided convolution: 18 in all) is the
    skip of one of the 18 blocks on the way up (the paper's FCB).
    """

    def __init__(self) -> None:
        super().__init__()
        width = _LEVEL_WIDTHS[0]
        down: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
        skip_widths = [width]
        for level, level_width in enumerate(_LEVEL_WIDTHS):
            if level:
                down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skip_widths.append(width)
            down += _two_blocks(width, level_width)
            skip_widths += [level_width, level_width]
            width = level_width
        self.down = nn.ModuleList(down)
        self.bottom = _two_blocks(width, width)
        up: list[nn.Module] = []
        for level_width in _LEVEL_WIDTHS[::-1]:
            for _ in range(_SKIPS_PER_LEVEL):
                up.append(ResidualBlock(width + skip_widths.pop(), level_width))
                width = level_width
            if skip_widths:
                up.append(nn.Upsample(scale_factor=2, mode="nearest"))
                up.append(nn.Conv2d(width, width, 3, padding=1))
        self.up = nn.ModuleList(up)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Returns (B, 32, H, W)."""
        skips = [image_BCHW]
        for layer in self.down:
            skips.append(layer(skips[-1]))
        features_BCHW: Tensor = self.bottom(skips[-1])
        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                features_BCHW = torch.cat((features_BCHW, skips.pop()), dim=1)
            features_BCHW = layer(features_BCHW)
        return features_BCHW


class FCBFormer(nn.Module):
    """PVTv2-B3 with its decoder and the full-size branch, joined by a head of residual blocks.

    The transformer branch's map is brought to the size of the image by nearest up-sampling, not
    bilinear. The original fixes both sizes for 352 pixels; here they follow the image. Stochastic
    depth is off in PVTv2. 52,962,337 parameters: PVTv2-B3 44,725,696, its decoder 1,678,848
    (emphasis 1,098,432, aggregation 580,416), full-size branch 6,384,800, head 172,993.

    Initialisation: the backbone as timm's (`pvt_v2`), all else torch's default of each layer, as
    the authors leave it.

    Args:
        num_classes: Output channels.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = pvt_v2("b3", drop_path_rate=0.0)
        self.pyramid_decoder = PyramidDecoder(pyramid_widths("b3"))
        self.full_size_branch = FullSizeBranch()
        self.head = nn.Sequential(
            *_two_blocks(_EMPHASIS_WIDTH + _LEVEL_WIDTHS[0], _EMPHASIS_WIDTH),
            nn.Conv2d(_EMPHASIS_WIDTH, num_classes, 1),
        )

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        coarse_BCHW = self.pyramid_decoder(self.backbone(image_BCHW))
        coarse_BCHW = interpolate(coarse_BCHW, image_BCHW.shape[-2:], mode="nearest")
        fine_BCHW = self.full_size_branch(image_BCHW)
        return SegmentationOutput(self.head(torch.cat((coarse_BCHW, fine_BCHW), dim=1)))


def build(num_classes: int) -> nn.Module:
    """Builds the network: 52,962,337 parameters with one class."""
    return FCBFormer(num_classes)
