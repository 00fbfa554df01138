"""Pretrained backbones: the files of each network, their licences and input scaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from workers.catalogue import Options
from workers.catalogue.encoders import TIMM_PREFIX
from workers.contract import JSONValue

MeanStd = tuple[tuple[float, float, float], tuple[float, float, float]]

NORMALISATIONS: dict[str, MeanStd] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "dpn": ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
}
"""Mean and standard deviation of each channel of an image scaled to [0, 1]."""

_HEADS = (
    "head", "fc.", "_fc.", "classifier.", "last_linear.", "linear.", "conv_head.", "bn2.", "norm.",
)  # fmt: skip


def _check_pretrained(value: object) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and value.strip()):
        return value
    kind, message = "pretrained", "must be true, false or the path of a state dict"
    raise PydanticCustomError(kind, message)


Pretrained = Annotated[bool | str, PlainValidator(_check_pretrained)]


class PretrainedOptions(Options):
    """Weights of the backbone: random, the hub's, or those of a file."""

    later: ClassVar[frozenset[str]] = frozenset({"pretrained"})

    pretrained: Pretrained = False


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One file of weights.

    Attributes:
        name: Name given by its authors; a file of it is NAME.safetensors, .pth, .pt or .bin.
        hub: Repository of the Hugging Face hub whose `model.safetensors` it is; None if Podium
            knows none: then the user must give a file.
        attributes: Parts of the network that it fills completely. With one, its keys lie under
            it; with several, `adapt` says where.
        licence: Licence of the weights.
        normalisation: Input scaling that they were trained with, of `NORMALISATIONS`; None if it
            is not known: then `data.normalisation` is used.
        unused: Beginnings of keys that the network does not have: head and classifier.
        adapt: `module:function` that renames the state dict's keys; None leaves them.
    """

    name: str
    hub: str | None
    attributes: tuple[str, ...]
    licence: str
    normalisation: str | None = "imagenet"
    unused: tuple[str, ...] = _HEADS
    adapt: str | None = None

    @property
    def file(self) -> str:
        """Name under which the file is stored."""
        return f"{self.name}.safetensors"


_TORCHVISION = "BSD-3-Clause (torchvision)"
_NVIDIA = "NVIDIA Source Code License for SegFormer: non-commercial"
_META = "CC-BY-NC-4.0: non-commercial"
_DINO_V3 = "DINOv3 License (Meta)"
_CADENE = "BSD-3-Clause (pretrained-models.pytorch)"
_APACHE = "Apache-2.0"

_ADAPT = "workers.models.pretrained:"

# Encoders of smp whose usual weights are not NAME.imagenet.
_SMP_TAGS = {
    "dpn68b": "imagenet-5k",
    "dpn92": "imagenet-5k",
    "dpn107": "imagenet-5k",
    "resnext101_32x4d": "ssl",
    "resnext101_32x16d": "instagram",
    "resnext101_32x32d": "instagram",
    "resnext101_32x48d": "instagram",
}

# Licence by the beginning of an smp encoder's name, the first that fits.
_SMP_LICENCES = (
    *((name, _META) for name, tag in _SMP_TAGS.items() if tag in ("ssl", "instagram")),
    ("resnet", _TORCHVISION), ("resnext", _TORCHVISION), ("vgg", _TORCHVISION),
    ("densenet", _TORCHVISION), ("mobilenet", _TORCHVISION),
    ("mit_", _NVIDIA),
    ("efficientnet", f"{_APACHE} (EfficientNet-PyTorch)"),
    ("mobileone", "MobileOne licence (Apple)"),
    ("", _CADENE),
)  # fmt: skip

# timm networks whose weights Podium knows: (tag, licence, normalisation).
_TIMM: dict[str, tuple[str, str, str]] = {
    "xception65": ("tf_in1k", _APACHE, "half"),
    "resnet34": ("tv_in1k", _TORCHVISION, "imagenet"),
    "res2net101d": ("in1k", "not stated", "imagenet"),
    "pvt_v2_b0": ("in1k", _APACHE, "imagenet"),
    "pvt_v2_b2": ("in1k", _APACHE, "imagenet"),
    "pvt_v2_b3": ("in1k", _APACHE, "imagenet"),
    "deit_tiny_distilled_patch16_224": ("fb_in1k", _APACHE, "imagenet"),
    "vgg16": ("tv_in1k", _TORCHVISION, "imagenet"),
}


def timm_weights(
    network: str, *attributes: str, adapt: str | None = None, unused: tuple[str, ...] = ()
) -> Weights:
    """Returns the weights of a timm network; without hub and licence if Podium knows none."""
    tag, licence, normalisation = _TIMM.get(network, (None, "as their source states", None))
    return Weights(
        name=network if tag is None else f"{network}.{tag}",
        hub=None if tag is None else f"timm/{network}.{tag}",
        attributes=attributes,
        licence=licence,
        normalisation=normalisation,
        unused=(*_HEADS, *unused),
        adapt=None if adapt is None else _ADAPT + adapt,
    )


def smp_weights(encoder: str, *attributes: str) -> Weights:
    """Returns the usual weights of one of smp's own encoders."""
    name = f"{encoder}.{_SMP_TAGS.get(encoder, 'imagenet')}"
    normalisation = "imagenet"
    if encoder.startswith("dpn"):
        normalisation = "dpn"
    elif encoder.startswith(("inception", "xception")):
        normalisation = "half"
    return Weights(
        name=name,
        hub=f"smp-hub/{name}",
        attributes=attributes,
        licence=next(text for start, text in _SMP_LICENCES if encoder.startswith(start)),
        normalisation=normalisation,
        adapt=_ADAPT + "densenet" if encoder.startswith("densenet") else None,
    )


def encoder_weights(parameters: Mapping[str, JSONValue]) -> tuple[Weights, ...]:
    """Returns the weights of the option `encoder`; none for a network without one."""
    encoder = parameters.get("encoder")
    if not isinstance(encoder, str):
        return ()
    if encoder.startswith(TIMM_PREFIX):
        return (timm_weights(encoder.removeprefix(TIMM_PREFIX), "network.encoder.model"),)
    return (smp_weights(encoder, "network.encoder"),)


def vgg16_weights(_: Mapping[str, JSONValue]) -> tuple[Weights, ...]:
    """Returns VGG-16, whose first two fully connected layers become convolutions in FCN."""
    return (timm_weights("vgg16", "stages", "fully_connected", adapt="vgg16"),)


def fat_net_weights(_: Mapping[str, JSONValue]) -> tuple[Weights, ...]:
    """Returns ResNet-34 and DeiT, of which only patch embedding and blocks are used."""
    tokens = ("cls_token", "dist_token", "pos_embed")
    return (
        timm_weights("resnet34", "cnn"),
        timm_weights("deit_tiny_distilled_patch16_224", "transformer", unused=tokens),
    )


def pvt_v2_weights(size: str) -> tuple[Weights, ...]:
    """Returns PVTv2 of a size, b0 to b5."""
    return (timm_weights(f"pvt_v2_{size}", "backbone", adapt="pvt_v2"),)


def mix_transformer_weights(size: str) -> tuple[Weights, ...]:
    """Returns MiT of a size, b0 to b5, SegFormer's encoder."""
    return (smp_weights(f"mit_{size}", "backbone"),)


def res2net_weights(_: Mapping[str, JSONValue]) -> tuple[Weights, ...]:
    """Returns Res2Net-101 v1b."""
    return (timm_weights("res2net101d", "backbone"),)


def frozen_vit_weights(parameters: Mapping[str, JSONValue]) -> tuple[Weights, ...]:
    """Returns DINOv3's weights for its networks; Podium knows no weights of other transformers."""
    (weights,) = encoder_weights(parameters)
    if not weights.name.endswith("_patch16_dinov3"):
        return (weights,)
    name = f"{weights.name}.lvd1689m"
    return (
        replace(weights, name=name, hub=f"timm/{name}", licence=_DINO_V3, normalisation="imagenet"),
    )
