"""The catalogue of datasets: one entry per dataset; the code is in workers/datasets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from workers.catalogue import CatalogueError, Options, complete_options, nearest
from workers.catalogue.entries import Catalogue
from workers.contract import JSONValue

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_VALUES = 'whole numbers such as [1, 2], or colours such as ["#ff0000"] or [[255, 0, 0]]'


class MaskOptions(BaseModel):
    """Which pixels of the masks are lesion, if Podium cannot decide it or decides it wrongly.

    Attributes:
        lesion: Values of the lesion: levels, indices of a coloured palette, or colours; every
            other value is background.
        threshold: Levels above this are lesion.
        channel: Channel that decides: the brightest colour, alpha, one colour, or a palette's
            index.
        inverted: The pixels that the other keys do not select are lesion.
    """

    lesion: tuple[int | str, ...] | None = None
    threshold: float | None = None
    channel: Literal["brightest", "alpha", "red", "green", "blue", "index"] | None = None
    inverted: bool | None = None

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("lesion", mode="before")
    @classmethod
    def _checked(cls, value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not value:
            msg = f"must be a list of {_VALUES}"
            raise ValueError(msg)
        values = {_mask_value(item) for item in value}
        if len({type(item) for item in values}) > 1:
            msg = f"must hold only numbers or only colours: {_VALUES}"
            raise ValueError(msg)
        return tuple(sorted(values, key=lambda item: (str(type(item)), item)))

    @field_validator("inverted", mode="before")
    @classmethod
    def _only_true(cls, value: object) -> object:
        if value is not None and not isinstance(value, bool):
            msg = "must be true or false"
            raise ValueError(msg)
        return value or None

    @field_validator("threshold", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, bool | str):
            msg = "must be a number, such as 127"
            raise ValueError(msg)  # noqa: TRY004 - what pydantic turns into its own
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> MaskOptions:
        if self.lesion is not None and self.threshold is not None:
            msg = "set lesion or threshold, not both"
            raise ValueError(msg)
        if self.lesion and isinstance(self.lesion[0], str) and self.channel:
            msg = "colours in lesion are compared as a whole: leave channel out"
            raise ValueError(msg)
        if (self.lesion, self.threshold, self.channel, self.inverted) == (None,) * 4:
            msg = "set lesion, threshold, channel or inverted"
            raise ValueError(msg)
        return self


def _mask_value(item: object) -> int | str:
    if isinstance(item, int) and not isinstance(item, bool):
        return item
    if isinstance(item, str) and _COLOUR.fullmatch(item):
        return item.lower()
    if (
        isinstance(item, list | tuple)
        and len(item) == 3
        and all(isinstance(level, int) and 0 <= level <= 255 for level in item)
    ):
        return "#" + "".join(f"{level:02x}" for level in item)
    msg = f"{item!r} is no value of a mask; name {_VALUES}"
    raise ValueError(msg)


class FileOptions(Options):
    """Options of every dataset in files: how masks are read; with null Podium decides."""

    later: ClassVar[frozenset[str]] = frozenset({"mask"})

    mask: dict[str, JsonValue] | None = None

    @field_validator("mask", mode="before")
    @classmethod
    def _complete(cls, value: object) -> object:
        if value is None:
            return None
        known = ", ".join(MaskOptions.model_fields)
        if not isinstance(value, Mapping) or not set(value) <= set(MaskOptions.model_fields):
            msg = f"must be a mapping with one or more of the keys {known}"
            raise ValueError(msg)
        return MaskOptions.model_validate(value).model_dump(mode="json", exclude_none=True)


class CvcOptions(FileOptions):
    """Which copy of the frames to read: both hold the same pixels; auto reads PNG if present."""

    format: Literal["auto", "png", "tif"] = "auto"


class FolderOptions(FileOptions):
    """The user's alias, which distinguishes two folders; set from the configuration."""

    label: str = ""


class SyntheticOptions(Options):
    """Number, random seed and native side in pixels of generated images."""

    num_images: int = Field(default=60, ge=5, le=100_000)
    seed: int = Field(default=0, ge=0)
    size: int = Field(default=96, ge=32, le=1024)


@dataclass(frozen=True, kw_only=True)
class DatasetEntry:
    """One dataset.

    Attributes:
        name: Name in configurations.
        title: Name in reports.
        open: `module:attribute`: a `Layout` for files, an `ImageGenerator` for generated data.
        options: Parameters it takes.
        kind: Whether it reads files or generates images.
        num_images: Usable image-mask pairs of the complete dataset; None if it varies.
        folder: Folder expected under the data root; None for generated data.
        source: Where to get it.
        citation: Reference to cite.
        licence: As stated by its authors.
        archives: Official archive names.
        label_is_identity: Whether the user's alias names the data, as for `folder`.
    """

    name: str
    title: str
    open: str
    options: type[Options] = FileOptions
    kind: Literal["files", "generated"] = "files"
    num_images: int | None
    folder: str | None
    source: str
    citation: str
    licence: str
    archives: tuple[str, ...] = ()
    label_is_identity: bool = False


def _busi(name: str, title: str, layout: str, num_images: int) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        title=title,
        open=f"workers.datasets.layouts.busi:{layout}",
        num_images=num_images,
        folder="Dataset_BUSI_with_GT",
        source="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        citation="Al-Dhabyani et al., Data in Brief 28:104863 (2020), "
        "doi 10.1016/j.dib.2019.104863",
        licence="CC0 or CC-BY, by mirror",
        archives=("Dataset_BUSI.zip",),
    )


_PUBLIC = (
    DatasetEntry(
        name="isic-2017",
        title="ISIC-2017",
        open="workers.datasets.layouts.isic:LAYOUT",
        num_images=2750,
        folder="ISIC-2017_{Training,Validation,Test_v2}_Data",
        source="https://challenge.isic-archive.com/data/#2017",
        citation="Codella et al., ISBI 2018, arXiv:1710.05006",
        licence="CC0 1.0",
        archives=tuple(
            f"ISIC-2017_{part}_{what}.zip"
            for part in ("Training", "Validation", "Test_v2")
            for what in ("Data", "Part1_GroundTruth")
        ),
    ),
    DatasetEntry(
        name="wound",
        title="Wound",
        open="workers.datasets.layouts.wound:LAYOUT",
        num_images=1010,
        folder="Foot Ulcer Segmentation Challenge",
        source="https://github.com/uwm-bigdata/wound-segmentation (folder data)",
        citation="Wang et al., Sci Rep 10:21897 (2020); Information 15:140 (2024), "
        "doi 10.3390/info15030140",
        licence="shared publicly by its authors",
        archives=("the repository wound-segmentation",),
    ),
    DatasetEntry(
        name="cvc-clinicdb",
        title="CVC-ClinicDB",
        open="workers.datasets.layouts.cvc:LAYOUT",
        options=CvcOptions,
        num_images=612,
        folder="CVC-ClinicDB",
        source="https://polyp.grand-challenge.org/CVCClinicDB/",
        citation="Bernal et al., Comput Med Imaging Graph 43:99-111 (2015), "
        "doi 10.1016/j.compmedimag.2015.02.007",
        licence="research and education only",
        archives=("CVC-ClinicDB.rar",),
    ),
    DatasetEntry(
        name="kvasir-seg",
        title="Kvasir-SEG",
        open="workers.datasets.layouts.kvasir:LAYOUT",
        num_images=1000,
        folder="Kvasir-SEG",
        source="https://datasets.simula.no/kvasir-seg/",
        citation="Jha et al., MMM 2020, arXiv:1911.07069",
        licence="research free, commercial use by permission",
        archives=("kvasir-seg.zip",),
    ),
    _busi("breast-benign", "Breast-Benign", "BENIGN", 437),
    _busi("breast-malignant", "Breast-Malignant", "MALIGNANT", 210),
    DatasetEntry(
        name="folder",
        title="Folder",
        open="workers.datasets.layouts.folder:LAYOUT",
        options=FolderOptions,
        num_images=None,
        folder="images/ and masks/",
        source="your own data",
        citation="none",
        licence="yours",
        label_is_identity=True,
    ),
)


def _synthetic(name: str, title: str, generator: str) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        title=title,
        open=f"workers.datasets.synthetic.{generator}",
        options=SyntheticOptions,
        kind="generated",
        num_images=None,
        folder=None,
        source="generated by Podium",
        citation="none",
        licence="Apache-2.0",
    )


_GENERATED = (
    _synthetic("synthetic-skin", "Synthetic Skin", "skin:GENERATOR"),
    _synthetic("synthetic-wound", "Synthetic Wound", "wound:GENERATOR"),
    _synthetic("synthetic-endoscopy-wide", "Synthetic Endoscopy Wide", "endoscopy:WIDE"),
    _synthetic("synthetic-endoscopy-close", "Synthetic Endoscopy Close", "endoscopy:CLOSE"),
    _synthetic("synthetic-ultrasound-benign", "Synthetic Ultrasound Benign", "ultrasound:BENIGN"),
    _synthetic(
        "synthetic-ultrasound-malignant", "Synthetic Ultrasound Malignant", "ultrasound:MALIGNANT"
    ),
)

DATASETS = Catalogue("podium.datasets", DatasetEntry, _PUBLIC + _GENERATED)


def complete_dataset(name: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, JSONValue]]:
    """Returns the name and complete parameters of a dataset.

    Raises:
        CatalogueError: The name or a parameter is unknown or refused.
    """
    if name not in DATASETS:
        raise CatalogueError(("name",), name, f"unknown dataset; {nearest(name, DATASETS)}")
    return name, complete_options(DATASETS[name].options, parameters)
