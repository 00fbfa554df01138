"""FANet (Tomar et al., IEEE TNNLS 2022, arXiv:2103.17235): a mask feeds back into every level."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from workers.models.blocks import AttendedShortcut, conv_norm_act
from workers.models.output import SegmentationOutput, check_image

_WIDTHS = (32, 64, 128, 256)
_LAST_WIDTH = 16
_GREY = (0.299, 0.587, 0.114)
_BLUR = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_NUM_LEVELS = 256


class MixPool(nn.Module):
    """Mixes features with the same features inside a mask (section III-B).

    The mask is the given one, joined with one that a small branch predicts from the features.
    A threshold cuts this branch off from the gradient, so its weights stay as they were drawn; they
    do not count as trainable.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.own_mask = nn.Sequential(
            conv_norm_act(channels, channels, bias=True), nn.Conv2d(channels, 1, 1)
        ).requires_grad_(False)
        self.inside = conv_norm_act(channels, channels // 2, bias=True)
        self.everywhere = conv_norm_act(channels, channels // 2, bias=True)

    def forward(self, features_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
        """Returns mixed features of the same shape; the mask is true or false, at full size."""
        with torch.no_grad():
            factor = mask_B1HW.shape[-1] // features_BCHW.shape[-1]
            pooled_B1HW = max_pool2d(mask_B1HW.float(), factor) > 0
            chosen_B1HW = pooled_B1HW | (self.own_mask(features_BCHW) > 0)
        inside_BCHW = self.inside(features_BCHW * chosen_B1HW)
        return torch.cat((inside_BCHW, self.everywhere(features_BCHW)), dim=1)


def _residual_blocks(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        AttendedShortcut(in_channels, out_channels, reduction=out_channels),
        AttendedShortcut(out_channels, out_channels, reduction=out_channels),
    )


class EncoderBlock(nn.Module):
    """Two residual blocks; their features are a skip, and mixed and pooled for the next block."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.blocks = _residual_blocks(in_channels, out_channels)
        self.mix = MixPool(out_channels)

    def forward(self, features_BCHW: Tensor, mask_B1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the skip at the incoming size, and the mixed features at half of it."""
        skip_BCHW = self.blocks(features_BCHW)
        return skip_BCHW, max_pool2d(self.mix(skip_BCHW, mask_B1HW), 2)


class DecoderBlock(nn.Module):
    """Enlarges a map, appends the skip, and mixes the features of two residual blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, in_channels, 4, stride=2, padding=1)
        self.blocks = _residual_blocks(2 * in_channels, out_channels)
        self.mix = MixPool(out_channels)

    def forward(self, features_BCHW: Tensor, skip_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
        """Returns features of the size of the skip, twice the incoming size."""
        joined_BCHW = torch.cat((self.up(features_BCHW), skip_BCHW), dim=1)
        mixed_BCHW: Tensor = self.mix(self.blocks(joined_BCHW), mask_B1HW)
        return mixed_BCHW


class FANet(nn.Module):
    """A U-Net of residual blocks whose features are gated by a mask of the same image.

    In the paper the mask is the network's prediction for this image after an earlier epoch, the
    last one that improved validation; in the first epoch it is Otsu's threshold of the image. A
    prediction for a test image starts from Otsu's threshold and is repeated ten times, each time
    with the mask of the time before.

    In Podium a network is a function of the image, so it has no memory of an epoch. In training the
    mask is therefore the prediction of the current weights from Otsu's threshold: a first pass
    without gradient, then the pass that is trained. Batch norm's running means see both passes.
    Evaluation is the paper's. Otsu's threshold is that of the normalised image. Weights start as
    torch's defaults, like theirs; the state dict has their order.

    Args:
        iterations: Passes of an evaluation; training has two, or one if this is one.
    """

    def __init__(self, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        pairs = list(itertools.pairwise(_WIDTHS))
        self.encoder = nn.ModuleList(EncoderBlock(*pair) for pair in ((3, _WIDTHS[0]), *pairs))
        upward = [*(pair[::-1] for pair in pairs[::-1]), (_WIDTHS[0], _LAST_WIDTH)]
        self.decoder = nn.ModuleList(DecoderBlock(*pair) for pair in upward)
        self.head = nn.Conv2d(_LAST_WIDTH + 1, 1, 1)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        mask_B1HW = otsu_mask(image_BCHW)
        passes = min(self.iterations, 2) if self.training else self.iterations
        with torch.no_grad():
            for _ in range(passes - 1):
                mask_B1HW = self.logits(image_BCHW, mask_B1HW) > 0
        return SegmentationOutput(self.logits(image_BCHW, mask_B1HW))

    def logits(self, image_BCHW: Tensor, mask_B1HW: Tensor) -> Tensor:
        """Returns the logits of one pass with a mask of true and false."""
        features_BCHW = image_BCHW
        skips: list[Tensor] = []
        for block in self.encoder:
            skip_BCHW, features_BCHW = block(features_BCHW, mask_B1HW)
            skips.append(skip_BCHW)
        for block in self.decoder:
            features_BCHW = block(features_BCHW, skips.pop(), mask_B1HW)
        last_BCHW = torch.cat((features_BCHW, mask_B1HW.to(features_BCHW.dtype)), dim=1)
        logits_BCHW: Tensor = self.head(last_BCHW)
        return logits_BCHW


@torch.no_grad()
def otsu_mask(image_BCHW: Tensor) -> Tensor:
    """Returns which pixels of the blurred grey image are above Otsu's threshold: (B, 1, H, W).

    The threshold of each image maximises the variance between both classes, over 256 grey levels
    from its darkest to its brightest pixel (Otsu 1979, doi 10.1109/TSMC.1979.4310076). Blur and
    grey values as in OpenCV, which the authors use: a 5x5 binomial kernel, mirrored at the border.
    An image of one grey value has no pixel above it.
    """
    red, green, blue = (weight * image_BCHW[:, i] for i, weight in enumerate(_GREY))
    grey_BHW = _blurred(_blurred((red + green + blue).float()).mT).mT
    grey_BN = grey_BHW.flatten(1)
    low_B1, high_B1 = grey_BN.aminmax(dim=1, keepdim=True)
    span_B1 = torch.where(high_B1 > low_B1, high_B1 - low_B1, 1.0)
    level_BN = ((grey_BN - low_B1) / span_B1 * (_NUM_LEVELS - 1)).round().long()
    # Counts of pixels up to each level without a histogram, which CUDA sums in any order.
    threshold_L = torch.arange(_NUM_LEVELS, device=image_BCHW.device)
    threshold_BL = threshold_L.expand(len(level_BN), -1).contiguous()
    up_to_BL = torch.searchsorted(level_BN.sort(dim=1).values, threshold_BL, right=True)
    sum_BL = threshold_L * up_to_BL - (up_to_BL.cumsum(dim=1) - up_to_BL)
    fraction_BL = up_to_BL.double() / level_BN.shape[1]
    mean_BL = sum_BL.double() / level_BN.shape[1]
    difference_BL = (mean_BL[:, -1:] * fraction_BL - mean_BL).square()
    variance_BL = difference_BL / (fraction_BL * (1 - fraction_BL))
    best_B1 = variance_BL.nan_to_num(0, posinf=0).argmax(dim=1, keepdim=True)
    return (level_BN > best_B1).view(grey_BHW.shape)[:, None]


def _blurred(grey_BHW: Tensor) -> Tensor:
    """Returns the image blurred along its width, by sums that do not depend on the layout."""
    width = grey_BHW.shape[-1]
    padded_BHW = pad(grey_BHW, (2, 2), mode="reflect")
    blurred_BHW = torch.zeros_like(grey_BHW)
    for start, weight in enumerate(_BLUR):
        blurred_BHW = blurred_BHW + weight * padded_BHW[..., start : start + width]
    return blurred_BHW


def build(num_classes: int, *, iterations: int) -> nn.Module:
    """Builds the network: 7,720,266 parameters, of which 6,738,178 are trained.

    Raises:
        ValueError: `num_classes` is not 1: the mask that feeds back is one channel.
    """
    if num_classes != 1:
        msg = f"num_classes is {num_classes}; FANet's feedback is one mask, so it has one channel"
        raise ValueError(msg)
    return FANet(iterations)
