"""Folder: your own images and masks.

Source, citation, licence and counts are yours; nothing is expected but two folders.

Rules:
- ROOT/LABEL/images and ROOT/LABEL/masks, where LABEL is the alias in the configuration, or else
  ROOT/images and ROOT/masks.
- Any of png, jpg, tif, bmp, webp, gif, ppm, pgm; 8 or 16 bits, grey, colour or palette. Other
  files are left alone. Two images of one stem are refused.
- A mask has its image's stem, alone or with `_mask` or `_segmentation`, each also with a number
  (`a_mask_2.png`); all masks of an image are united.
- Foreground is above 127 of 255 in the brightest channel; a lossless mask that holds only 0 and 1
  is a class index mask, and 1 is foreground.
- EXIF orientation is ignored; a mask whose shape does not fit its image is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from workers.datasets.layout import (
    Contents,
    Layout,
    child,
    keyed_images,
    keyed_masks,
    list_files,
    pair,
)
from workers.datasets.pictures import IMAGE_SUFFIXES

_MASK_ENDING = re.compile(r"_(mask|segmentation)(_[0-9]+)?$")


def _locate(root: Path, strict: bool, parameters: Mapping[str, object]) -> Path | None:  # noqa: ARG001
    label = str(parameters.get("label", ""))
    is_name = label not in {"", ".", ".."} and "/" not in label and "\\" not in label
    for folder in (child(root, label) if is_name else None, root):
        if folder is not None and child(folder, "images") and child(folder, "masks"):
            return folder
    return None


def _stem(path: Path) -> str | None:
    return path.stem.casefold() if path.suffix.lower() in IMAGE_SUFFIXES else None


def _index(folder: Path, label: str = "") -> Contents:  # noqa: ARG001 - identity only
    images = keyed_images(list_files(child(folder, "images")), _stem)

    def image_stem(path: Path) -> str | None:
        stem = _stem(path)
        return stem if stem is None or stem in images else _MASK_ENDING.sub("", stem)

    masks = keyed_masks(list_files(child(folder, "masks")), image_stem)
    pairing = pair(images, masks, lambda _, image: image.stem)
    return Contents(
        folder=folder,
        samples=pairing.samples,
        images_without_mask=pairing.images_without_mask,
        masks_without_image=pairing.masks_without_image,
    )


LAYOUT = Layout(
    rules="folder/1",
    expected=("images", "masks"),
    locate=_locate,
    index=_index,
    index_masks=True,
)
