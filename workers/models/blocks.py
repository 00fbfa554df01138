"""Building blocks of more than one architecture."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import relu


def conv_norm_act(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int = 3,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
    norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
    activation: Callable[[], nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Returns convolution, then norm and activation if given.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Edge of the square kernel.
        stride: Step of the kernel.
        padding: Zeros on every side; by default as many as keep the size at stride 1.
        dilation: Distance between the kernel's inputs.
        groups: Groups of channels that do not see each other.
        bias: Whether the convolution adds one.
        norm: Makes the layer after the convolution from its number of channels.
        activation: Makes the last layer.
    """
    padding = kernel_size // 2 * dilation if padding is None else padding
    convolution = nn.Conv2d if dilation == 1 else DilatedConv2d
    layers: list[nn.Module] = [
        convolution(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
    ]
    if norm is not None:
        layers.append(norm(out_channels))
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


class DilatedConv2d(nn.Conv2d):
    """A dilated convolution that a CPU computes in the contiguous layout.

    In channels_last and bfloat16 oneDNN's backward pass writes outside its memory if the
    channels are not a multiple of 16 (seen with torch 2.15): wrong gradients or a crash.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the convolved features."""
        weight: Tensor = self.weight
        if input.device.type == "cpu":
            input, weight = input.contiguous(), weight.contiguous()
        output: Tensor = self._conv_forward(input, weight, self.bias)
        return output


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate in (0, 1) computed from the channels' means.

    Hu et al., arXiv:1709.01507, section 3, with bias-free linear layers.

    Args:
        channels: Channels of input and output.
        reduction: Divides the width between the two linear layers.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns the scaled features, of the same shape."""
        gate_BC: Tensor = self.gate(features_BCHW.mean(dim=(2, 3)))
        return features_BCHW * gate_BC[:, :, None, None]


class AttendedShortcut(nn.Module):
    """Two 3x3 convolutions beside a 1x1 convolution with channel attention; ReLU of the sum.

    The residual block of ColonSegNet (Jha et al., arXiv:2011.07631) and FANet (Tomar et al.,
    arXiv:2103.17235).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        reduction: Divides the width inside the channel attention.
    """

    def __init__(self, in_channels: int, out_channels: int, *, reduction: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            conv_norm_act(in_channels, out_channels, bias=True),
            conv_norm_act(out_channels, out_channels, bias=True, activation=None),
        )
        self.shortcut = nn.Sequential(
            conv_norm_act(in_channels, out_channels, kernel_size=1, bias=True, activation=None),
            SqueezeExcite(out_channels, reduction=reduction),
        )

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Returns `out_channels` maps of the same height and width."""
        return relu(self.main(features_BCHW) + self.shortcut(features_BCHW))
