"""U-Net++ (Zhou et al., arXiv:1807.10165): the plain one, or smp's with an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workers.models.encoder import build_with_encoder
from workers.models.initialisation import he_normal
from workers.models.output import SegmentationOutput, check_image

_NUM_LEVELS = 5


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _node(level: int, column: int) -> str:
    return f"x{level}_{column}"


class UNetPlusPlus(nn.Module):
    """Nested U-Net: node X(level, column) sees all nodes left of it and the one below left.

    X(i, 0) = block(pool X(i-1, 0)); X(i, j) = block(X(i, 0..j-1), up X(i+1, j-1)) (eq. 1). The
    form with batch norm and bilinear up-sampling; weights as in `he_normal`.

    The prediction is the head on X(0, 4) alone (the paper's accurate mode would average all
    heads), so that it does not depend on whether the other heads exist.

    Args:
        num_classes: Output channels.
        width: Channels of the finest level; each level below has twice as many.
        deep_supervision: Adds heads on X(0, 1), X(0, 2) and X(0, 3).
    """

    def __init__(self, num_classes: int, width: int, *, deep_supervision: bool) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(_NUM_LEVELS)]
        above = [3, *widths[:-1]]
        self.nodes = nn.ModuleDict()
        for column in range(_NUM_LEVELS):
            for level in range(_NUM_LEVELS - column):
                in_channels = column * widths[level] + widths[level + 1] if column else above[level]
                self.nodes[_node(level, column)] = _block(in_channels, widths[level])
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        num_heads = _NUM_LEVELS - 1 if deep_supervision else 1
        self.heads = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for _ in range(num_heads))
        he_normal(self)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns the logits of X(0, 4); those of X(0, 1), X(0, 2), X(0, 3) are auxiliary."""
        check_image(image_BCHW)
        features_BCHW = image_BCHW
        levels: list[list[Tensor]] = []
        for level in range(_NUM_LEVELS):
            pooled_BCHW = self.pool(features_BCHW) if level else features_BCHW
            features_BCHW = self.nodes[_node(level, 0)](pooled_BCHW)
            levels.append([features_BCHW])
        for column in range(1, _NUM_LEVELS):
            # Finest level first, so that the last map of the level below is X(i+1, j-1).
            for level in range(_NUM_LEVELS - column):
                below_BCHW = self.up(levels[level + 1][-1])
                joined_BCHW = torch.cat((*levels[level], below_BCHW), dim=1)
                levels[level].append(self.nodes[_node(level, column)](joined_BCHW))
        scored = levels[0][-len(self.heads) :]
        *auxiliary, logits_BCHW = (h(x) for h, x in zip(self.heads, scored, strict=True))
        return SegmentationOutput(logits_BCHW, tuple(auxiliary))


def build(
    num_classes: int, *, width: int | None, deep_supervision: bool, encoder: str | None
) -> nn.Module:
    """Builds the plain network (width 32: 9,163,428 parameters), or smp's with an encoder.

    Raises:
        UserError: The encoder is unknown or does not fit.
        ValueError: Not exactly one of width and encoder is given.
    """
    if encoder is not None and width is None:
        return build_with_encoder("UnetPlusPlus", encoder, num_classes)
    if encoder is None and width is not None:
        return UNetPlusPlus(num_classes, width, deep_supervision=deep_supervision)
    msg = f"exactly one of width ({width}) and encoder ({encoder}) makes a U-Net++"
    raise ValueError(msg)
