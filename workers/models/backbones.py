"""Hierarchical vision transformers of timm and smp: four maps, random weights.

The libraries are imported inside the functions (see `workers.models.encoder`). A model keeps what
is built here under `self.backbone`, so that the library's own weights fit by name.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_NARROW = (32, 64, 160, 256)
_WIDE = (64, 128, 320, 512)


def pyramid_widths(size: str) -> tuple[int, int, int, int]:
    """Returns the channels at strides 4, 8, 16 and 32 of PVTv2 and MiT: narrow in b0 only."""
    return _NARROW if size == "b0" else _WIDE


def pvt_v2(size: str, *, drop_path_rate: float) -> nn.Module:
    """Builds timm's PVTv2 (Wang et al., arXiv:2106.13797) without its classifier.

    Weights start as in timm and the authors' code: linear layers truncated normal of std 0.02,
    convolutions N(0, 2 / fan-out), biases zero. LayerNorm's eps is 1e-6 around the blocks and
    1e-5 in patch embedding and attention.

    Args:
        size: b0 to b5.
        drop_path_rate: Chance to skip a residual branch in training; grows from 0 in the first
            block to this in the last.

    Returns:
        A module from (B, 3, H, W) to the list of four maps at strides 4, 8, 16 and 32.
    """
    import timm

    network: nn.Module = timm.create_model(
        f"pvt_v2_{size}", pretrained=False, features_only=True, drop_path_rate=drop_path_rate
    )
    return network


def mix_transformer(size: str) -> nn.Module:
    """Builds smp's MiT, the encoder of SegFormer (Xie et al., arXiv:2105.15203).

    Initialisation and eps as in `pvt_v2`; the drop-path rate is 0.1, as in SegFormer.

    Args:
        size: b0 to b5.

    Returns:
        A module from (B, 3, H, W) to smp's list, of which `mix_transformer_maps` takes the last
        four.
    """
    from segmentation_models_pytorch.encoders import get_encoder

    # smp reads its drop-path rates from a tensor, which the meta device does not fill.
    with torch.device("cpu"):
        encoder: nn.Module = get_encoder(f"mit_{size}", weights=None)
    return encoder.to(torch.get_default_device())


def mix_transformer_maps(encoder: nn.Module, image_BCHW: Tensor) -> list[Tensor]:
    """Returns the four maps at strides 4, 8, 16 and 32.

    smp's list begins with the image and an empty map at stride 2.
    """
    return cast(list[Tensor], encoder(image_BCHW)[2:])
