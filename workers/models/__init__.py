"""The networks: one file per architecture, built by name from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from workers.catalogue import load
from workers.catalogue.models import MODELS, complete_model
from workers.catalogue.weights import Weights
from workers.contract import DEFAULT_CACHE, Component
from workers.models.output import SegmentationOutput
from workers.models.pretrained import load_weights
from workers.models.resampling import replace_layers
from workers.weights import weight_files as find_weight_files

__all__ = ["SegmentationOutput", "build_model"]


def build_model(
    name: str,
    num_classes: int = 1,
    *,
    weight_files: Sequence[tuple[Weights, Path]] | None = None,
    **parameters: Any,  # noqa: ANN401 - checked by the catalogue
) -> nn.Module:
    """Builds a network with random weights drawn from torch's global generator only.

    With the option `pretrained`, the backbone is then filled from files of weights: those at a
    given path, or with `true` those of the hub, which are stored in the default cache folder.

    Args:
        name: Name in the catalogue.
        num_classes: Output channels: 1 for a binary mask.
        weight_files: The files, if they were found already (`workers.weights`).
        parameters: Options of the model; an option that is not given takes its default.

    Returns:
        A module from (B, 3, H, W), H and W multiples of 32, to a `SegmentationOutput`. Its
        forward pass raises ValueError for an image of another shape.

    Raises:
        CatalogueError: The name or a parameter is unknown or refused.
        UserError: smp does not have the encoder, the encoder does not fit this network, or weights
            are missing or do not fit.
        ValueError: `num_classes` is below 1.
    """
    if num_classes < 1:
        msg = f"num_classes is {num_classes}; a model has at least one output channel"
        raise ValueError(msg)
    name, complete = complete_model(name, parameters)
    pretrained = complete.pop("pretrained", False)
    if weight_files is None:
        given = pretrained if isinstance(pretrained, str) else None
        asked = Component(name=name, parameters=complete | {"pretrained": pretrained})
        weight_files = find_weight_files(asked, given, Path(DEFAULT_CACHE).expanduser())
    network = cast(nn.Module, load(MODELS[name].build)(num_classes, **complete))
    replace_layers(network)
    for weights, file in weight_files:
        load_weights(network, weights, file)
    return network
