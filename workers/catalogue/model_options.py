"""Options of each architecture, with defaults and bounds; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from workers.catalogue import Options
from workers.catalogue.encoders import check_architecture_name, check_encoder_name, misfit
from workers.catalogue.weights import PretrainedOptions

Architecture = Annotated[str, AfterValidator(check_architecture_name)]
Encoder = Annotated[str, AfterValidator(check_encoder_name)]
Size = Annotated[int, Field(gt=0, le=65_536)]
"""Channels or pixels; a larger number is a typing error that no machine could hold."""


class NoOptions(Options):
    """An architecture of one form, without pretrained weights."""


class BackboneOptions(PretrainedOptions):
    """An architecture of one form, with a pretrained backbone."""


class DeepLabV3PlusOptions(PretrainedOptions):
    """Any smp encoder that can be dilated.

    The paper's dilation rates at output stride 16 are (6, 12, 18); smp's own default is their
    double, which at 224 pixels reaches beyond the 14x14 map.
    """

    encoder: Encoder = "tu-xception65"
    atrous_rates: tuple[Size, Size, Size] = (6, 12, 18)


def _refuse_beside_encoder(values: Mapping[str, Any], *keys: str) -> None:
    """Refuses options of the plain form in a network with an smp encoder."""
    for key in keys:
        if values.get(key):
            kind, message = (
                "beside_encoder",
                "{key} belongs to the plain form and encoder to smp's form; set only one",
            )
            raise PydanticCustomError(kind, message, {"key": key})


class UNetOptions(PretrainedOptions):
    """Plain U-Net by width (default 64), or an smp encoder with smp's decoder; not both."""

    width: Size | None = None
    encoder: Encoder | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_form(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("encoder") is not None:
            _refuse_beside_encoder(values, "width")
            return values
        return values | {"width": 64 if values.get("width") is None else values["width"]}


class UNetPlusPlusOptions(PretrainedOptions):
    """Plain U-Net++ by width (default 32), or an smp encoder with smp's decoder; not both.

    `deep_supervision` adds three auxiliary heads to the plain form (default true); smp's form has
    none.
    """

    width: Size | None = None
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


class ColonFormerOptions(PretrainedOptions):
    """S has MiT-B2, L has MiT-B3."""

    variant: Literal["S", "L"] = "L"


class ESFPNetOptions(PretrainedOptions):
    """T has MiT-B0, S has MiT-B2, L has MiT-B4."""

    variant: Literal["T", "S", "L"] = "L"


class DUCKNetOptions(Options):
    """Filters of the finest level; 17 and 34 are the paper's."""

    filters: Size = 17


class EMCADOptions(PretrainedOptions):
    """B0 or B2 of PVTv2; `mutation` trains the sum of every subset of the four outputs.

    Without it the four outputs are trained by themselves.
    """

    variant: Literal["B0", "B2"] = "B2"
    mutation: bool = True


class SMPOptions(PretrainedOptions):
    """Any architecture and encoder of segmentation_models_pytorch."""

    architecture: Architecture = "Unet"
    encoder: Encoder = "resnet34"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        reason = misfit(self.architecture, self.encoder)
        if reason is not None:
            kind, message = "misfit", "encoder {encoder} does not fit {architecture}: it {reason}"
            context = {
                "encoder": self.encoder,
                "architecture": self.architecture,
                "reason": reason,
            }
            raise PydanticCustomError(kind, message, context)
        return self
