"""The catalogue of models: one entry per architecture; the code is in workers/models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.catalogue import CatalogueError, Options, complete_options, nearest
from workers.catalogue.code_files import Call
from workers.catalogue.encoders import LEAST_IMAGE_SIDE, least_image_side
from workers.catalogue.entries import Catalogue
from workers.catalogue.model_options import (
    BackboneOptions,
    ColonFormerOptions,
    DeepLabV3PlusOptions,
    DUCKNetOptions,
    EMCADOptions,
    ESFPNetOptions,
    FANetOptions,
    FrozenViTOptions,
    NNUNetOptions,
    NoOptions,
    SMPOptions,
    UNetOptions,
    UNetPlusPlusOptions,
)
from workers.catalogue.weights import (
    Weights,
    encoder_weights,
    fat_net_weights,
    frozen_vit_weights,
    mix_transformer_weights,
    pvt_v2_weights,
    res2net_weights,
    vgg16_weights,
)
from workers.contract import JSONValue

Parameters = Mapping[str, JSONValue]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A further form of an architecture, with its measured size.

    Attributes:
        options: Options that differ from the default.
        parameters: Trainable parameters, one output channel.
        gmacs_224: Multiply-adds of one 1x3x224x224 forward pass, in 1e9.
    """

    options: Parameters
    parameters: int
    gmacs_224: float


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One architecture with its default variant's measured size.

    Attributes:
        build: `module:function` that builds the network from (num_classes, **parameters).
        parameters: Trainable parameters of the default variant, one output channel.
        gmacs_224: Multiply-adds of one 1x3x224x224 forward pass, in 1e9.
        variants: Other forms whose size is known.
        min_train_batch: Least images per training step at any size: 2 where batch norm sees 1x1
            maps, as after a global pooling.
        single_image_from: Least image side for a batch of 1, if the batch may be 1: 64 where batch
            norm sees maps at stride 32.
        least_image_side: Least side of an image in pixels, by parameters.
        num_supervised: Maps that deep supervision trains beside the prediction, by parameters.
        weights: Files of pretrained weights that `pretrained` loads, by parameters; None for an
            architecture without pretrained weights.
        frozen_backbone: Whether the backbone is not trained, so that it needs pretrained weights to
            be of use.
    """

    name: str
    title: str
    build: str
    options: type[Options]
    parameters: int
    gmacs_224: float
    citation: str
    variants: tuple[Variant, ...] = ()
    min_train_batch: int = 1
    single_image_from: int = 32
    least_image_side: Callable[[Parameters], int] = field(
        default=lambda _: LEAST_IMAGE_SIDE, repr=False
    )
    num_supervised: Callable[[Parameters], int] = field(default=lambda _: 0, repr=False)
    weights: Callable[[Parameters], tuple[Weights, ...]] | None = field(default=None, repr=False)
    frozen_backbone: bool = False


def _least_nnunet_side(options: Parameters) -> int:
    """Returns the side at which the coarsest map has 2x2 pixels: instance norm needs two."""
    return 1 << int(str(options["stages"]))


def _num_nnunet_maps(options: Parameters) -> int:
    """Returns the maps between the finest level and the coarsest of the decoder."""
    return int(str(options["stages"])) - 3


def _variant(parameters: int, gmacs_224: float, **options: JSONValue) -> Variant:
    return Variant(options=options, parameters=parameters, gmacs_224=gmacs_224)


_OWN = (
    ModelEntry(
        name="fcn",
        title="FCN",
        build="workers.models.fcn:build",
        options=BackboneOptions,
        parameters=134_265_699,
        gmacs_224=21.21,
        citation="Long et al., CVPR 2015, arXiv:1411.4038",
        weights=vgg16_weights,
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
        variants=(
            _variant(22_437_457, 6.04, encoder="resnet34"),
            _variant(26_677_585, 7.00, encoder="resnet50"),
            _variant(45_669_713, 10.71, encoder="resnet101"),
        ),
        weights=encoder_weights,
    ),
    ModelEntry(
        name="unet",
        title="U-Net",
        build="workers.models.unet:build",
        options=UNetOptions,
        parameters=31_037_633,
        gmacs_224=36.88,
        citation="Ronneberger et al., MICCAI 2015, arXiv:1505.04597",
        variants=(
            _variant(24_436_369, 5.98, encoder="resnet34"),
            _variant(32_521_105, 8.14, encoder="resnet50"),
            _variant(23_756_689, 18.94, encoder="vgg16_bn"),
        ),
        weights=encoder_weights,
    ),
    ModelEntry(
        name="unetpp",
        title="U-Net++",
        build="workers.models.unetpp:build",
        options=UNetPlusPlusOptions,
        parameters=9_163_428,
        gmacs_224=26.41,
        citation="Zhou et al., DLMIA 2018, arXiv:1807.10165",
        variants=(
            _variant(9_163_329, 26.40, deep_supervision=False),
            _variant(26_078_609, 14.08, encoder="resnet34"),
            _variant(48_985_745, 43.98, encoder="resnet50"),
        ),
        num_supervised=lambda options: 3 if options["deep_supervision"] else 0,
        weights=encoder_weights,
    ),
    ModelEntry(
        name="colonsegnet",
        title="ColonSegNet",
        build="workers.models.colonsegnet:build",
        options=NoOptions,
        parameters=5_014_049,
        gmacs_224=30.16,
        citation="Jha et al., IEEE Access 2021, arXiv:2011.07631",
    ),
    ModelEntry(
        name="fat-net",
        title="FAT-Net",
        build="workers.models.fat_net:build",
        options=BackboneOptions,
        parameters=28_754_017,
        gmacs_224=22.92,
        citation="Wu et al., Med Image Anal 76 (2022), doi 10.1016/j.media.2021.102327",
        weights=fat_net_weights,
    ),
    ModelEntry(
        name="fcbformer",
        title="FCBFormer",
        build="workers.models.fcbformer:build",
        options=BackboneOptions,
        parameters=52_962_337,
        gmacs_224=29.87,
        citation="Sanderson and Matuszewski, MIUA 2022, arXiv:2208.08352",
        weights=lambda _: pvt_v2_weights("b3"),
    ),
    ModelEntry(
        name="colonformer",
        title="ColonFormer",
        build="workers.models.colonformer:build",
        options=ColonFormerOptions,
        parameters=52_944_528,
        gmacs_224=9.50,
        citation="Duc et al., IEEE Access 2022, arXiv:2205.08473",
        min_train_batch=2,
        variants=(_variant(33_068_688, 6.63, variant="S"),),
        num_supervised=lambda _: 3,
        weights=lambda options: mix_transformer_weights(
            {"S": "b2", "L": "b3"}[str(options["variant"])]
        ),
    ),
    ModelEntry(
        name="caranet",
        title="CaraNet",
        build="workers.models.caranet:build",
        options=BackboneOptions,
        parameters=44_593_560,
        gmacs_224=8.73,
        citation="Lou et al., SPIE Medical Imaging 2022, arXiv:2108.07368",
        num_supervised=lambda _: 3,
        weights=res2net_weights,
        single_image_from=64,
    ),
    ModelEntry(
        name="esfpnet",
        title="ESFPNet",
        build="workers.models.esfpnet:build",
        options=ESFPNetOptions,
        parameters=61_690_049,
        gmacs_224=9.16,
        citation="Chang et al., SPIE Medical Imaging 2023, arXiv:2207.07759",
        variants=(
            _variant(3_532_129, 0.514, variant="T"),
            _variant(25_043_649, 3.51, variant="S"),
        ),
        weights=lambda options: mix_transformer_weights(
            {"T": "b0", "S": "b2", "L": "b4"}[str(options["variant"])]
        ),
    ),
    ModelEntry(
        name="duck-net",
        title="DuckNet",
        build="workers.models.duck_net:build",
        options=DUCKNetOptions,
        parameters=38_867_668,
        gmacs_224=18.49,
        citation="Dumitru et al., Sci Rep 13 (2023), doi 10.1038/s41598-023-36940-5",
        variants=(_variant(155_303_507, 73.66, filters=34),),
        single_image_from=64,
    ),
    ModelEntry(
        name="emcad",
        title="EMCADNet",
        build="workers.models.emcad:build",
        options=EMCADOptions,
        parameters=26_764_399,
        gmacs_224=4.39,
        citation="Rahman et al., CVPR 2024, arXiv:2405.06880",
        variants=(_variant(3_916_783, 0.668, variant="B0"),),
        num_supervised=lambda options: 14 if options["mutation"] else 3,
        weights=lambda options: pvt_v2_weights(str(options["variant"]).lower()),
        single_image_from=64,
    ),
    ModelEntry(
        name="fanet",
        title="FANet",
        build="workers.models.fanet:build",
        options=FANetOptions,
        parameters=6_738_178,
        gmacs_224=155.19,
        citation="Tomar et al., IEEE TNNLS 2022, arXiv:2103.17235",
    ),
    ModelEntry(
        name="nnunet",
        title="nnU-Net",
        build="workers.models.nnunet:build",
        options=NNUNetOptions,
        parameters=20_618_148,
        gmacs_224=10.91,
        citation="Isensee et al., Nature Methods 18 (2021), arXiv:1904.08128",
        variants=(
            _variant(1_928_482, 7.06, stages=4),
            _variant(7_766_179, 9.24, stages=5),
        ),
        least_image_side=_least_nnunet_side,
        num_supervised=_num_nnunet_maps,
    ),
    ModelEntry(
        name="nnunet-resenc",
        title="nnU-Net ResEnc",
        build="workers.models.nnunet:build_residual",
        options=NNUNetOptions,
        parameters=71_815_652,
        gmacs_224=24.20,
        citation="Isensee et al., MICCAI 2024, arXiv:2404.09556",
        variants=(
            _variant(8_728_674, 15.46, stages=4),
            _variant(37_716_195, 21.83, stages=5),
        ),
        least_image_side=_least_nnunet_side,
        num_supervised=_num_nnunet_maps,
    ),
    ModelEntry(
        name="frozen-vit",
        title="Frozen ViT",
        build="workers.models.frozen_vit:build",
        options=FrozenViTOptions,
        parameters=2_738_849,
        gmacs_224=6.14,
        citation="Simeoni et al., 2025, arXiv:2508.10104 (DINOv3); Ranftl et al., ICCV 2021, "
        "arXiv:2103.13413 (DPT)",
        weights=frozen_vit_weights,
        frozen_backbone=True,
    ),
    ModelEntry(
        name="smp",
        title="smp (any)",
        build="workers.models.smp_network:build",
        options=SMPOptions,
        parameters=24_436_369,
        gmacs_224=5.98,
        citation="Iakubovskii, segmentation_models_pytorch, 2019",
        least_image_side=lambda options: least_image_side(str(options["architecture"])),
        weights=encoder_weights,
    ),
)


def _call(entry: ModelEntry) -> Call:
    options = tuple(key for key in entry.options.model_fields if key != "pretrained")
    return Call(
        reference=entry.build,
        positional=("num_classes",),
        keywords=options,
        options=entry.options,
    )


MODELS = Catalogue("podium.models", ModelEntry, _OWN, _call)


def complete_model(name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, JSONValue]]:
    """Returns the name and complete parameters of a model.

    Raises:
        CatalogueError: The name or a parameter is unknown or refused.
    """
    if name not in MODELS:
        raise CatalogueError(("name",), name, f"unknown model; {nearest(name, MODELS)}")
    complete = complete_options(MODELS[name].options, parameters)
    pretrained = complete.get("pretrained", False)
    if pretrained is not False:
        _check_weights(weights_of(name, complete), pretrained)
    return name, complete


def weights_of(name: str, parameters: Parameters) -> tuple[Weights, ...]:
    """Returns the files of weights that this form of a model can start from."""
    weights = MODELS[name].weights
    return weights(parameters) if weights else ()


def _check_weights(weights: tuple[Weights, ...], pretrained: JSONValue) -> None:
    path = ("parameters", "pretrained")
    if not weights:
        reason = (
            "the plain form has no pretrained weights; name an encoder, such as encoder: resnet34"
        )
        raise CatalogueError(path, pretrained, reason)
    for item in weights:
        if pretrained is True and item.hub is None:
            reason = f"Podium knows no weights of {item.name}; set `pretrained` to a state dict"
            raise CatalogueError(path, pretrained, reason)


def input_normalisation(name: str, parameters: Parameters) -> str | None:
    """Returns the input scaling that belongs to a model's weights.

    None means `data.normalisation`: the weights are random, or their scaling is not known.
    """
    if not parameters.get("pretrained", False):
        return None
    return next((item.normalisation for item in weights_of(name, parameters)), None)


def min_train_batch(name: str, parameters: Parameters, image_size: int) -> int:
    """Returns the least images of a training step, for images of a side in pixels.

    An encoder of smp or timm can reduce its map to 1x1; batch norm then needs two images.
    """
    entry = MODELS[name]
    if parameters.get("encoder") or image_size < entry.single_image_from:
        return max(2, entry.min_train_batch)
    return entry.min_train_batch


def num_supervised(name: str, parameters: Parameters) -> int:
    """Returns how many maps deep supervision trains beside the prediction."""
    return MODELS[name].num_supervised(parameters)
