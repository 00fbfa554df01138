"""Random initial weights of Podium's own networks; torch's global generator only."""

from __future__ import annotations

import math

from torch import nn


def he_normal(network: nn.Module) -> None:
    """Draws every convolution's kernel from N(0, 2 / fan-in) and sets its bias to zero.

    Fan-in is the number of inputs that meet in one output value (He et al., arXiv:1502.01852,
    eq. 10; Ronneberger et al., arXiv:1505.04597, section 3). Normalisation layers keep torch's
    weight 1 and bias 0.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            continue
        fan_in = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
        if isinstance(layer, nn.ConvTranspose2d):
            # Each output value sees one input position in stride^2.
            fan_in //= math.prod(layer.stride)
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_in))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
