"""EMCADNet (Rahman et al., arXiv:2405.06880): PVTv2 encoder, multi-scale attention decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from workers.models.backbones import pvt_v2, pyramid_widths
from workers.models.blocks import conv_norm_act
from workers.models.output import SegmentationOutput, check_image
from workers.models.resampling import global_maximum, resize_bilinear

Variant = Literal["B0", "B2"]

_DROP_PATH_RATE = 0.1
_REDUCTION = 16
_INITIAL_STD = 0.02


class ChannelAttention(nn.Module):
    """Scales channels by the sigmoid of one small network on their means plus on their maxima.

    The paper's CAB: two bias-free 1x1 convolutions with ReLU between, reduction 16.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(channels, channels // _REDUCTION, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // _REDUCTION, channels, 1, bias=False),
        )

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns the scaled features, of the same shape."""
        mean_BC11 = self.gate(adaptive_avg_pool2d(features_BCHW, 1))
        maximum_BC11 = self.gate(global_maximum(features_BCHW))
        gate_BC11 = torch.sigmoid(mean_BC11 + maximum_BC11)
        return features_BCHW * gate_BC11


class SpatialAttention(nn.Module):
    """Scales pixels by the sigmoid of a 7x7 convolution of the channels' mean and maximum.

    The paper's SAB; the convolution has no bias.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns the scaled features, of the same shape."""
        mean_B1HW = features_BCHW.mean(dim=1, keepdim=True)
        maximum_B1HW = features_BCHW.max(dim=1, keepdim=True).values
        gate_B1HW = self.gate(torch.cat((mean_B1HW, maximum_B1HW), dim=1))
        return features_BCHW * torch.sigmoid(gate_B1HW)


class MultiScaleConvolution(nn.Module):
    """Inverted bottleneck with depthwise kernels of 1, 3 and 5 side by side, plus the input.

    The paper's MSCB: 1x1 convolution to twice the channels; the three scales, summed; channel
    shuffle in as many groups as the input has channels; 1x1 convolution back. Batch norm after
    every convolution, no biases, ReLU6 where an activation follows (the authors' training script
    passes it; the default of their class is ReLU).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 2 * channels
        relu6 = partial(conv_norm_act, activation=nn.ReLU6)
        self.expand = relu6(channels, hidden, kernel_size=1)
        self.scales = nn.ModuleList(
            relu6(hidden, hidden, kernel_size=size, groups=hidden) for size in (1, 3, 5)
        )
        self.shuffle = nn.ChannelShuffle(channels)
        self.project = conv_norm_act(hidden, channels, kernel_size=1, activation=None)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns features of the same shape."""
        hidden_BCHW = self.expand(features_BCHW)
        small_BCHW, middle_BCHW, large_BCHW = (scale(hidden_BCHW) for scale in self.scales)
        shuffled_BCHW = self.shuffle(small_BCHW + middle_BCHW + large_BCHW)
        projected_BCHW: Tensor = self.project(shuffled_BCHW)
        return features_BCHW + projected_BCHW


class AttentionGate(nn.Module):
    """Scales the pixels of a skip by a gate computed from it and from the map coming up.

    The paper's LGAG: grouped 3x3 convolutions (two channels in, one out; with bias) and batch
    norm of each, ReLU of the sum, 1x1 convolution to one channel, batch norm, sigmoid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        half = partial(conv_norm_act, channels, hidden, groups=hidden, bias=True, activation=None)
        self.rising = half()
        self.skip = half()
        self.gate = nn.Sequential(
            nn.ReLU(),
            *conv_norm_act(hidden, 1, kernel_size=1, bias=True, activation=nn.Sigmoid),
        )

    def forward(self, rising_BCHW: Tensor, skip_BCHW: Tensor) -> Tensor:
        """Returns the scaled skip, of the same shape."""
        gate_B1HW: Tensor = self.gate(self.rising(rising_BCHW) + self.skip(skip_BCHW))
        return skip_BCHW * gate_B1HW


class DecoderStage(nn.Module):
    """Enlarges the map below, adds the gated skip, attends and convolves.

    The attention is an argument, because the stages share a part of it. Enlarging is the
    paper's EUCB: nearest up-sampling, depthwise 3x3 convolution, batch norm, ReLU, 1x1 convolution
    with bias. The original's channel shuffle there has one channel per group, so it changes
    nothing.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.enlarge = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            *conv_norm_act(in_channels, in_channels, groups=in_channels),
            nn.Conv2d(in_channels, channels, 1),
        )
        self.gate = AttentionGate(channels)
        self.convolution = MultiScaleConvolution(channels)

    def forward(
        self, below_BCHW: Tensor, skip_BCHW: Tensor, attend: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Returns features of the skip's shape."""
        enlarged_BCHW = self.enlarge(below_BCHW)
        merged_BCHW = enlarged_BCHW + self.gate(enlarged_BCHW, skip_BCHW)
        features_BCHW: Tensor = self.convolution(attend(merged_BCHW))
        return features_BCHW


def _initialise(decoder: nn.Module) -> None:
    """Draws kernels from N(0, 0.02^2), sets biases to 0; batch norm keeps torch's 1 and 0."""
    for layer in decoder.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=_INITIAL_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class EMCADDecoder(nn.Module):
    """Four stages, each with channel attention, spatial attention and multi-scale convolution.

    The stages share one spatial attention; everything else is their own.

    Args:
        widths: Channels of the encoder's maps and of the decoder's, deepest first.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.deepest = MultiScaleConvolution(widths[0])
        self.stages = nn.ModuleList(map(DecoderStage, widths[:-1], widths[1:]))
        self.channel_attention = nn.ModuleList(map(ChannelAttention, widths))
        self.spatial_attention = SpatialAttention()
        _initialise(self)

    def _attend(self, stage: int, features_BCHW: Tensor) -> Tensor:
        features_BCHW = self.channel_attention[stage](features_BCHW)
        return cast(Tensor, self.spatial_attention(features_BCHW))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Returns four maps of the shapes of `maps`, both deepest first."""
        decoded = [self.deepest(self._attend(0, maps[0]))]
        for number, (stage, skip_BCHW) in enumerate(zip(self.stages, maps[1:], strict=True), 1):
            decoded.append(stage(decoded[-1], skip_BCHW, partial(self._attend, number)))
        return decoded


class EMCADNet(nn.Module):
    """PVTv2 and the efficient multi-scale convolutional attention decoder, with four heads.

    Each head is a 1x1 convolution; its logits are brought to the size of the image bilinearly with
    align_corners False. The shallowest, p1, is the prediction; p4, p3 and p2 are auxiliary.

    The authors' class also has a stem for grey images (1x1 convolution and batch norm, 12
    parameters), which colour images never enter: it is not built, and the total with B2 is
    26,764,399 instead of 26,764,411: PVTv2-B2 24,849,856, decoder 1,913,515, heads 1,028.

    Stochastic depth in PVTv2 grows to 0.1. Initialisation: the backbone as timm's (`pvt_v2`);
    decoder N(0, 0.02^2), biases 0, batch norm 1 and 0; heads torch's default, as the authors
    leave them.

    Args:
        num_classes: Output channels.
        encoder_size: b0 to b5.
        mutation: Marks the output so that the loss is summed over every subset of the four maps
            (the paper's MUTATION; see `SegmentationOutput.supervised`).
    """

    def __init__(self, num_classes: int, encoder_size: str, *, mutation: bool) -> None:
        super().__init__()
        widths = pyramid_widths(encoder_size)[::-1]
        self.mutation = mutation
        self.backbone = pvt_v2(encoder_size, drop_path_rate=_DROP_PATH_RATE)
        self.decoder = EMCADDecoder(widths)
        self.heads = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in widths)

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns p1 as logits and p4, p3, p2 as auxiliary, all at input size."""
        check_image(image_BCHW)
        height, width = image_BCHW.shape[-2:]
        decoded = self.decoder(self.backbone(image_BCHW)[::-1])
        *auxiliary, logits_BCHW = (
            resize_bilinear(head(m), (height, width), align_corners=False)
            for head, m in zip(self.heads, decoded, strict=True)
        )
        return SegmentationOutput(logits_BCHW, tuple(auxiliary), mutation=self.mutation)


def build(num_classes: int, *, variant: Variant, mutation: bool) -> nn.Module:
    """Builds the network; parameters with one class: B0 3,916,783, B2 26,764,399."""
    return EMCADNet(num_classes, variant.lower(), mutation=mutation)
