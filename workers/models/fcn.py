"""FCN-8s on VGG-16 (Long et al., arXiv:1411.4038), with padding that needs no crops."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workers.models.initialisation import he_normal
from workers.models.output import SegmentationOutput, check_image

_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_DROPOUT = 0.5


def _stage(in_channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.ReLU(inplace=True)]
        in_channels = width
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def bilinear_kernel(channels: int, size: int) -> Tensor:
    """Returns the (channels, channels, size, size) kernel that up-samples each channel alone.

    A transposed convolution with it, stride size / 2 and padding size / 4 interpolates bilinearly
    away from the border. `size` is a multiple of 4.
    """
    offset_K = (torch.arange(size) - (size - 1) / 2).abs()
    triangle_K = 1 - offset_K / (size / 2)
    tent_KK = triangle_K[:, None] * triangle_K[None, :]
    return torch.eye(channels)[:, :, None, None] * tent_KK


def _upsample(channels: int, factor: int) -> nn.ConvTranspose2d:
    size = 2 * factor
    return nn.ConvTranspose2d(channels, channels, size, factor, factor // 2, bias=False)


class FCN8s(nn.Module):
    """VGG-16 as a convolutional network, scored at strides 32, 16 and 8 and added up.

    Padding is 1 in every 3x3 convolution and 3 in the 7x7 one, where the 2015 recipe pads the
    image by 100 pixels and crops: the same parameters, a third of the work.

    Weights start as the paper's (section 4: score layers zero, up-sampling bilinear), except that
    the VGG part is not pretrained: it is drawn as in He et al. (see `he_normal`), which keeps the
    variance through its 15 layers without normalisation. As the scores start at zero, the first
    step moves only the score layers.

    Args:
        num_classes: Output channels.
        fc_width: Channels of the two layers that were fully connected in VGG-16.
    """

    def __init__(self, num_classes: int, fc_width: int = 4096) -> None:
        super().__init__()
        in_channels = (3, *(widths[-1] for widths in _VGG16[:-1]))
        self.stages = nn.ModuleList(
            _stage(channels, widths) for channels, widths in zip(in_channels, _VGG16, strict=True)
        )
        # Dropout2d: whole channels, as the units of a fully connected layer.
        self.fully_connected = nn.Sequential(
            nn.Conv2d(_VGG16[-1][-1], fc_width, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout2d(_DROPOUT),
            nn.Conv2d(fc_width, fc_width, 1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(_DROPOUT),
        )
        self.score_32 = nn.Conv2d(fc_width, num_classes, 1)
        self.score_16 = nn.Conv2d(_VGG16[3][-1], num_classes, 1)
        self.score_8 = nn.Conv2d(_VGG16[2][-1], num_classes, 1)
        self.up_32_to_16 = _upsample(num_classes, 2)
        self.up_16_to_8 = _upsample(num_classes, 2)
        self.up_8_to_1 = _upsample(num_classes, 8)
        self._initialise(num_classes)

    def _initialise(self, num_classes: int) -> None:
        he_normal(self)
        for score in (self.score_32, self.score_16, self.score_8):
            nn.init.zeros_(score.weight)
        for up in (self.up_32_to_16, self.up_16_to_8, self.up_8_to_1):
            with torch.no_grad():
                up.weight.copy_(bilinear_kernel(num_classes, up.kernel_size[0]))

    def forward(self, image_BCHW: Tensor) -> SegmentationOutput:
        """Returns logits at input size; no auxiliary outputs."""
        check_image(image_BCHW)
        pooled: list[Tensor] = []
        features_BCHW = image_BCHW
        for stage in self.stages:
            features_BCHW = stage(features_BCHW)
            pooled.append(features_BCHW)
        scores_BCHW = self.score_32(self.fully_connected(features_BCHW))
        scores_BCHW = self.up_32_to_16(scores_BCHW) + self.score_16(pooled[3])
        scores_BCHW = self.up_16_to_8(scores_BCHW) + self.score_8(pooled[2])
        return SegmentationOutput(self.up_8_to_1(scores_BCHW))


def build(num_classes: int) -> nn.Module:
    """Builds the network: 134,265,699 parameters with one output channel."""
    return FCN8s(num_classes)
