"""FAT-Net (Wu et al., Medical Image Analysis 76, 2022, doi 10.1016/j.media.2021.102327)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from workers.models.blocks import SqueezeExcite, conv_norm_act
from workers.models.output import SegmentationOutput, check_image

_TRANSFORMER = "deit_tiny_distilled_patch16_224"
_TOKEN_WIDTH = 192
_NUM_ADAPTATIONS = {64: 6, 128: 4, 256: 2}
"""Number of passes of a skip through its adaptation module, by its number of channels."""


class ResNet34Features(nn.Module):
    """torchvision's ResNet-34 without max-pool and classifier, under torchvision's names."""

    def __init__(self) -> None:
        from torchvision.models import resnet34

        super().__init__()
        network = resnet34(weights=None)
        self.conv1, self.bn1 = network.conv1, network.bn1
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns 64, 128, 256 and 512 channels at 1/2, 1/4, 1/8 and 1/16 of the size."""
        half_BCHW = self.layer1(relu(self.bn1(self.conv1(image_BCHW))))
        quarter_BCHW = self.layer2(half_BCHW)
        eighth_BCHW = self.layer3(quarter_BCHW)
        return half_BCHW, quarter_BCHW, eighth_BCHW, self.layer4(eighth_BCHW)


class DeiTTinyFeatures(nn.Module):
    """Patch embedding and blocks of timm's distilled DeiT-tiny, under timm's names.

    Without class token, distillation token, position embedding and final norm, as the authors
    use it: so any size that the patches tile will do.
    """

    def __init__(self) -> None:
        import timm

        super().__init__()
        network: Any = timm.create_model(_TRANSFORMER, pretrained=False)
        self.patch_embed, self.blocks = network.patch_embed, network.blocks

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Returns 192 channels at 1/16 of the size."""
        # The projection alone: the module around it insists on 224 pixels.
        patches_BCHW: Tensor = self.patch_embed.proj(image_BCHW)
        tokens_BNC: Tensor = self.blocks(patches_BCHW.flatten(2).transpose(1, 2))
        return tokens_BNC.transpose(1, 2).reshape(patches_BCHW.shape)


class FeatureAdaptation(nn.Module):
    """A 3x3 and a 1x1 convolution side by side, each with ReLU, summed; no norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns features of the same shape."""
        return relu(self.conv3(features_BCHW)) + relu(self.conv1(features_BCHW))


def _decoder_layer(in_channels: int, out_channels: int) -> nn.Sequential:
    """Returns a bottleneck of a quarter of the channels that doubles height and width."""
    narrow = in_channels // 4
    return nn.Sequential(
        conv_norm_act(in_channels, narrow, kernel_size=1, bias=True),
        nn.ConvTranspose2d(narrow, narrow, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
        conv_norm_act(narrow, out_channels, kernel_size=1, bias=True),
    )


class FATNet(nn.Module):
    """ResNet-34 and DeiT-tiny side by side, fused by channel attention, one decoder.

    Unexpected properties of the authors' code:

    - One adaptation module per skip, applied 6, 4 and 2 times with the same weights. As in their
      code, the state dict lists it once alone (`adaptation`) and again at every application.
    - The transformer gets no position embedding, so it takes any image size; their code is
      fixed to 224 by a reshape.
    - There is no max-pool of ResNet: the maps are at 1/2 to 1/16.
    - A fourth decoder layer that their code never calls (`decoder1`, 4,640 parameters) is not
      built: 28,754,017 parameters are their 28,758,657 minus these.

    Otherwise the order of the state dict is theirs. Weights start as torchvision's ResNet, timm's
    DeiT and torch's defaults. Backbones for pretrained weights: `cnn` (torchvision resnet34) and
    `transformer` (timm deit_tiny_distilled_patch16_224), each with its library's names.

    Args:
        num_classes: Output channels.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.cnn = ResNet34Features()
        self.transformer = DeiTTinyFeatures()
        self.widen = nn.Conv2d(_TOKEN_WIDTH, 512, 1)
        self.attention = SqueezeExcite(1024)
        self.fuse = nn.Conv2d(1024, 512, 1)
        self.adaptation = nn.ModuleList(FeatureAdaptation(width) for width in _NUM_ADAPTATIONS)
        self.adapt = nn.ModuleList(
            nn.Sequential(*[module] * times)
            for module, times in zip(self.adaptation, _NUM_ADAPTATIONS.values(), strict=True)
        )
        self.decode = nn.ModuleList(_decoder_layer(2 * width, width) for width in (256, 128, 64))
        self.head = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, num_classes, 3, padding=1),
        )

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        *skips, local_BCHW = self.cnn(image_BCHW)
        global_BCHW = self.widen(self.transformer(image_BCHW))
        both_BCHW = torch.cat((local_BCHW, global_BCHW), dim=1)
        features_BCHW = self.fuse(self.attention(both_BCHW))
        adapted = [adapt(skip) for adapt, skip in zip(self.adapt, skips, strict=True)]
        for decode in self.decode:
            features_BCHW = decode(features_BCHW) + adapted.pop()
        return SegmentationOutput(self.head(features_BCHW))


def build(num_classes: int) -> nn.Module:
    """Builds the network with random weights: 28,754,017 parameters for one class."""
    return FATNet(num_classes)
