"""CaraNet (Lou et al., arXiv:2108.07368): context axial reverse attention on Res2Net-101."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from workers.models.output import SegmentationOutput, check_image
from workers.models.resampling import enlarge_bilinear
from workers.models.reverse_attention import ReverseAttention, conv_norm_prelu, resize

_WIDTH = 32
_BACKBONE = "res2net101d"


def res2net() -> nn.Module:
    """Builds timm's Res2Net-101 v1b 26w4s (Gao et al., arXiv:1904.01169) without its classifier.

    Initialisation is the authors': convolutions N(0, 2 / fan-out), batch norm 1 and 0; timm alone
    would start each block's last batch norm at zero.

    Returns:
        A module from (B, 3, H, W) to the list of maps at strides 8, 16 and 32, with 512, 1024 and
        2048 channels.
    """
    import timm

    return timm.create_model(
        _BACKBONE,
        pretrained=False,
        features_only=True,
        out_indices=(2, 3, 4),
        zero_init_last=False,
    )


def _enlarge(features_BCHW: Tensor) -> Tensor:
    return enlarge_bilinear(features_BCHW, 2, align_corners=True)


def _conv(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, bias=False)


class PartialDecoder(nn.Module):
    """Joins three maps of 32 channels to one coarse map at the finest one's size.

    Cascaded partial decoder (Wu et al., CVPR 2019, arXiv:1904.08739), here of bare convolutions:
    no bias except in the last, no norm, no activation. Up-sampling is bilinear with align_corners
    True, by 4 as twice by 2. The product of three unnormalised maps lets the logits of an untrained
    network reach 1e12 in eval mode.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        width = _WIDTH
        self.enlarged = nn.ModuleList(_conv(width) for _ in range(4))
        self.enlarged_join = _conv(2 * width)
        self.join_two = _conv(2 * width)
        self.join_three = _conv(3 * width)
        self.mix = _conv(3 * width)
        self.head = nn.Conv2d(3 * width, num_classes, 1)

    def forward(self, fine_BCHW: Tensor, middle_BCHW: Tensor, deep_BCHW: Tensor) -> Tensor:
        """Returns logits at the size of the finest map.

        Args:
            fine_BCHW: Features at stride 8.
            middle_BCHW: Features at stride 16.
            deep_BCHW: Features at stride 32.
        """
        deep_by_2_BCHW = _enlarge(deep_BCHW)
        to_middle, deep_to_fine, middle_to_fine, beside_middle = self.enlarged
        gated_middle_BCHW = to_middle(deep_by_2_BCHW) * middle_BCHW
        gated_fine_BCHW = (
            deep_to_fine(_enlarge(deep_by_2_BCHW))
            * middle_to_fine(_enlarge(middle_BCHW))
            * fine_BCHW
        )
        two_BCHW = self.join_two(
            torch.cat((gated_middle_BCHW, beside_middle(deep_by_2_BCHW)), dim=1)
        )
        three_BCHW = self.join_three(
            torch.cat((gated_fine_BCHW, self.enlarged_join(_enlarge(two_BCHW))), dim=1)
        )
        return cast(Tensor, self.head(self.mix(three_BCHW)))


class CaraNet(nn.Module):
    """Res2Net maps reduced to 32 channels, a coarse map, and its refinement at three levels.

    Kept from the authors' code because it changes numbers: the plain view in axial attention (both
    attentions act along the width of a square map, see `AxisAttention`), batch norm of eps 1e-3
    with PReLU also on the one-channel result of reverse attention, and resizing with align_corners
    True in the partial decoder but False everywhere else.

    Not built: the backbone's classifier, 2,049,000 parameters that never run; of the 46,642,560 of
    the authors' model 44,593,560 remain.

    Initialisation: the backbone as in `res2net`, the gains of axial attention zero, PReLU 0.25,
    all else torch's default, as in the authors' code with random weights.

    A training batch of one works except for an image of 32x32, which the backbone reduces to one
    value per channel.

    Args:
        num_classes: Output channels.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = res2net()
        self.reductions = nn.ModuleList(
            conv_norm_prelu(channels, _WIDTH) for channels in (512, 1024, 2048)
        )
        self.decoder = PartialDecoder(num_classes)
        self.refinement = ReverseAttention((_WIDTH,) * 3, num_classes, residual=False)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits of the finest refinement; those of strides 16, 32 and the coarse map."""
        check_image(image_BCHW)
        levels = [
            reduce(features_BCHW)
            for reduce, features_BCHW in zip(
                self.reductions, self.backbone(image_BCHW), strict=True
            )
        ]
        coarse_BKHW = self.decoder(*levels)
        maps = (*self.refinement(levels, coarse_BKHW), coarse_BKHW)
        logits_BKHW, *auxiliary = (resize(m, *image_BCHW.shape[2:]) for m in maps)
        return SegmentationOutput(logits_BKHW, tuple(auxiliary))


def build(num_classes: int) -> nn.Module:
    """Builds the network: 44,593,560 parameters with one class."""
    return CaraNet(num_classes)
