"""The table of models: one entry an architecture; the code is in workers/models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from workers.catalogue import CatalogueError, Options, complete_options, nearest
from workers.catalogue.encoders import check_encoder_name
from workers.contract import JSONValue

Encoder = Annotated[str, AfterValidator(check_encoder_name)]


class FCNOptions(Options):
    """FCN-8s has one form only."""


class DeepLabV3PlusOptions(Options):
    """Any smp encoder that can be dilated.

    The paper's dilation rates at output stride 16 are (6, 12, 18); smp's own default is their
    double, which at 224 pixels reaches beyond the 14x14 map.
    """

    encoder: Encoder = "tu-xception65"
    atrous_rates: tuple[PositiveInt, PositiveInt, PositiveInt] = (6, 12, 18)


def _refuse_beside_encoder(values: Mapping[str, Any], *keys: str) -> None:
    """Options of the plain form say nothing about a network with an smp encoder."""
    for key in keys:
        if values.get(key):
            kind, message = (
                "beside_encoder",
                "{key} is of the plain form, encoder of smp's; give one",
            )
            raise PydanticCustomError(kind, message, {"key": key})


class UNetOptions(Options):
    """Plain U-Net by width (default 64), or an smp encoder with smp's decoder; not both."""

    width: PositiveInt | None = None
    encoder: Encoder | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("encoder") is not None:
            _refuse_beside_encoder(values, "width")
            return values
        return values | {"width": 64 if values.get("width") is None else values["width"]}


class UNetPlusPlusOptions(Options):
    """Plain U-Net++ by width (default 32), or an smp encoder with smp's decoder; not both.

    `deep_supervision` adds three auxiliary heads to the plain form (default true); smp's form has
    none.
    """

    width: PositiveInt | None = None
    deep_supervision: bool | None = None
    encoder: Encoder | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("encoder") is not None:
            _refuse_beside_encoder(values, "width", "deep_supervision")
            return values | {"deep_supervision": False}
        defaults = {"width": 32, "deep_supervision": True}
        return defaults | {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One architecture with its default variant's measured size.

    Attributes:
        build: `module:function` that builds the network from (num_classes, **parameters).
        parameters: Trainable parameters of the default variant, one output channel.
        gmacs_224: Multiply-adds of one 1x3x224x224 forward pass, in 1e9.
        min_train_batch: Least images per training step (2 where batch norm sees 1x1 maps).
    """

    name: str
    title: str
    build: str
    options: type[Options]
    parameters: int
    gmacs_224: float
    citation: str
    min_train_batch: int = 1


MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="fcn",
            title="FCN",
            build="workers.models.fcn:build",
            options=FCNOptions,
            parameters=134_265_699,
            gmacs_224=21.21,
            citation="Long et al., CVPR 2015, arXiv:1411.4038",
        ),
        ModelEntry(
            name="deeplabv3plus",
            title="DeepLab-V3+",
            build="workers.models.deeplabv3plus:build",
            options=DeepLabV3PlusOptions,
            parameters=41_036_865,
            gmacs_224=9.60,
            citation="Chen et al., ECCV 2018, arXiv:1802.02611",
            min_train_batch=2,
        ),
        ModelEntry(
            name="unet",
            title="U-Net",
            build="workers.models.unet:build",
            options=UNetOptions,
            parameters=31_037_633,
            gmacs_224=36.88,
            citation="Ronneberger et al., MICCAI 2015, arXiv:1505.04597",
        ),
        ModelEntry(
            name="unetpp",
            title="U-Net++",
            build="workers.models.unetpp:build",
            options=UNetPlusPlusOptions,
            parameters=9_163_428,
            gmacs_224=26.41,
            citation="Zhou et al., DLMIA 2018, arXiv:1807.10165",
        ),
    )
}


def complete_model(name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, JSONValue]]:
    """Returns the name and complete parameters of a model.

    Raises:
        CatalogueError: The name or a parameter is unknown or refused.
    """
    if name not in MODELS:
        raise CatalogueError(("name",), name, f"unknown model; {nearest(name, MODELS)}")
    return name, complete_options(MODELS[name].options, parameters)


def min_train_batch(name: str, parameters: Mapping[str, Any]) -> int:
    """Returns the least images of a training step.

    An encoder of smp or timm reduces a small image to 1x1, where batch norm needs two images.
    """
    return 2 if parameters.get("encoder") else MODELS[name].min_train_batch
