"""The networks: one file an architecture, built by name from the catalogue."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from workers.catalogue import load
from workers.catalogue.models import MODELS, complete_model
from workers.models.output import SegmentationOutput

__all__ = ["SegmentationOutput", "build_model"]


def build_model(name: str, num_classes: int = 1, **parameters: Any) -> nn.Module:  # noqa: ANN401 - checked by the catalogue
    """Builds a network with random weights drawn from torch's global generator only.

    Args:
        name: Name in the catalogue.
        num_classes: Output channels: 1 for a binary mask.
        parameters: Options of the model; what is left out takes its default.

    Returns:
        A module from (B, 3, H, W), H and W multiples of 32, to a `SegmentationOutput`. Its
        forward pass raises ValueError for an image of another shape.

    Raises:
        CatalogueError: The name or a parameter is unknown or refused.
        UserError: smp has no such encoder, or none that fits this network.
        ValueError: `num_classes` is below 1.
    """
    if num_classes < 1:
        msg = f"num_classes is {num_classes}; a model has at least one output channel"
        raise ValueError(msg)
    name, complete = complete_model(name, parameters)
    return cast(nn.Module, load(MODELS[name].build)(num_classes, **complete))
