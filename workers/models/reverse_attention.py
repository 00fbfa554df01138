"""Refinement that CaraNet and ColonFormer share: context, axial and reverse attention."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from workers.models.blocks import conv_norm_act
from workers.models.resampling import resize_bilinear

_EPS = 1e-3
_HIDDEN = 32
_QUERY_REDUCTION = 8
_DILATIONS = (9, 1, 3, 5)
"""In the order of the authors' state dict; `FeaturePyramid` sums from 1 to 9."""


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS)


def conv_norm_prelu(
    in_channels: int, out_channels: int, *, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Returns bias-free 3x3 convolution, batch norm of eps 1e-3, PReLU with a slope per channel."""
    return conv_norm_act(
        in_channels,
        out_channels,
        dilation=dilation,
        groups=groups,
        norm=_norm,
        activation=partial(nn.PReLU, out_channels),
    )


def resize(features_BCHW: Tensor, height: int, width: int) -> Tensor:
    """Returns the map at another size: bilinear, align_corners False."""
    return resize_bilinear(features_BCHW, (height, width), align_corners=False)


class FeaturePyramid(nn.Module):
    """Channel-wise feature pyramid (CFP; Lou and Loew, arXiv:2103.12212): four dilations, summed.

    A quarter of the channels passes through four branches of three grouped convolutions in series
    each. A branch joins the results of all its three; each branch adds the sum so far, and the
    four sums are joined, mixed and added to the input.

    Args:
        channels: Channels of input and output, a multiple of 16.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter, groups = channels // 4, channels // 16
        self.enter = nn.Sequential(_norm(channels), nn.PReLU(channels))
        self.leave = nn.Sequential(_norm(channels), nn.PReLU(channels))
        self.reduce = conv_norm_prelu(channels, quarter)
        self.branches = nn.ModuleList(
            nn.ModuleList(
                conv_norm_prelu(in_channels, out_channels, dilation=dilation, groups=groups)
                for in_channels, out_channels in itertools.pairwise(
                    (quarter, groups, groups, channels // 8)
                )
            )
            for dilation in _DILATIONS
        )
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns features of the same shape."""
        reduced_BCHW = self.reduce(self.enter(features_BCHW))
        widest, *others = (self._branch(layers, reduced_BCHW) for layers in self.branches)
        sums = itertools.accumulate((*others, widest))
        mixed_BCHW: Tensor = self.mix(self.leave(torch.cat(list(sums), dim=1)))
        return mixed_BCHW + features_BCHW

    @staticmethod
    def _branch(layers: nn.Module, features_BCHW: Tensor) -> Tensor:
        results: list[Tensor] = []
        for layer in layers.children():
            features_BCHW = layer(features_BCHW)
            results.append(features_BCHW)
        return torch.cat(results, dim=1)


class AxisAttention(nn.Module):
    """Attention with one LxL map for a whole image, L the length of one axis; gated, with a skip.

    Weights are the plain sigmoid of query times key, neither scaled nor normalised. The result
    is multiplied by a scalar that starts at zero.

    The authors' code separates the axis by a plain view of (B, C, H, W) as (B, -1, L), which folds
    memory in rows of L. In a square map L is the width for both axes, so that both
    attentions act along the width: the map is sigmoid(sum over channels c and rows h of
    q[c, h, i] k[c, h, j]). In another map the attention over the height mixes pixels of different
    columns. Both are kept, because trained weights depend on them.

    Args:
        channels: Channels of input and output.
        axis: The dimension whose length the view takes: 2 is height, 3 is width.
    """

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.gamma = nn.Parameter(torch.zeros(1))
        self.query = nn.Conv2d(channels, channels // _QUERY_REDUCTION, 1, bias=False)
        self.key = nn.Conv2d(channels, channels // _QUERY_REDUCTION, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns features of the same shape."""
        shape = (len(features_BCHW), -1, features_BCHW.shape[self.axis])
        # Unlike a view, reshape gives the same rows in the channels_last layout.
        query_BNL = self.query(features_BCHW).reshape(shape)
        key_BNL = self.key(features_BCHW).reshape(shape)
        value_BNL = self.value(features_BCHW).reshape(shape)
        weight_BLL = torch.sigmoid(query_BNL.mT @ key_BNL)
        attended_BCHW = (value_BNL @ weight_BLL.mT).reshape(features_BCHW.shape)
        result_BCHW: Tensor = self.gamma * attended_BCHW + features_BCHW
        return result_BCHW


def axial_attention(channels: int) -> nn.Sequential:
    """Returns two bias-free convolutions, 1x1 and 3x3, then attention over height and width."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        AxisAttention(channels, axis=2),
        AxisAttention(channels, axis=3),
    )


class ReverseAttention(nn.Module):
    """Refines one coarse map of logits at finer levels, in the regions that it marks as background.

    At each level, deepest first: the map so far is resized to the level; the level's features pass
    the feature pyramid and axial attention, are multiplied by 1 - sigmoid(map), and three
    convolutions turn them into logits that are added to the map. Batch norm and PReLU also follow
    the last of the three. With several classes, the factor is the minimum over the classes; with
    one class it is the authors' factor.

    Args:
        widths: Channels of the levels, finest first.
        num_classes: Channels of the maps.
        residual: Whether the input of axial attention is added to its output once more.
    """

    def __init__(self, widths: Sequence[int], num_classes: int, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.contexts = nn.ModuleList(FeaturePyramid(width) for width in widths)
        self.refinements = nn.ModuleList(
            nn.Sequential(
                conv_norm_prelu(width, _HIDDEN),
                conv_norm_prelu(_HIDDEN, _HIDDEN),
                conv_norm_prelu(_HIDDEN, num_classes),
            )
            for width in widths
        )
        self.attentions = nn.ModuleList(axial_attention(width) for width in widths)

    def forward(self, levels: Sequence[Tensor], coarse_BKHW: Tensor) -> list[Tensor]:
        """Returns the map after each level, at the level's size, finest first.

        Args:
            levels: Features (B, C, H, W), finest first.
            coarse_BKHW: The first map, K classes, at any size.
        """
        maps = [coarse_BKHW]
        stages = zip(levels, self.contexts, self.attentions, self.refinements, strict=True)
        for features_BCHW, to_context, attend, refine in reversed(list(stages)):
            prior_BKHW = resize(maps[0], *features_BCHW.shape[2:])
            context_BCHW = to_context(features_BCHW)
            attended_BCHW = attend(context_BCHW)
            if self.residual:
                attended_BCHW = attended_BCHW + context_BCHW
            reverse_B1HW = (1 - torch.sigmoid(prior_BKHW)).amin(dim=1, keepdim=True)
            maps.insert(0, refine(attended_BCHW * reverse_B1HW) + prior_BKHW)
        return maps[:-1]
