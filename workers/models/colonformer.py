"""ColonFormer (Duc et al., arXiv:2205.08473): MiT encoder, UPerNet head, reverse attention."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from workers.models.backbones import mix_transformer, mix_transformer_maps, pyramid_widths
from workers.models.blocks import conv_norm_act
from workers.models.output import SegmentationOutput, check_image
from workers.models.reverse_attention import ReverseAttention, resize

Variant = Literal["S", "L"]

_ENCODER_SIZES: dict[Variant, str] = {"S": "b2", "L": "b3"}
_WIDTH = 128
_BINS = (1, 2, 3, 6)
_DROPOUT = 0.1


class PyramidHead(nn.Module):
    """UPerNet (Xiao et al., arXiv:1807.10221): pyramid pooling, then a feature pyramid.

    The deepest map is pooled to 1, 2, 3 and 6 bins per side and joined with them. The next deeper
    map is added to each of the other maps, and all four are joined at the finest size. Every resize
    is bilinear with align_corners False. The authors add in place to the output of a ReLU, which
    torch no longer differentiates; the sum here is a new tensor.

    Initialisation as mmsegmentation's: convolutions N(0, 2 / fan-out), the last N(0, 0.01^2) with
    zero bias.

    Args:
        widths: Channels of the maps, finest first.
        num_classes: Output channels.
    """

    def __init__(self, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        *shallow, deepest = widths
        self.head = nn.Conv2d(_WIDTH, num_classes, 1)
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), conv_norm_act(deepest, _WIDTH, kernel_size=1))
            for bins in _BINS
        )
        self.join_pools = conv_norm_act(deepest + len(_BINS) * _WIDTH, _WIDTH)
        self.laterals = nn.ModuleList(conv_norm_act(w, _WIDTH, kernel_size=1) for w in shallow)
        self.smooth = nn.ModuleList(conv_norm_act(_WIDTH, _WIDTH) for _ in shallow)
        self.join_levels = conv_norm_act(len(widths) * _WIDTH, _WIDTH)
        self.dropout = nn.Dropout2d(_DROPOUT)
        self._initialise()

    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer is not self.head:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Returns logits at the size of the first map; maps are (B, C, H, W), finest first."""
        *shallow, deepest_BCHW = maps
        size = deepest_BCHW.shape[2:]
        pooled = [resize(pool(deepest_BCHW), *size) for pool in self.pools]
        deepest_BCHW = self.join_pools(torch.cat((deepest_BCHW, *pooled), dim=1))
        laterals = [
            lateral(features_BCHW)
            for lateral, features_BCHW in zip(self.laterals, shallow, strict=True)
        ]
        sums = list(itertools.accumulate(reversed(laterals), _add_resized, initial=deepest_BCHW))
        levels = [
            smooth(total_BCHW) for smooth, total_BCHW in zip(self.smooth, sums[:0:-1], strict=True)
        ]
        size = levels[0].shape[2:]
        joined_BCHW = torch.cat([resize(m, *size) for m in (*levels, deepest_BCHW)], dim=1)
        return cast(Tensor, self.head(self.dropout(self.join_levels(joined_BCHW))))


def _add_resized(coarse_BCHW: Tensor, fine_BCHW: Tensor) -> Tensor:
    return fine_BCHW + resize(coarse_BCHW, *fine_BCHW.shape[2:])


class ColonFormer(nn.Module):
    """A coarse map of UPerNet, refined by reverse attention on the three deepest encoder maps.

    Kept from the authors' code because it changes numbers: the plain view in axial attention (both
    attentions act along the width of a square map, see `AxisAttention`); a residual around axial
    attention that CaraNet does not have; batch norm of eps 1e-3 with PReLU also on the one-channel
    result of reverse attention (eps 1e-5 in the head); align_corners False everywhere. The
    refinement works on the encoder's own widths. Stochastic depth as in MiT, 0.1; channel dropout
    0.1 before the coarse map.

    Initialisation: the encoder as smp's (`mix_transformer`), the head as `PyramidHead`, the gains
    of axial attention zero, PReLU 0.25, all else torch's default.

    A training batch of one fails: pooling to one bin leaves batch norm one value per channel.

    Args:
        num_classes: Output channels.
        encoder_size: b1 to b5.
    """

    def __init__(self, num_classes: int, encoder_size: str) -> None:
        super().__init__()
        widths = pyramid_widths(encoder_size)
        self.backbone = mix_transformer(encoder_size)
        self.head = PyramidHead(widths, num_classes)
        self.refinement = ReverseAttention(widths[1:], num_classes, residual=True)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits of the finest refinement; those of strides 16, 32 and the coarse map."""
        check_image(image_BCHW)
        levels = mix_transformer_maps(self.backbone, image_BCHW)
        coarse_BKHW = self.head(levels)
        maps = (*self.refinement(levels[1:], coarse_BKHW), coarse_BKHW)
        logits_BKHW, *auxiliary = (resize(m, *image_BCHW.shape[2:]) for m in maps)
        return SegmentationOutput(logits_BKHW, tuple(auxiliary))


def build(num_classes: int, *, variant: Variant) -> nn.Module:
    """Builds the network; parameters with one class: S 33,068,688, L 52,944,528."""
    return ColonFormer(num_classes, _ENCODER_SIZES[variant])
