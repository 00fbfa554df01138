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


def _refuse_misfit(architecture: str, encoder: str) -> None:
    """Refuses an encoder that an architecture of smp cannot have."""
    reason = misfit(architecture, encoder)
    if reason is not None:
        kind, message = "misfit", "encoder {encoder} does not fit {architecture}: it {reason}"
        context = {"encoder": encoder, "architecture": architecture, "reason": reason}
        raise PydanticCustomError(kind, message, context)


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


class FANetOptions(Options):
    """Passes over a test image, each with the mask of the pass before; 10 are the authors'."""

    iterations: int = Field(default=10, ge=1, le=100)


class NNUNetOptions(Options):
    """Levels of the encoder; nnU-Net plans 6 for sides from 128 to 255 pixels, 5 from 64, 4 below.

    It would plan 7 from 256 pixels, whose sides would have to be multiples of 64.
    """

    stages: int = Field(default=6, ge=4, le=6)


class FrozenViTOptions(PretrainedOptions):
    """Any vision transformer of timm whose patches divide 32 pixels."""

    encoder: Encoder = "tu-vit_small_patch16_dinov3"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _refuse_misfit("DPT", self.encoder)
        return self


class SMPOptions(PretrainedOptions):
    """Any architecture and encoder of segmentation_models_pytorch."""

    architecture: Architecture = "Unet"
    encoder: Encoder = "resnet34"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _refuse_misfit(self.architecture, self.encoder)
        return self
