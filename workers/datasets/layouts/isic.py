"""ISIC-2017: dermoscopic images of skin lesions.

Source: https://challenge.isic-archive.com/data/#2017, archives
ISIC-2017_{Training,Validation,Test_v2}_Data.zip and the same with _Part1_GroundTruth.zip.
Citation: Codella et al., ISBI 2018, arXiv:1710.05006. Licence: CC0 1.0.
Counts: 2000 training, 150 validation, 600 test pairs; sizes up to 6748x4499.

Rules:
- All parts that are present are pooled: the study draws its own splits. Labels of a part whose
  images are absent, or the reverse, are reported as unpaired.
- An image is ISIC_nnnnnnn.jpg; `_superpixels.png` files and csv tables are not images.
  Its mask is ISIC_nnnnnnn_segmentation.png.
- Ids match without regard to case: the official page and the archive spell one file differently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from workers.datasets.layouts.layout import (
    Contents,
    Layout,
    child,
    keyed_images,
    keyed_masks,
    list_files,
    pair,
)

PARTS = {"Training": 2000, "Validation": 150, "Test_v2": 600}
"""Official parts and their number of pairs."""

_IMAGE = re.compile(r"(ISIC_\d{7})\.jpe?g", re.IGNORECASE)
_MASK = re.compile(r"(ISIC_\d{7})_segmentation\.png", re.IGNORECASE)
_OTHERS = re.compile(r"_superpixels\.png$|\.csv$|\.txt$", re.IGNORECASE)
"""Other files of the archives."""


def _images_folder(folder: Path, part: str) -> Path | None:
    return child(folder, f"ISIC-2017_{part}_Data")


def _masks_folder(folder: Path, part: str) -> Path | None:
    return child(folder, f"ISIC-2017_{part}_Part1_GroundTruth")


def _locate(root: Path, strict: bool, _: Mapping[str, object]) -> Path | None:  # noqa: ARG001
    candidates = [root, child(root, "ISIC-2017")]
    if root.resolve().name.casefold().startswith("isic-2017_"):
        candidates.append(root.resolve().parent)
    for folder in candidates:
        if folder is not None and any(_images_folder(folder, part) for part in PARTS):
            return folder
    return None


def _key(pattern: re.Pattern[str], path: Path) -> str | None:
    match = pattern.fullmatch(path.name)
    return match[1].casefold() if match else None


def _index(folder: Path) -> Contents:
    present = [part for part in PARTS if _images_folder(folder, part)]
    images = [path for part in PARTS for path in list_files(_images_folder(folder, part))]
    masks = [path for part in PARTS for path in list_files(_masks_folder(folder, part))]
    pairing = pair(
        keyed_images(images, lambda path: _key(_IMAGE, path)),
        keyed_masks(masks, lambda path: _key(_MASK, path)),
        lambda _, image: image.stem,
    )
    superpixels = sum("_superpixels" in path.name.lower() for path in images)
    notes = [f"{superpixels} superpixel files skipped"] if superpixels else []
    return Contents.of(
        folder,
        pairing,
        looked_in=[
            find(folder, part) for part in PARTS for find in (_images_folder, _masks_folder)
        ],
        known=_OTHERS,
        absent=[part for part in PARTS if part not in present],
        notes=notes,
    )


LAYOUT = Layout(
    rules="isic-2017/1",
    expected=tuple(
        f"ISIC-2017_{part}_{what}" for part in PARTS for what in ("Data", "Part1_GroundTruth")
    ),
    locate=_locate,
    index=_index,
    reads="ISIC_nnnnnnn.jpg with ISIC_nnnnnnn_segmentation.png",
)
